//! Carries the faults of a plan out, each a task of its own.
//! It must not know what the clients do.

use std::{sync::Arc, time::Duration};

use mainstay::{Key, backend::memory::MemorySnapshot};

use super::{
    plan::{Fault, FaultKind},
    process::Fleet,
    servers::beacon_of,
    world::{World, place},
};
use crate::history::Micros;

/// One fault, from its beginning to its end.
pub(super) async fn carry_out(world: Arc<World>, fleet: Arc<Fleet>, fault: Fault) {
    let Fault { at_ms, for_ms, kind } = fault;
    let before = match kind {
        FaultKind::Old { back_ms, .. } | FaultKind::RollBack { back_ms } => back_ms,
        FaultKind::Promote { lag_ms, .. } => lag_ms,
        _ => 0,
    };
    tokio::time::sleep_until(world.at(at_ms.saturating_sub(before))).await;
    let dump = Dump::of(&world);
    tokio::time::sleep_until(world.at(at_ms)).await;
    if world.state().healed {
        return;
    }
    if let FaultKind::Evict(share) = kind {
        return evict(&world, share, at_ms + for_ms).await;
    }
    world.mark(format!("{kind:?}"));
    if !begin(&world, &fleet, kind, &dump).await {
        return;
    }
    tokio::time::sleep(Duration::from_millis(for_ms)).await;
    if !world.state().healed {
        end(&world, &fleet, kind).await;
        world.mark(format!("end of {kind:?}"));
    }
}

/// What Redis held at one moment.
struct Dump {
    /// Whatever was acknowledged before this is in it: a key that was dirty then is as old as it was before that.
    floor: Micros,
    entries: MemorySnapshot,
    beacon: u64,
}

impl Dump {
    fn of(world: &World) -> Self {
        let now = world.now();
        let state = world.state();
        let floor = if state.is_dirty() { state.clean_at } else { now };
        let redis = state.redis.memory();
        let beacon = state.control().map_or(0, |(row, _)| beacon_of(redis, &row).beacon);
        Self { floor, entries: redis.snapshot(), beacon }
    }
}

/// Whether it lasts, so that it has an end.
async fn begin(world: &World, fleet: &Fleet, kind: FaultKind, dump: &Dump) -> bool {
    match kind {
        FaultKind::Cut { process, site, way } => world.cut(process, site, way, true),
        FaultKind::Hang(site) => world.hang(site, true),
        FaultKind::Errors(site) => world.state().errors[place(site)] += 1,
        FaultKind::Away(site) => world.state().role(site).away += 1,
        FaultKind::LostReplies => world.state().lost_replies += 1,
        FaultKind::Crash { process } => fleet.crash(world, process).await,
        FaultKind::Freeze { process } => fleet.freeze(process, true),
        FaultKind::Empty { proxied } => {
            forget(world, proxied, None);
            return false;
        }
        FaultKind::Old { proxied, .. } => {
            forget(world, proxied, Some(dump));
            return false;
        }
        FaultKind::Promote { proxied, split, .. } => {
            forget(world, proxied, Some(dump));
            if let Some(process) = split {
                world.state().redis.split(process);
            }
            return split.is_some();
        }
        FaultKind::RollBack { .. } => {
            roll_back(world, dump);
            return false;
        }
        FaultKind::Evict(_) => return false,
    }
    true
}

async fn end(world: &Arc<World>, fleet: &Fleet, kind: FaultKind) {
    match kind {
        FaultKind::Cut { process, site, way } => world.cut(process, site, way, false),
        FaultKind::Hang(site) => world.hang(site, false),
        FaultKind::Errors(site) => {
            let errors = &mut world.state().errors[place(site)];
            *errors = errors.saturating_sub(1);
        }
        FaultKind::Away(site) => {
            let mut state = world.state();
            let role = state.role(site);
            role.away = role.away.saturating_sub(1);
            role.restart();
        }
        FaultKind::LostReplies => {
            let mut state = world.state();
            state.lost_replies = state.lost_replies.saturating_sub(1);
        }
        FaultKind::Crash { process } => fleet.restart(world, process).await,
        FaultKind::Freeze { process } => fleet.freeze(process, false),
        FaultKind::Promote { .. } => world.state().redis.unite(),
        FaultKind::Empty { .. }
        | FaultKind::Old { .. }
        | FaultKind::RollBack { .. }
        | FaultKind::Evict(_) => {}
    }
}

/// Another server is Redis now, empty or with what was dumped.
fn forget(world: &World, proxied: bool, dump: Option<&Dump>) {
    let now = world.now();
    let mut state = world.state();
    let active = state.is_active();
    state.redis.unite();
    let redis = state.redis.succeed(proxied);
    if let Some(dump) = dump {
        redis.restore(&dump.entries);
    }
    if active {
        let floor = dump.map_or(now, |dump| dump.floor);
        state.doubts.begin(now, floor);
    }
}

/// The same server has lost its last writes. A roll-back that loses no beacon is not noticed by it (the audit finds what
/// was read), so one that would is left out: two beacons, for a raise that is on its way may make up for one.
fn roll_back(world: &World, dump: &Dump) {
    let now = world.now();
    let mut state = world.state();
    let known = state.control().filter(|(row, _)| row.active && row.beacon >= dump.beacon + 2);
    if known.is_none() || dump.beacon == 0 {
        return;
    }
    state.redis.memory().restore(&dump.entries);
    state.doubts.begin(now, dump.floor);
}

/// Takes copies away, now and then.
async fn evict(world: &World, share: u32, until_ms: u64) {
    while world.clock().now() < world.at(until_ms) && !world.state().healed {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut state = world.state();
        let Some((row, _)) = state.control() else { continue };
        for key in super::client::keys(&world.plan) {
            let copy = copy_of(&row, &key);
            if state.dice.permille(share) {
                state.redis.memory().evict(&copy);
            }
        }
    }
}

/// Under which key Redis holds the copy of a key.
pub(super) fn copy_of(row: &mainstay::op::Control, key: &str) -> Key {
    Key::from(format!("mainstay:{:x}.{:x}:{key}", row.id, row.generation))
}
