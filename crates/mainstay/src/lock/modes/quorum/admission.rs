//! Letting members vote that may have forgotten: after the longest lease, with counters from a majority of the others, in
//! this order.
//! It must not grant anything.

use std::{sync::Weak, time::Duration};

use futures_util::future::join_all;

use super::{super::Parts, quarantine, votes::floor_for};
use crate::{
    event::EventKind,
    guard::backoff,
    lock::Core,
    op::{LockOp, Member},
    reply::Locked,
};

/// Between two looks while all may vote.
const LOOK: Duration = Duration::from_secs(3);

/// Between two looks while one waits.
const LOOK_SOON: Duration = Duration::from_millis(500);

/// Looks for ever.
pub(super) async fn keep(core: Weak<Core>, members: Vec<usize>) {
    loop {
        let pause = {
            let Some(core) = core.upgrade() else { return };
            let all_vote = look(&core.parts, &members).await;
            let usual = if all_vote { LOOK } else { LOOK_SOON };
            backoff::spread(usual, 0.2, core.parts.entropy.unit())
        };
        tokio::time::sleep(pause).await;
    }
}

/// One look; whether all may vote.
async fn look(parts: &Parts, members: &[usize]) -> bool {
    let first = ask(parts, members).await;
    let quarantine = quarantine(parts);
    let waits = |member: &Option<Member>| member.as_ref().is_some_and(|member| !member.admitted);
    let ripe = |member: &Option<Member>| {
        member.as_ref().is_some_and(|member| member.known_for >= quarantine) && waits(member)
    };
    if first.iter().any(ripe) {
        // Asked again: what counts is what they know once the quarantine has ended.
        let second = ask(parts, members).await;
        for (at, member) in first.iter().enumerate().filter(|(_, member)| ripe(member)) {
            let same = |now: &&Member| Some(&now.identity) == member.as_ref().map(|m| &m.identity);
            if let Some(now) = second[at].as_ref().filter(same)
                && let Some(floor) = floor_for(at, &second, quarantine)
            {
                admit(parts, members[at], now, floor).await;
            }
        }
    }
    first.iter().all(|member| member.as_ref().is_some_and(|member| member.admitted))
}

async fn ask(parts: &Parts, members: &[usize]) -> Vec<Option<Member>> {
    let all = members.iter().map(|id| async move {
        let op = LockOp::Member { id: parts.entropy.nonce() };
        let deadline = parts.clock.deadline_in(parts.nodes[*id].timeout());
        parts.send(*id, op, deadline).await.ok()?.into_member().ok()
    });
    join_all(all).await
}

async fn admit(parts: &Parts, id: usize, member: &Member, floor: u64) {
    let op = LockOp::Admit { identity: member.identity.clone(), floor };
    let deadline = parts.clock.deadline_in(parts.nodes[id].timeout());
    // Lost: the next look does it again.
    if let Ok((Locked::Granted { .. }, _)) = parts.ask(id, op, deadline).await {
        let reason = format!("votes on locks, no token up to {floor} is given again");
        let kind = EventKind::Lock { state: "admitted" };
        parts.events.publish(Some(parts.nodes[id].name()), kind, reason);
    }
}
