//! What lower backends of a failover route took for a higher one is moved up: before the higher one serves a key, and in
//! the background.
//! It must not choose who serves.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    Road,
    climb::{Failed, Move, is_volatile, place},
    rows::{self, Via},
};
use crate::{
    backend::semantics::keys_of,
    clock::Deadline,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    op::{Op, OpClass},
    route::{NodeId, Route},
    sync::overflow::{Overflow, Taken},
};

/// Keys of one look at what has overflowed.
const BATCH: usize = 500;

/// Keys that are moved at once.
const AT_ONCE: usize = 16;

/// Time for the keys that are moved at once.
const ROUND: Duration = Duration::from_secs(4);

/// An operation waits no longer than this for another process that moves its key.
const PATIENCE: Duration = Duration::from_millis(250);

/// Why an operation cannot be performed here, and whether to stop.
type Refused = (Error, bool);

/// A key of an operation that is, or may be, still at a lower backend.
pub(super) struct Behind {
    key: Key,
    by: NodeId,
    /// `None`: the rows of `by` are not known yet.
    taken: Option<Taken>,
    /// It is volatile there, and dead as soon as a better backend has answered; otherwise it could not be reached.
    volatile: bool,
}

impl Behind {
    /// Whether a read from a better backend may be older than an acknowledged write.
    pub(super) fn is_stale(&self) -> bool {
        !self.volatile
    }

    /// A better backend has performed this operation.
    pub(super) fn performed(&self, overflow: &Overflow, class: OpClass) {
        match &self.taken {
            Some(taken) if self.volatile || class != OpClass::Read => {
                overflow.supersede(&self.key, taken);
            }
            None if class != OpClass::Read => overflow.replaced(&self.key, self.by),
            Some(_) | None => {}
        }
    }
}

/// Whether nothing at all has to be moved to this node, nor looked for.
pub(super) fn is_level(road: &Arc<Road>, route: &Route, to: NodeId) -> bool {
    road.overflow[route.id].is_empty() && rows::all_listed(road, route, to)
}

/// Moves what lower backends took of this operation's keys, before `to` performs it.
///
/// # Errors
/// `to`'s own. Of the backend that has a key, when the operation depends on what is there; the flag says whether to stop.
pub(super) async fn for_op(
    road: &Arc<Road>,
    route: &Route,
    to: NodeId,
    op: &Op,
    deadline: Deadline,
) -> std::result::Result<Vec<Behind>, Refused> {
    let mut behind = Vec::new();
    if !rows::all_listed(road, route, to) {
        rows::list_below(road, route, to, deadline).await;
    }
    let patience = PATIENCE;
    let up = Move { road, route, to, via: Via::Guard, deadline, patience };
    for key in keys_of(op) {
        for by in rows::unlisted(road, route, to, &key) {
            if !survives(op) {
                return Err((not_listed(road, by), true));
            }
            behind.push(Behind { key: key.clone(), by, taken: None, volatile: false });
        }
        known(&up, &key, op, &mut behind).await?;
    }
    Ok(behind)
}

/// What is known to be below.
async fn known(
    up: &Move<'_>,
    key: &Key,
    op: &Op,
    behind: &mut Vec<Behind>,
) -> std::result::Result<(), Refused> {
    let (road, route) = (up.road, up.route);
    let found = road.overflow[route.id].of(key);
    for taken in found.into_iter().filter(|taken| place(route, taken.by) > place(route, up.to)) {
        let (by, volatile) = (taken.by, is_volatile(road, &taken));
        // A row that stands may bring its value back over what is written now.
        let stands = road.rows[by].is_some() && op.class() != OpClass::Read;
        if taken.superseded && !stands {
            continue;
        }
        if volatile {
            behind.push(Behind { key: key.clone(), by, taken: Some(taken), volatile });
            continue;
        }
        // The operation itself was not sent.
        let unsent = |error: Error| error.with_effect(Effect::None);
        match up.key(key, by).await {
            Ok(()) => {}
            Err(Failed::To(error)) => return Err((unsent(error), false)),
            // Who has the key takes this as well: whoever moves it begins anew.
            Err(Failed::Busy(error)) if replaces(op) => return Err((unsent(error), false)),
            Err(Failed::From(_)) if taken.superseded => {}
            Err(Failed::From(_) | Failed::Busy(_)) if survives(op) => {
                behind.push(Behind { key: key.clone(), by, taken: Some(taken), volatile });
            }
            Err(Failed::From(error) | Failed::Busy(error)) => return Err((unsent(error), true)),
        }
    }
    Ok(())
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
    via: Via,
) -> Result<u64> {
    let overflow = &road.overflow[route.id];
    let (mut handled, mut after) = (0, None);
    loop {
        let due = overflow.due(from, after.as_ref(), BATCH);
        let Some(last) = due.last().cloned() else { return Ok(handled) };
        // Beside calls of users one at a time: one that fails must not open the breaker on them.
        for keys in due.chunks(if via == Via::OutOfBand { AT_ONCE } else { 1 }) {
            let deadline = road.clock.deadline_in(ROUND);
            let up = Move { road, route, to, via, deadline, patience: Duration::ZERO };
            for moved in join_all(keys.iter().map(|key| up.key(key, from))).await {
                match moved {
                    Ok(()) => handled += 1,
                    Err(Failed::To(error)) => return Err(error),
                    // Its keys stay where they are, and are moved when it is back, or by who is at it.
                    Err(Failed::From(_) | Failed::Busy(_)) => return Ok(handled),
                }
            }
        }
        after = Some(last);
    }
}

/// Whether it may be performed above what cannot be reached.
fn survives(op: &Op) -> bool {
    op.class() == OpClass::Read || replaces(op)
}

/// Whether nothing of what was there remains.
fn replaces(op: &Op) -> bool {
    let whole = matches!(
        op,
        Op::Set { .. } | Op::SetMany { .. } | Op::Delete { .. } | Op::DeleteMany { .. }
    );
    whole && op.class() == OpClass::LastWriterWins
}

fn not_listed(road: &Road, id: NodeId) -> Error {
    let node = &road.nodes[id];
    let text = format!(
        "what it took for a better backend before this process started is not known yet: {}",
        node.refusal(road.clock.now()).message()
    );
    Error::new(ErrorKind::NotReady, text).at(node.name())
}
