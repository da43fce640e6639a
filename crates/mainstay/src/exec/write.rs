//! Writes of a record route: commit in the record, then make the copies absent.
//! It must not put values into caches: readers fill.
//!
//! From before the commit until its copies are known to be absent, a key is missed on each cache: this process reads it
//! from the record. A write whose caller goes away, or whose outcome is unknown, leaves its keys missed for the drain.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{Road, Served, attempt::attempt_write};
use crate::{
    backend::semantics::keys_of,
    cache::copy,
    clock::Deadline,
    entry::Key,
    error::{Effect, Result},
    guard,
    op::{Op, OpClass},
    reply::Reply,
    route::{NodeId, Route, Shape},
    status::Availability,
};

/// An acknowledgement waits this long for a cache to confirm; then the key stays missed and the drain sees to it.
const CONFIRM_WAIT: Duration = Duration::from_millis(100);

/// A write that timed out may still be committed within this, times the record's own timeout.
const IN_DOUBT_TIMEOUTS: u32 = 3;

pub(super) async fn commit(
    road: &Arc<Road>,
    route: &Arc<Route>,
    record: NodeId,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let node = &road.nodes[record];
    let mut writing = Writing::begin(road, route, record, op);
    let attempted = attempt_write(road, node, op, deadline).await;
    match attempted.result {
        // Dropped unsettled: what the lost try did, or does yet, is not in this reply.
        Ok(reply) if attempted.in_doubt => Ok(Served::by(record, reply)),
        Ok(reply) if !changes(op, &reply) => {
            writing.settle(true);
            Ok(Served::by(record, reply))
        }
        Ok(reply) => {
            writing.invalidate().await;
            Ok(Served::by(record, reply))
        }
        Err(error) => {
            if error.effect() == Effect::None {
                writing.settle(true);
            }
            if error.kind().is_callers() {
                return Err(error);
            }
            Err(road.unavailable(route, vec![error], op.class()))
        }
    }
}

/// Whether the copies have to go. Only a strict write that was refused leaves them: a delete that found nothing shows
/// that any copy is wrong.
fn changes(op: &Op, reply: &Reply) -> bool {
    match reply {
        Reply::Written(written) => written.applied || op.class() != OpClass::Strict,
        _ => true,
    }
}

/// A write under way: its keys are missed on every cache of the route until it settles. Dropped before that, its
/// outcome is in doubt.
struct Writing {
    road: Arc<Road>,
    record: NodeId,
    /// The caches that have not settled yet.
    caches: Vec<NodeId>,
    keys: Vec<Key>,
}

impl Writing {
    fn begin(road: &Arc<Road>, route: &Route, record: NodeId, op: &Op) -> Self {
        let caches = match &route.shape {
            Shape::Record { caches, .. } => caches.clone(),
            Shape::Failover { .. } => Vec::new(),
        };
        let keys = if caches.is_empty() { Vec::new() } else { keys_of(op) };
        for cache in &caches {
            keys.iter().for_each(|key| road.missed[*cache].begin(key));
        }
        Self { road: Arc::clone(road), record, caches, keys }
    }

    /// Ends it on every cache. Not `confirmed`: the outcome is in doubt.
    fn settle(&mut self, confirmed: bool) {
        let in_doubt = self.road.nodes[self.record].timeout() * IN_DOUBT_TIMEOUTS;
        let not_before = (!confirmed).then(|| self.road.clock.now() + in_doubt);
        for cache in self.caches.drain(..) {
            self.keys
                .iter()
                .for_each(|key| self.road.missed[cache].settle(key, confirmed, not_before));
        }
    }

    /// Makes the copies absent; waits for the confirmations, but not long.
    async fn invalidate(mut self) {
        let now = self.road.clock.now();
        let mut waiting = Vec::new();
        for cache in std::mem::take(&mut self.caches) {
            let node = &self.road.nodes[cache];
            if node.view(now).availability == Availability::Available {
                waiting.push(make_absent(&self.road, cache, self.keys.clone()));
            } else {
                self.keys.iter().for_each(|key| self.road.missed[cache].settle(key, false, None));
            }
        }
        let all = futures_util::future::join_all(waiting);
        // Late is no loss: the keys stay missed until the confirmation comes.
        let _ = tokio::time::timeout(CONFIRM_WAIT, all).await;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.settle(false);
    }
}

/// Deletes the copies in a task of its own, which outlives a caller that goes away.
fn make_absent(road: &Arc<Road>, cache: NodeId, keys: Vec<Key>) -> oneshot::Receiver<()> {
    let (done, confirmed) = oneshot::channel();
    let road_of_task = Arc::clone(road);
    road.tasks.spawn_to_end(async move {
        let road = road_of_task;
        let op = Op::DeleteMany { keys: keys.iter().map(copy::key_of).collect() };
        let node = &road.nodes[cache];
        let deadline = road.clock.deadline_in(node.timeout() * 2);
        let absent = guard::call(node, &op, deadline).await.is_ok();
        keys.iter().for_each(|key| road.missed[cache].settle(key, absent, None));
        // The writer may have stopped waiting.
        let _ = done.send(());
    });
    confirmed
}
