//! The end of a run: everything is mended, and after a while everything has to be as if nothing had happened.
//! It must not know what had.

use std::{sync::Arc, time::Duration};

use mainstay::{Op, Reply, backend::semantics::copies};

use super::{
    client::{Client, keys, value_of, version},
    nemesis::copy_of,
    process::Fleet,
    process::Process,
    servers::perform,
    world::World,
};
use crate::history::MarkKind;

/// How long the fleet may take to recover: reconnection and breakers wait some seconds, the quarantine of a flapping
/// backend up to 30.
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// How long a message may be under way (4 s), and a token that it places stand (5 s).
const REST: Duration = Duration::from_millis(9_500);

/// Mends everything and waits; what has not become well.
pub(super) async fn bring(world: &Arc<World>, fleet: &Fleet) -> Vec<String> {
    fleet.finished().await;
    world.heal();
    fleet.processes().iter().for_each(|process| process.freeze.thaw());
    for index in 0..world.plan.processes {
        fleet.restart(world, index).await;
    }
    fleet.finished().await;
    let processes = fleet.processes();
    let mut problems = Vec::new();
    problems.extend(recover(world, &processes).await);
    world.history.mark(MarkKind::Recovered, world.now());
    // Whatever is still under way arrives, every mark and every token of it ends, and copies take all reads again.
    tokio::time::sleep(REST + world.plan.mark).await;
    problems.extend(recover(world, &processes).await);
    problems.extend(last_reads(world, &processes).await);
    problems.extend(unexplained(world));
    last_states(world);
    problems
}

async fn recover(world: &World, processes: &[Process]) -> Option<String> {
    let limit = world.clock().now() + RECOVERY_MAX;
    loop {
        let (active, dirty) =
            world.state().control().map_or((false, 0), |(row, dirty)| (row.active, dirty.len()));
        if active && dirty == 0 && processes.iter().all(Process::is_ready) {
            return None;
        }
        if world.clock().now() >= limit {
            let who: Vec<String> = processes
                .iter()
                .filter(|process| !process.is_ready())
                .map(Process::complaint)
                .collect();
            let text = format!("no recovery in {RECOVERY_MAX:?}: active {active}, {dirty} dirty");
            return Some(format!("{text}; {}", who.join("; ")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Everybody reads everything, twice; at the end everything is read from copies.
async fn last_reads(world: &Arc<World>, processes: &[Process]) -> Option<String> {
    let mut missing = Vec::new();
    for round in 0..2 {
        for process in processes {
            missing = Client::new(world, process, 90 + round).read_all().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let state = world.state();
    let (row, _) = state.control()?;
    let there = |key: &String| read(state.record.memory(), &get(key.as_str().into())).is_some();
    missing.retain(there);
    let read_copies = !(world.plan.evicts && world.plan.strict);
    if missing.is_empty() || !read_copies {
        return None;
    }
    let held = |key: &String| read(state.redis.memory(), &get(copy_of(&row, key)));
    let copies: Vec<_> = missing.iter().map(|key| (key, held(key))).collect();
    Some(format!("after the recovery these are not read from copies: {copies:?}"))
}

/// What the fleet did without a reason, or did not do.
fn unexplained(world: &World) -> Vec<String> {
    let state = world.state();
    let mut problems = Vec::new();
    if let Some(since) = state.doubts.unnoticed() {
        problems.push(format!("nobody noticed that Redis had lost data at {since} us"));
    }
    let longest = state.doubts.longest();
    if world.plan.is_calm() && longest > world.plan.detection_us() {
        problems.push(format!("a loss of data was noticed only after {longest} us"));
    }
    if state.degraded > 0 && !world.plan.forgets() && !state.overflowed {
        problems.push(format!("the cache was degraded {} times for nothing", state.degraded));
    }
    problems
}

/// What both servers hold.
fn last_states(world: &World) {
    let (now, state) = (world.now(), world.state());
    let Some((row, _)) = state.control() else { return };
    for key in keys(&world.plan) {
        let record = read(state.record.memory(), &get(key.as_str().into()));
        let seen = record.as_ref().and_then(|record| record.version).map(version);
        world.history.final_record(&key, record.as_ref().map(value_of), seen, now);
        let copy = read(state.redis.memory(), &get(copy_of(&row, &key)));
        let copy = match copy.map(|copy| copies::read(copy.value)) {
            Some(copies::Seen::Value { version: held, .. }) => Some(version(held)),
            _ => None,
        };
        world.history.final_copy("redis", &key, copy);
    }
}

fn get(key: mainstay::Key) -> Op {
    Op::Get { key, with_ttl: false }
}

fn read(server: &mainstay::backend::memory::Memory, op: &Op) -> Option<mainstay::Record> {
    perform(server, op).and_then(Reply::into_record).ok().flatten()
}
