//! Reads of a record route: the copy if there is one, else the record, and the copy filled behind it.
//! It must not know how copies are encoded beyond `cache::copy`, nor write to the record.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use super::{
    Road, Served,
    attempt::{Last, attempt},
    fill, hedge, many,
};
use crate::{
    backend::semantics::range_of,
    cache::copy::{self, Copy},
    clock::Deadline,
    entry::{Key, Record, Ttl},
    error::{Error, ErrorKind, Result},
    guard,
    op::{Op, OpClass},
    reply::Reply,
    route::{NodeId, Route},
};

/// A cache and the record behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) cache: NodeId,
    pub(super) record: NodeId,
    /// Whether a late cache may be overtaken by the record.
    pub(super) hedge: bool,
}

/// A record and who gave it.
pub(super) struct Found {
    pub(super) record: Option<Record>,
    pub(super) node: NodeId,
    pub(super) age: Option<Duration>,
}

pub(super) async fn from_record(
    road: &Arc<Road>,
    route: &Route,
    record: NodeId,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let reply = attempt(road, &road.nodes[record], op, deadline, Last::Yes).await;
    match reply {
        Ok(reply) => {
            if let Some(cache) = road.preferred_cache(route) {
                road.counts.fallback(cache, record, ErrorKind::BreakerOpen);
            }
            Ok(Served::by(record, reply))
        }
        Err(error) if error.kind().is_callers() => Err(error),
        Err(error) => Err(road.unavailable(route, vec![error], OpClass::Read)),
    }
}

pub(super) async fn through_cache(
    road: &Arc<Road>,
    route: &Arc<Route>,
    pair: Pair,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    match op {
        Op::Get { key, .. } => {
            let found = get(road, route, pair, key, deadline).await?;
            Ok(served(&found, Reply::Record(found.record.clone())))
        }
        Op::GetRange { key, start, end } => {
            let found = get(road, route, pair, key, deadline).await?;
            let part = found.record.as_ref().map(|record| range_of(&record.value, *start, *end));
            Ok(served(&found, Reply::Bytes(part.unwrap_or_default())))
        }
        Op::Length { key } => {
            let found = get(road, route, pair, key, deadline).await?;
            let length = found.record.as_ref().map_or(0, |record| record.value.len());
            Ok(served(&found, Reply::Integer(i64::try_from(length).unwrap_or(i64::MAX))))
        }
        Op::TimeToLive { key } => {
            let found = get(road, route, pair, key, deadline).await?;
            let ttl = found
                .record
                .as_ref()
                .map_or(Ttl::Missing, |record| record.ttl.map_or(Ttl::Persistent, Ttl::Left));
            Ok(served(&found, Reply::Ttl(ttl)))
        }
        Op::GetMany { keys } => many::get_many(road, route, pair, keys, deadline).await,
        Op::Exists { keys } => {
            let served = many::get_many(road, route, pair, keys, deadline).await?;
            let records = served.reply.into_records()?;
            let count = records.iter().filter(|record| record.is_some()).count();
            Ok(Served { reply: Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX)), ..served })
        }
        _ => from_record(road, route, pair.record, op, deadline).await,
    }
}

fn served(found: &Found, reply: Reply) -> Served {
    Served { reply, node: Some(found.node), stale: false, age: found.age }
}

/// The copy, else the record. A late cache is overtaken; the guard counts the call that is given up as slow.
async fn get(
    road: &Arc<Road>,
    route: &Arc<Route>,
    pair: Pair,
    key: &Key,
    deadline: Deadline,
) -> Result<Found> {
    let (cache, op) =
        (&road.nodes[pair.cache], Op::Get { key: copy::key_of(key), with_ttl: false });
    let mut asked = pin!(guard::call(cache, &op, deadline));
    let early = hedge::unless_late(road, cache, pair.hedge, asked.as_mut()).await;
    let Some(reply) = early else {
        return overtake(road, route, pair, key, asked, deadline).await;
    };
    match reply.and_then(Reply::into_record) {
        Ok(Some(stored)) => match copy::decode(stored.value, road.clock.unix_ms()) {
            Copy::Value { record, age } => {
                Ok(Found { record: Some(record), node: pair.cache, age: Some(age) })
            }
            Copy::Filling | Copy::Unreadable => {
                get_record(road, route, pair, key, Ok(None), deadline).await
            }
        },
        Ok(None) => {
            let token = fill::take_token(road, pair.cache, key, deadline).await;
            get_record(road, route, pair, key, Ok(token), deadline).await
        }
        Err(error) => {
            let kind = error.kind();
            let found = get_record(road, route, pair, key, Err(error), deadline).await?;
            road.counts.fallback(pair.cache, pair.record, kind);
            Ok(found)
        }
    }
}

/// The cache is late: the record is asked as well, and the first that can answer does.
async fn overtake(
    road: &Arc<Road>,
    route: &Arc<Route>,
    pair: Pair,
    key: &Key,
    mut asked: Pin<&mut impl Future<Output = Result<Reply>>>,
    deadline: Deadline,
) -> Result<Found> {
    road.counts.hedge();
    let mut record = pin!(get_record(road, route, pair, key, Ok(None), deadline));
    tokio::select! {
        biased;
        reply = &mut asked => match hit(road, pair.cache, reply) {
            Some(found) => Ok(found),
            None => record.await,
        },
        found = &mut record => match found {
            Ok(found) => {
                road.counts.fallback(pair.cache, pair.record, ErrorKind::Timeout);
                Ok(found)
            }
            Err(error) => hit(road, pair.cache, asked.await).ok_or(error),
        },
    }
}

fn hit(road: &Road, cache: NodeId, reply: Result<Reply>) -> Option<Found> {
    let stored = reply.and_then(Reply::into_record).ok()??;
    match copy::decode(stored.value, road.clock.unix_ms()) {
        Copy::Value { record, age } => {
            Some(Found { record: Some(record), node: cache, age: Some(age) })
        }
        Copy::Filling | Copy::Unreadable => None,
    }
}

/// The record; the copy is filled behind it when this read holds the token. `copy`: that token, or why the cache gave
/// no answer.
async fn get_record(
    road: &Arc<Road>,
    route: &Arc<Route>,
    pair: Pair,
    key: &Key,
    copy: Result<Option<u128>>,
    deadline: Deadline,
) -> Result<Found> {
    let op = Op::Get { key: key.clone(), with_ttl: true };
    let asked_at = road.clock.unix_ms();
    let reply = attempt(road, &road.nodes[pair.record], &op, deadline, Last::Yes).await;
    let record = match reply.and_then(Reply::into_record) {
        Ok(record) => record,
        Err(error) if error.kind().is_callers() => return Err(error),
        Err(error) => {
            let absent = || {
                Error::new(ErrorKind::NotReady, "holds no copy").at(road.nodes[pair.cache].name())
            };
            let of_cache = copy.err().unwrap_or_else(absent);
            return Err(road.unavailable(route, vec![error, of_cache], OpClass::Read));
        }
    };
    if let (Ok(Some(token)), Some(record)) = (copy, &record) {
        fill::spawn(road, route, pair.cache, key, token, record, asked_at);
    }
    Ok(Found { record, node: pair.record, age: None })
}

impl Road {
    /// The cache that would serve the route's reads if all were well.
    pub(super) fn preferred_cache(&self, route: &Route) -> Option<NodeId> {
        match &route.shape {
            crate::route::Shape::Record { caches, .. } => caches.first().copied(),
            crate::route::Shape::Failover { .. } => None,
        }
    }
}
