//! How long a read waits for a backend before another one is asked as well.
//! It must not know what is read.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use super::Road;
use crate::node::Node;

/// After how long a call of this node may be overtaken; `None`: it is waited for.
pub(super) fn late(node: &Node, allowed: bool) -> Option<Duration> {
    (allowed && node.hedge().enabled).then(|| node.hedge_after())
}

/// The outcome, unless it is late: later than `late` (the 99th percentile of late) with budget left, or later than
/// patience. `asked` wakes its task when it has been in flight for `late`.
pub(super) async fn unless_late<F: Future>(
    road: &Road,
    node: &Node,
    late: Option<Duration>,
    mut asked: Pin<&mut F>,
) -> Option<F::Output> {
    let Some(after) = late else { return Some(asked.await) };
    let at = road.clock.now() + after;
    if let Some(outcome) = until(road, node, at, asked.as_mut()).await {
        return Some(outcome);
    }
    if node.try_spend_budget(road.clock.now()) {
        return None;
    }
    let patience = node.hedge().patience.saturating_sub(after);
    tokio::time::timeout(patience, asked).await.ok()
}

/// The outcome, if it comes by then. A timer of its own costs more than the rest of a call: there is one only while calls
/// wait for a place, since only those in flight are watched.
async fn until<F: Future>(
    road: &Road,
    node: &Node,
    at: crate::clock::Instant,
    mut asked: Pin<&mut F>,
) -> Option<F::Output> {
    let mut timer = None;
    poll_fn(|task| {
        if let Poll::Ready(outcome) = asked.as_mut().poll(task) {
            return Poll::Ready(Some(outcome));
        }
        if road.clock.now() >= at {
            return Poll::Ready(None);
        }
        if timer.is_none() && node.guard().bulkhead().queued() > 0 {
            timer = Some(Box::pin(tokio::time::sleep_until(at)));
        }
        match &mut timer {
            Some(timer) => timer.as_mut().poll(task).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}
