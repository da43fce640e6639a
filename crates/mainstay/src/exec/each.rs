//! Reads of several keys with an answer for each, in one operation where that says all that a read of each would.
//! It must not know how a key is read.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Road, Served, attempt::Last, raise, run, turn};
use crate::{
    clock::Deadline,
    config::Select,
    entry::{Key, Record},
    error::{ErrorKind, Result},
    merging::{BYTES_MEAN_MAX, Tally},
    op::{Op, OpClass},
    reply::Reply,
    route::{NodeId, Route, Shape},
    status::Health,
    sync::session::Session,
};

/// Keys that are read alone at once, at most: the rest waits for them.
pub(crate) const ALONE_MAX: usize = 64;

/// Fewer keys say nothing of what pays.
const TOLD_MIN: usize = 4;

/// The route that all these keys take, where its first backend has them all: it is well, takes many keys in one step, and
/// nothing has to be moved to it. What it says of several is then what it would say of each.
pub(crate) fn one_route<'a, 'k>(
    road: &'a Arc<Road>,
    keys: impl IntoIterator<Item = &'k Key>,
) -> Option<&'a Arc<Route>> {
    let mut keys = keys.into_iter();
    let (one, another) = (keys.next()?, keys.next()?);
    let route = road.table.of(one);
    first_of(road, route)?;
    let mut others = std::iter::once(another).chain(keys);
    others.all(|key| road.table.of(key).id == route.id).then_some(route)
}

/// The backend that answers every read of this route, and whether it is the only one.
fn first_of(road: &Arc<Road>, route: &Route) -> Option<(NodeId, Last)> {
    let Shape::Failover { backends, select } = &route.shape else { return None };
    let first = *backends.first()?;
    let (node, now) = (&road.nodes[first], road.clock.now());
    let takes = *select != Select::RoundRobin
        && route.source.is_none()
        && node.capabilities().atomic_many
        && node.view(now).is_available()
        && node.view(now).health == Health::Up
        && raise::is_level(road, route, first);
    takes.then_some((first, if backends.len() == 1 { Last::Yes } else { Last::No }))
}

/// One answer for each of the keys, in their order.
pub(crate) async fn get(
    road: &Arc<Road>,
    keys: Vec<Key>,
    deadline: Deadline,
    session: Option<&Session>,
) -> Vec<Result<Served>> {
    let route = one_route(road, &keys);
    let op = Op::GetMany { keys };
    let mut answers = match route {
        Some(route) => together(road, route, &op, deadline).await,
        None => Vec::new(),
    };
    let Op::GetMany { keys } = op else { return Vec::new() };
    answers.resize_with(keys.len(), || None);
    let missing = keys.into_iter().zip(&mut answers).filter(|(_, answer)| answer.is_none());
    let mut missing: Vec<(Key, &mut Option<Result<Served>>)> = missing.collect();
    while !missing.is_empty() {
        let later = missing.split_off(ALONE_MAX.min(missing.len()));
        let reads = missing.into_iter().map(async |(key, answer)| {
            let op = Op::Get { key, with_ttl: false };
            *answer = Some(run(road, &op, deadline, session).await);
        });
        join_all(reads).await;
        missing = later;
    }
    answers.into_iter().flatten().collect()
}

/// What the first backend says of each key of a `GetMany`; `None`: nothing, it has to be read alone.
async fn together(
    road: &Arc<Road>,
    route: &Arc<Route>,
    op: &Op,
    deadline: Deadline,
) -> Vec<Option<Result<Served>>> {
    let (Op::GetMany { keys }, Some((first, last))) = (op, first_of(road, route)) else {
        return Vec::new();
    };
    let asked = Box::pin(turn::ask_now(road, route, first, op, deadline, last)).await;
    let found = asked.and_then(|mut served| {
        let reply = std::mem::replace(&mut served.reply, Reply::Done);
        Ok((served, reply.into_records()?))
    });
    let (served, records) = match found {
        Ok(found) => found,
        Err(error) => {
            note(road, route, failed(keys.len(), error.kind()));
            return Vec::new();
        }
    };
    note(road, route, tally(&records));
    let answer = |record: Option<Record>| {
        // Nothing is said of a value of another type either.
        let record = Record { ttl: None, ..record? };
        let answer = Ok(Served { reply: Reply::Record(Some(record)), ..served });
        road.counts.request(route, OpClass::Read, &answer);
        Some(answer)
    };
    records.into_iter().map(answer).collect()
}

/// What failed for a while is tried again soon: it may have been too long an answer, or nobody there.
fn failed(asked: usize, kind: ErrorKind) -> Tally {
    let refused =
        kind.is_callers() || matches!(kind, ErrorKind::Forbidden | ErrorKind::Misconfigured);
    Tally::failed(asked, refused)
}

fn note(road: &Road, route: &Route, tally: Tally) {
    if tally.asked >= TOLD_MIN || tally.refused {
        road.together[route.id].note(tally);
    }
}

fn tally(records: &[Option<Record>]) -> Tally {
    let (asked, values) = (records.len(), records.iter().flatten());
    let bytes = values.clone().map(|record| record.value.len()).sum();
    // Many long values at once are as good as refused: they would have to be held until each has been sent.
    let refused = bytes > asked * BYTES_MEAN_MAX;
    Tally { asked, missed: asked - values.count(), bytes, refused }
}
