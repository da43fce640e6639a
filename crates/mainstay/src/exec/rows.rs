//! What is asked of a lower backend that keeps rows of what it took: to take a write, to list the rows, to let one process
//! move at a time.
//! It must not move anything (`climb`), nor choose who serves.

use std::{sync::Arc, time::Duration};

use super::{
    Road,
    attempt::{Last, attempt},
};
use crate::{
    backend::semantics::control::OVERFLOW,
    clock::Deadline,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    guard,
    op::{Control, DirtyRow, Op, RecordOp, Terms, Under},
    reply::{Committed, Reply},
    route::{NodeId, Route, Shape},
    sync::rows::{Held, Listed, Mover, RIGHT, Rows, STEP, Turn, turn},
};

/// Rows of one page.
const PAGE: usize = 500;

/// An operation waits no longer than this for the first listing.
const LISTING_WAIT: Duration = Duration::from_millis(250);

/// How a node is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// Through its guard.
    Guard,
    /// Past its breaker: it is not up yet.
    OutOfBand,
}

/// Performs one operation.
pub(super) async fn call(
    road: &Road,
    id: NodeId,
    op: &Op,
    deadline: Deadline,
    via: Via,
) -> Result<Reply> {
    let node = &road.nodes[id];
    match via {
        Via::Guard => guard::call(node, op, deadline).await,
        Via::OutOfBand => guard::call_unguarded(node, op, deadline).await,
    }
}

/// A write that this node takes for a better one, and its rows, in one transaction.
///
/// # Errors
/// The node's. Without effect unless the write itself was sent.
pub(super) async fn take(
    road: &Road,
    (id, rows): (NodeId, &Rows),
    op: &Op,
    deadline: Deadline,
    last: Last,
) -> Result<Reply> {
    prepare(road, (id, rows), deadline).await.map_err(|error| error.with_effect(Effect::None))?;
    done(attempt(road, &road.nodes[id], &with_rows(op), deadline, last).await?)
}

/// Makes sure that the node makes rows.
pub(super) async fn prepare(
    road: &Road,
    (id, rows): (NodeId, &Rows),
    deadline: Deadline,
) -> Result<()> {
    match rows.is_ready() {
        true => Ok(()),
        false => look(road, (id, rows), deadline, Via::Guard).await.map(drop),
    }
}

/// A write together with its rows.
pub(super) fn with_rows(write: &Op) -> Op {
    let under = Under::Around { known_for: None, open_for: Duration::ZERO };
    let write = Box::new(write.clone());
    Op::Record(RecordOp::Commit { cache: Arc::from(OVERFLOW), write, under })
}

/// The reply of the write itself.
pub(super) fn done(reply: Reply) -> Result<Reply> {
    match reply.into_committed()? {
        Committed::Done(reply) => Ok(*reply),
        Committed::Overtaken | Committed::Wait(_) => {
            Err(Error::new(ErrorKind::Internal, "a write that needs no wait was not performed"))
        }
    }
}

/// The control row; made, and made active, if it is not: only then there are rows.
async fn look(
    road: &Road,
    (id, rows): (NodeId, &Rows),
    deadline: Deadline,
    via: Via,
) -> Result<Control> {
    let cache: Arc<str> = Arc::from(OVERFLOW);
    let terms = Terms { lease: RIGHT, mark: RIGHT, statement: road.nodes[id].timeout() };
    let number = u64::try_from(road.entropy.nonce() >> 64).unwrap_or(u64::MAX);
    let lease = RecordOp::Lease { cache: Arc::clone(&cache), terms, id: number, dirty_max: 0 };
    // One of those who do this at once has made it active; the second look sees it.
    for _ in 0..2 {
        let lease = Op::Record(lease.clone());
        let control = call(road, id, &lease, deadline, via).await?.into_lease()?.control;
        if control.active {
            rows.set_ready(true);
            return Ok(control);
        }
        let (cache, identity) = (Arc::clone(&cache), String::new());
        let epoch = control.epoch;
        let readmit = Op::Record(RecordOp::Readmit { cache, epoch, identity, beacon: 0 });
        call(road, id, &readmit, deadline, via).await?;
    }
    let last = Op::Record(lease);
    let control = call(road, id, &last, deadline, via).await?.into_lease()?.control;
    rows.set_ready(control.active);
    match control.active {
        true => Ok(control),
        false => {
            Err(Error::new(ErrorKind::NotReady, "its control row is degraded again and again")
                .at(road.nodes[id].name()))
        }
    }
}

/// The row of one key.
pub(super) async fn of_key(
    road: &Road,
    id: NodeId,
    key: &Key,
    deadline: Deadline,
) -> Result<Option<DirtyRow>> {
    let page = page(road, id, Some(key.clone()), 1, deadline, Via::Guard).await?;
    Ok(page.into_iter().next().filter(|row| row.key == *key))
}

/// The row goes, if its number has not changed; whether it went.
pub(super) async fn drained(
    road: &Road,
    id: NodeId,
    row: DirtyRow,
    deadline: Deadline,
) -> Result<bool> {
    let op = RecordOp::Drained { cache: Arc::from(OVERFLOW), rows: vec![row] };
    let gone = call(road, id, &Op::Record(op), deadline, Via::Guard).await?;
    Ok(gone.into_integer()? > 0)
}

async fn page(
    road: &Road,
    id: NodeId,
    from: Option<Key>,
    limit: usize,
    deadline: Deadline,
    via: Via,
) -> Result<Vec<DirtyRow>> {
    let op = RecordOp::Dirty { cache: Arc::from(OVERFLOW), from, limit };
    call(road, id, &Op::Record(op), deadline, via).await?.into_dirty()
}

/// Lists the rows of this node, as far as there is room for them.
///
/// # Errors
/// The node's; what was listed before counts.
pub(super) async fn list(road: &Road, id: NodeId, via: Via) -> Result<()> {
    let Some(rows) = &road.rows[id] else { return Ok(()) };
    let _alone = rows.listing.lock().await;
    look(road, (id, rows), road.clock.deadline_in(STEP), via).await?;
    let mut from = None;
    loop {
        let page = page(road, id, from, PAGE, road.clock.deadline_in(STEP), via).await?;
        for row in &page {
            let route = road.table.of(&row.key);
            // Others may have other routes.
            if stands_below(route, id) && !road.overflow[route.id].found(&row.key, id, row.number) {
                rows.set_listed(Listed::Before(row.key.clone()));
                return Ok(());
            }
        }
        match page.last().filter(|_| page.len() == PAGE) {
            Some(last) => {
                let end = last.key.following();
                rows.listed_up_to(&end);
                from = Some(end);
            }
            None => {
                rows.set_listed(Listed::All);
                return Ok(());
            }
        }
    }
}

/// Whether this node takes for a better one what takes this route.
pub(crate) fn stands_below(route: &Route, id: NodeId) -> bool {
    matches!(route.shape, Shape::Failover { .. }) && route.nodes().skip(1).any(|node| node == id)
}

/// Whether the rows of all nodes below this one are known.
pub(super) fn all_listed(road: &Road, route: &Route, to: NodeId) -> bool {
    below(route, to).all(|id| road.rows[id].as_ref().is_none_or(Rows::all_listed))
}

/// Lists the rows of those nodes below this one that were not listed to their end yet, if they can be reached in time.
pub(super) async fn list_below(road: &Road, route: &Route, to: NodeId, deadline: Deadline) {
    let now = road.clock.now();
    let limit = deadline.within(now, LISTING_WAIT).instant();
    for id in below(route, to) {
        let unlisted = road.rows[id].as_ref().is_some_and(|rows| !rows.all_listed());
        if unlisted && road.nodes[id].view(now).is_available() {
            // Whatever came of it, `unlisted` tells.
            drop(tokio::time::timeout_at(limit, list(road, id, Via::Guard)).await);
        }
    }
}

/// The nodes below this one that may have a row for the key which nobody here knows of.
pub(super) fn unlisted<'a>(
    road: &'a Road,
    route: &'a Route,
    to: NodeId,
    key: &'a Key,
) -> impl Iterator<Item = NodeId> + 'a {
    below(route, to).filter(move |id| {
        let unknown = |rows: &Rows| !knows(road, route, rows, *id, key);
        road.rows[*id].as_ref().is_some_and(unknown)
    })
}

fn knows(road: &Road, route: &Route, rows: &Rows, id: NodeId, key: &Key) -> bool {
    rows.has_listed(key) || road.overflow[route.id].at(key, id).is_some()
}

fn below(route: &Route, to: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    route.nodes().skip_while(move |id| *id != to).skip(1)
}

/// Begins a move of what this node took. `None`: another process moves.
///
/// # Errors
/// The node's.
pub(super) async fn mover<'a>(
    road: &Road,
    (id, rows): (NodeId, &'a Rows),
    deadline: Deadline,
) -> Result<Option<Mover<'a>>> {
    let begun = || rows.begin(road.clock.now(), road.clock.suspended());
    if !rows.fades(road.clock.now())
        && let Some(mover) = begun()
    {
        return Ok(Some(mover));
    }
    let _alone = rows.asking.lock().await;
    if rows.fades(road.clock.now()) || begun().is_none() {
        ask_for_right(road, (id, rows), deadline).await?;
    }
    Ok(begun())
}

async fn ask_for_right(road: &Road, (id, rows): (NodeId, &Rows), deadline: Deadline) -> Result<()> {
    // Counted from before anything was sent.
    let (asked, suspended) = (road.clock.now(), road.clock.suspended());
    let control = look(road, (id, rows), deadline, Via::Guard).await?;
    let own = rows.own(asked, suspended);
    let Turn::Raise(number) = turn(&control, own) else { return Ok(()) };
    if raise(road, id, control.epoch, number, deadline).await? {
        let until = asked + control.terms.lease.min(RIGHT);
        let renewed = own.is_some_and(|own| own == control.beacon);
        rows.grant(Held { epoch: control.epoch, number, until, suspended }, renewed);
    }
    Ok(())
}

/// Gives the right back, unless it is in use.
pub(super) async fn give_back(road: &Road, id: NodeId) {
    let Some(rows) = &road.rows[id] else { return };
    let _alone = rows.asking.lock().await;
    if let Some(held) = rows.let_go() {
        // Lost: it ends by itself.
        let deadline = road.clock.deadline_in(STEP);
        drop(raise(road, id, held.epoch, held.number + 1, deadline).await);
    }
}

async fn raise(
    road: &Road,
    id: NodeId,
    epoch: u64,
    beacon: u64,
    deadline: Deadline,
) -> Result<bool> {
    let op = RecordOp::Raised { cache: Arc::from(OVERFLOW), epoch, beacon };
    let rose = call(road, id, &Op::Record(op), deadline, Via::Guard).await?;
    Ok(rose.into_integer()? > 0)
}
