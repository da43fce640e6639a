//! What lower backends of a failover route took for a higher one is moved up: before the higher one serves a key, and in
//! the background.
//! It must not choose who serves.

use std::sync::Arc;

use futures_util::future::join_all;

use super::Road;
use crate::{
    backend::{Scope, semantics::keys_of},
    clock::Deadline,
    entry::{Key, Record},
    error::{Effect, Error, ErrorKind, Result},
    guard,
    op::{Condition, Op, OpClass, TtlChange},
    reply::Reply,
    route::{NodeId, Route},
    sync::overflow::Taken,
};

/// Keys of one look at what has overflowed.
const BATCH: usize = 500;

/// Keys that are moved at once.
const AT_ONCE: usize = 16;

/// Time for one round trip.
const STEP: std::time::Duration = std::time::Duration::from_secs(2);

/// Who could not do its part.
enum Failed {
    /// The one that took the key.
    From(Error),
    /// The one that should get it.
    To(Error),
}

/// A key is moved to `to`: past its breaker when it is not up yet.
struct Move<'a> {
    road: &'a Arc<Road>,
    route: &'a Route,
    to: NodeId,
    out_of_band: bool,
    deadline: Deadline,
}

/// A key of an operation that is still at a lower backend.
pub(super) struct Behind {
    pub(super) key: Key,
    pub(super) taken: Taken,
    /// It is volatile there, and dead as soon as a better backend has answered; otherwise it could not be reached.
    pub(super) volatile: bool,
}

/// Moves what lower backends took of this operation's keys, before `to` performs it.
///
/// # Errors
/// `to`'s own. Of the backend that has a key, when the operation depends on what is there; the flag says so.
pub(super) async fn for_op(
    road: &Arc<Road>,
    route: &Route,
    to: NodeId,
    op: &Op,
    deadline: Deadline,
) -> std::result::Result<Vec<Behind>, (Error, bool)> {
    let overflow = &road.overflow[route.id];
    let mut behind = Vec::new();
    if overflow.is_empty() {
        return Ok(behind);
    }
    for key in keys_of(op) {
        let Some(taken) = overflow.of(&key).filter(|taken| is_below(route, taken, to)) else {
            continue;
        };
        if is_volatile(road, &taken) {
            behind.push(Behind { key, taken, volatile: true });
            continue;
        }
        let up = Move { road, route, to, out_of_band: false, deadline };
        match up.key(&key).await {
            Ok(()) => {}
            // The operation itself was not sent.
            Err(Failed::To(error)) => return Err((error.with_effect(Effect::None), false)),
            Err(Failed::From(_)) if op.class() == OpClass::Read || replaces(op) => {
                behind.push(Behind { key, taken, volatile: false });
            }
            Err(Failed::From(error)) => return Err((error.with_effect(Effect::None), true)),
        }
    }
    Ok(behind)
}

/// Moves everything that `from` took, as far as it can be reached; returns how many keys.
///
/// # Errors
/// `to`'s own.
pub(super) async fn all(
    road: &Arc<Road>,
    route: &Route,
    from: NodeId,
    to: NodeId,
    out_of_band: bool,
) -> Result<u64> {
    let overflow = &road.overflow[route.id];
    let (mut handled, mut after) = (0, None);
    loop {
        let due = overflow.due(from, after.as_ref(), BATCH);
        let Some(last) = due.last().cloned() else { return Ok(handled) };
        // Beside calls of users one at a time: one that fails must not open the breaker on them.
        for keys in due.chunks(if out_of_band { AT_ONCE } else { 1 }) {
            let deadline = road.clock.deadline_in(STEP);
            let up = Move { road, route, to, out_of_band, deadline };
            for moved in join_all(keys.iter().map(|key| up.key(key))).await {
                match moved {
                    Ok(()) => handled += 1,
                    Err(Failed::To(error)) => return Err(error),
                    // Its keys stay where they are, and are moved when it is back.
                    Err(Failed::From(_)) => return Ok(handled),
                }
            }
        }
        after = Some(last);
    }
}

fn is_volatile(road: &Road, taken: &Taken) -> bool {
    road.nodes[taken.by].capabilities().scope == Scope::Process
}

/// Whether an entry is at a backend that stands behind `to` in the configuration.
fn is_below(route: &Route, taken: &Taken, to: NodeId) -> bool {
    let place = |node: NodeId| route.nodes().position(|id| id == node);
    !taken.superseded && place(taken.by) > place(to)
}

/// Whether nothing of what was there remains.
fn replaces(op: &Op) -> bool {
    let whole = matches!(
        op,
        Op::Set { .. } | Op::SetMany { .. } | Op::Delete { .. } | Op::DeleteMany { .. }
    );
    whole && op.class() == OpClass::LastWriterWins
}

impl Move<'_> {
    async fn key(&self, key: &Key) -> std::result::Result<(), Failed> {
        let overflow = &self.road.overflow[self.route.id];
        let waited = tokio::time::timeout_at(self.deadline.instant(), overflow.moving(key)).await;
        let Ok(_alone) = waited else { return Err(Failed::To(self.late())) };
        // Another may have moved it meanwhile.
        let Some(taken) = overflow.of(key).filter(|taken| taken.by != self.to) else {
            return Ok(());
        };
        let volatile = is_volatile(self.road, &taken);
        if volatile && !taken.superseded && !self.out_of_band {
            // Only a readmission discards what nobody has replaced.
            return Ok(());
        }
        let mut condition = Condition::Always;
        if !volatile && !taken.superseded {
            let record = self.get(key, taken.by).await.map_err(Failed::From)?;
            if let Some(record) = &record {
                condition = unchanged(record);
            }
            self.give(key, record).await.map_err(Failed::To)?;
            overflow.supersede(key, &taken);
        }
        let delete = Op::Delete { key: key.clone(), condition, want_previous: false };
        self.call(taken.by, &delete, false).await.map_err(Failed::From)?;
        match self.to == self.route.authority() || volatile || taken.superseded {
            true => overflow.settled(key, &taken),
            false => overflow.took(key, self.to),
        }
        Ok(())
    }

    async fn get(&self, key: &Key, from: NodeId) -> Result<Option<Record>> {
        let get = Op::Get { key: key.clone(), with_ttl: true };
        let record = self.call(from, &get, false).await?.into_record()?;
        // On its last millisecond it is as good as gone.
        Ok(record.filter(|record| record.ttl.is_none_or(|ttl| !ttl.is_zero())))
    }

    async fn give(&self, key: &Key, record: Option<Record>) -> Result<()> {
        let key = key.clone();
        let op = match record {
            None => Op::Delete { key, condition: Condition::Always, want_previous: false },
            Some(record) => Op::Set {
                key,
                value: record.value,
                ttl: record.ttl.map_or(TtlChange::Clear, TtlChange::For),
                condition: Condition::Always,
                want_previous: false,
            },
        };
        self.call(self.to, &op, self.out_of_band).await.map(drop)
    }

    async fn call(&self, id: NodeId, op: &Op, out_of_band: bool) -> Result<Reply> {
        let node = &self.road.nodes[id];
        if out_of_band {
            guard::call_unguarded(node, op, self.deadline).await
        } else {
            guard::call(node, op, self.deadline).await
        }
    }

    fn late(&self) -> Error {
        let text = "the deadline passed while a key was moved up";
        Error::new(ErrorKind::DeadlineExceeded, text).at(self.road.nodes[self.to].name())
    }
}

/// Only what was moved is deleted: another process may have written since.
fn unchanged(record: &Record) -> Condition {
    match record.version {
        Some(version) => Condition::VersionIs(version),
        None => Condition::ValueIs(record.value.clone()),
    }
}
