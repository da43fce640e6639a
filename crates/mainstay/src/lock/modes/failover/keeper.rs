//! Looks at the arbiter and at the first backend, and moves the authority when that is due.
//! It must not grant anything.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    super::{Mode, Parts},
    Failover,
    hand_over::{To, View, Watch, wait_after},
};
use crate::{
    clock::{Deadline, Instant},
    event::EventKind,
    guard::backoff,
    lock::Core,
    op::{LockOp, Member, Seat},
    reply::Locked,
};

/// Since when this process has seen an epoch open.
#[derive(Debug, Default)]
struct Settled {
    epoch: u64,
    since: Option<Instant>,
}

/// Looks for ever, three times in the life of a view.
pub(super) async fn keep(core: Weak<Core>) {
    let (mut watch, mut settled) = (Watch::default(), Settled::default());
    loop {
        let pause = {
            let Some(core) = core.upgrade() else { return };
            let Some(Mode::Failover(failover)) = &core.mode else { return };
            look(failover, &core.parts, &mut watch, &mut settled).await;
            backoff::spread(core.parts.config.view / 3, 0.2, core.parts.entropy.unit())
        };
        tokio::time::sleep(pause).await;
    }
}

async fn look(failover: &Failover, parts: &Parts, watch: &mut Watch, settled: &mut Settled) {
    let deadline = |id: usize| parts.clock.deadline_in(parts.nodes[id].timeout());
    let view = failover.look(parts, deadline(failover.arbiter)).await;
    let fast = member(failover, parts, deadline(failover.fast)).await;
    let now = parts.clock.now();
    watch.note(fast.as_ref().map(|member| member.identity.clone()), now);
    let Ok(view) = view else { return };
    let open = settled.open_for(&view, now);
    let name = &**parts.nodes[failover.fast].name();
    let admitted = fast.as_ref().is_some_and(|member| member.admitted);
    match watch.decide(&view.authority, name, admitted, open, now) {
        Some(To::Arbiter) => go(failover, parts, &view, None).await,
        Some(To::Fast) => go(failover, parts, &view, fast.as_ref()).await,
        None => {}
    }
}

impl Settled {
    fn open_for(&mut self, view: &Arc<View>, now: Instant) -> Duration {
        let epoch = view.authority.epoch;
        if self.epoch != epoch || !view.closed_for(now).is_zero() {
            *self = Self { epoch, since: None };
            if !view.closed_for(now).is_zero() {
                return Duration::ZERO;
            }
        }
        now.saturating_duration_since(*self.since.get_or_insert(now))
    }
}

async fn member(failover: &Failover, parts: &Parts, deadline: Deadline) -> Option<Member> {
    let op = LockOp::Member { id: parts.entropy.nonce() };
    parts.send(failover.fast, op, deadline).await.ok()?.into_member().ok()
}

/// Moves the authority to the first backend, as what it is now, or to the arbiter.
async fn go(failover: &Failover, parts: &Parts, view: &View, mut fast: Option<&Member>) {
    let authority = &view.authority;
    let was_fast = authority.seat.backend == **parts.nodes[failover.fast].name();
    let deadline = |id: usize| parts.clock.deadline_in(parts.nodes[id].timeout());
    if let Some(member) = fast
        && !member.admitted
    {
        // It may grant as this, under an epoch that it has never granted under.
        let op = LockOp::Admit { identity: member.identity.clone(), floor: 0 };
        match parts.ask(failover.fast, op, deadline(failover.fast)).await {
            Ok((Locked::Granted { .. }, _)) => {}
            // It may forget at any moment, or is another already: it cannot be trusted now.
            Ok(_) if was_fast || authority.epoch == 0 => fast = None,
            Ok(_) | Err(_) => return,
        }
    }
    let id = if fast.is_some() { failover.fast } else { failover.arbiter };
    let to = Seat {
        backend: parts.nodes[id].name().to_string(),
        identity: fast.map(|member| member.identity.clone()).unwrap_or_default(),
        ttl_max: parts.config.ttl_max,
        view: parts.config.view,
    };
    let wait = match authority.epoch {
        0 => Duration::ZERO,
        _ => wait_after(&authority.seat, !was_fast),
    };
    let op = LockOp::Move { epoch: authority.epoch, to, wait };
    let moved = parts.ask(failover.arbiter, op, deadline(failover.arbiter)).await;
    if let Ok((Locked::Granted { token: epoch, .. }, _)) = moved {
        let reason = format!("grants locks, epoch {epoch}, after {} ms", wait.as_millis());
        let kind = EventKind::Lock { state: "moved" };
        parts.events.publish(Some(parts.nodes[id].name()), kind, reason);
        // Lost: the next look finds it.
        drop(failover.look(parts, deadline(failover.arbiter)).await);
    }
}
