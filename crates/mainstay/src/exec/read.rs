//! Reads of a record route: the copy if there is one and it may be read, else the record, and the copy filled behind it.
//! It must not know how copies are encoded beyond `semantics::copies`, nor write to the record.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use super::{
    Reader, Road, Served,
    attempt::{Last, attempt},
    fill, hedge, overlay, stale,
};
use crate::{
    backend::semantics::{
        copies::{self, Seen},
        range_of,
    },
    entry::{Freshness, Key, Record, Ttl, Worth},
    error::{Error, ErrorKind, Result},
    guard,
    op::{Op, OpClass},
    reply::Reply,
    route::NodeId,
    sync::{domain::Counts, mark, view::View},
    trace,
};

/// A record and who gave it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) record: Option<Record>,
    /// `None`: what waits in the journal.
    pub(crate) node: Option<NodeId>,
    pub(crate) age: Option<Duration>,
    pub(crate) freshness: Freshness,
}

impl Found {
    /// What a cache showed under this view; `None`: no value.
    pub(crate) fn of_copy(road: &Road, view: &View, cache: NodeId, seen: Seen) -> Option<Self> {
        found(road, view, cache, seen)
    }

    pub(super) fn served(&self, reply: Reply) -> Served {
        Served {
            age: self.age,
            stale: matches!(self.freshness, Freshness::Unverified(_)),
            worth: Worth::Read(self.freshness),
            node: self.node,
            reply,
        }
    }
}

/// Straight from the record.
pub(super) async fn from_record(road: &Arc<Road>, reader: &Reader<'_>, op: &Op) -> Result<Served> {
    let record = reader.record;
    let reply = attempt(road, &road.nodes[record], op, reader.deadline, Last::Yes).await;
    match reply {
        Ok(reply) => {
            if let Some(domain) = reader.domain {
                road.counts.fallback(domain.cache, record, ErrorKind::BreakerOpen);
            }
            Ok(Served { worth: Worth::Read(Freshness::Linearizable), ..Served::by(record, reply) })
        }
        Err(error) if error.kind().is_callers() => Err(error),
        Err(error) => Err(road.unavailable(reader.route, vec![error], OpClass::Read)),
    }
}

/// A read that a copy can answer.
pub(super) async fn of_copies(road: &Arc<Road>, reader: &Reader<'_>, op: &Op) -> Result<Served> {
    match op {
        Op::Get { key, .. } => Ok(overlay::get(road, reader, key).await?.into_served()),
        Op::GetRange { key, start, end } => {
            let found = overlay::get(road, reader, key).await?;
            let part = found.record.as_ref().map(|record| range_of(&record.value, *start, *end));
            Ok(found.served(Reply::Bytes(part.unwrap_or_default())))
        }
        Op::Length { key } => {
            let found = overlay::get(road, reader, key).await?;
            let length = found.record.as_ref().map_or(0, |record| record.value.len());
            Ok(found.served(Reply::Integer(i64::try_from(length).unwrap_or(i64::MAX))))
        }
        Op::TimeToLive { key } => {
            let found = overlay::get(road, reader, key).await?;
            let left = |record: &Record| record.ttl.map_or(Ttl::Persistent, Ttl::Left);
            Ok(found.served(Reply::Ttl(found.record.as_ref().map_or(Ttl::Missing, left))))
        }
        Op::GetMany { keys } => Box::pin(overlay::get_many(road, reader, keys)).await,
        Op::Exists { keys } => {
            let served = Box::pin(overlay::get_many(road, reader, keys)).await?;
            let records = served.reply.into_records()?;
            let count = records.iter().filter(|record| record.is_some()).count();
            Ok(Served { reply: Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX)), ..served })
        }
        _ => Box::pin(from_record(road, reader, op)).await,
    }
}

/// What the cache said.
enum Asked {
    /// A copy that may be served.
    Hit(Found),
    /// Nothing: whoever gets a token may fill.
    Absent,
    /// A write is in flight, somebody else fills, or the copy may not be served.
    Withheld,
    /// It failed.
    Failed(Error),
}

impl Asked {
    /// For traces.
    fn word(&self) -> &'static str {
        match self {
            Asked::Hit(_) => "hit",
            Asked::Absent => "miss",
            Asked::Withheld => "withheld",
            Asked::Failed(_) => "failed",
        }
    }
}

/// The copy, else the record. A late cache is overtaken; the guard counts the call that is given up as slow.
pub(super) async fn get(road: &Arc<Road>, reader: &Reader<'_>, key: &Key) -> Result<Found> {
    if !reader.looked
        && let Some(found) = reader.near(road, key)
    {
        return Ok(found);
    }
    let Some((cache, view)) = reader.readable(key) else {
        return Box::pin(past_cache(road, reader, key)).await;
    };
    let seat = reader.seat(road, key, Some(view));
    let node = &road.nodes[cache];
    let op = Op::Get { key: view.key_of(key), with_ttl: false };
    let late = hedge::late(node, reader.hedge);
    let mut asked = pin!(guard::call_until_late(node, &op, reader.deadline, late));
    let Some(reply) = hedge::unless_late(road, node, late, asked.as_mut()).await else {
        return Box::pin(overtake(road, reader, key, view, asked)).await;
    };
    match heard(road, reader, key, cache, view, reply) {
        Asked::Hit(found) => {
            reader.keep(road, seat, &found);
            Ok(found)
        }
        missed => Box::pin(instead(road, reader, key, cache, view, missed)).await,
    }
}

/// The record, for the cache had no copy that may be served.
async fn instead(
    road: &Arc<Road>,
    reader: &Reader<'_>,
    key: &Key,
    cache: NodeId,
    view: &Arc<View>,
    asked: Asked,
) -> Result<Found> {
    match asked {
        Asked::Hit(found) => Ok(found),
        Asked::Absent => {
            let keys = std::slice::from_ref(key);
            let token = match reader.domain {
                Some(domain) => fill::take_token(road, domain, view, keys, reader.deadline).await,
                None => None,
            };
            get_record(road, reader, key, token, None).await
        }
        Asked::Withheld => get_record(road, reader, key, None, None).await,
        Asked::Failed(error) => {
            let kind = error.kind();
            let found = get_record(road, reader, key, None, Some(error)).await?;
            road.counts.fallback(cache, reader.record, kind);
            Ok(found)
        }
    }
}

/// The record alone. Where there is no cache, this process keeps what it read.
async fn past_cache(road: &Arc<Road>, reader: &Reader<'_>, key: &Key) -> Result<Found> {
    if let Some(domain) = reader.domain {
        trace::passed_by(road.nodes[domain.cache].name(), why(road, domain.cache));
    }
    let seat = match reader.domain {
        Some(_) => None,
        None => reader.seat(road, key, None),
    };
    let found = get_record(road, reader, key, None, None).await?;
    if found.freshness == Freshness::Linearizable {
        reader.keep(road, seat, &found);
    }
    Ok(found)
}

/// Why a cache is not asked: it refuses, or there is no lease under which its copies may be believed.
fn why(road: &Road, cache: NodeId) -> ErrorKind {
    match road.nodes[cache].refused(road.clock.now()) {
        Some((kind, _)) => kind,
        None => ErrorKind::NotReady,
    }
}

/// The cache is late: the record is asked as well, and the first that can answer does.
async fn overtake(
    road: &Arc<Road>,
    reader: &Reader<'_>,
    key: &Key,
    view: &Arc<View>,
    mut asked: Pin<&mut impl Future<Output = Result<Reply>>>,
) -> Result<Found> {
    road.counts.hedge();
    let cache = reader.domain.map_or(reader.record, |domain| domain.cache);
    trace::hedge(road.nodes[cache].name());
    let hit = |reply| match heard(road, reader, key, cache, view, reply) {
        Asked::Hit(found) => Some(found),
        Asked::Absent | Asked::Withheld | Asked::Failed(_) => None,
    };
    let mut record = pin!(get_record(road, reader, key, None, None));
    tokio::select! {
        biased;
        reply = &mut asked => match hit(reply) {
            Some(found) => Ok(found),
            None => record.await,
        },
        found = &mut record => match found {
            Ok(found) => {
                road.counts.fallback(cache, reader.record, ErrorKind::Timeout);
                Ok(found)
            }
            Err(error) => hit(asked.await).ok_or(error),
        },
    }
}

/// Judges a reply of the cache. The lease that it was asked under must still last now, not only when it was asked.
fn heard(
    road: &Road,
    reader: &Reader<'_>,
    key: &Key,
    cache: NodeId,
    view: &View,
    reply: Result<Reply>,
) -> Asked {
    let Some(domain) = reader.domain else { return Asked::Withheld };
    let asked = match reply.and_then(Reply::into_record) {
        Err(error) => Asked::Failed(error),
        Ok(_) if !reader.still_readable(road, view) => Asked::Withheld,
        Ok(None) => Asked::Absent,
        Ok(Some(stored)) => match found(road, view, cache, copies::read(stored.value)) {
            Some(found) if reader.allows(key, &found, view.asked()) => {
                let freshness = reader.freshness(view);
                Asked::Hit(Found { freshness, ..found })
            }
            Some(_) | None => Asked::Withheld,
        },
    };
    trace::copy(road.nodes[cache].name(), asked.word());
    match &asked {
        Asked::Hit(found) => {
            Counts::add(&domain.counts.hits, 1);
            reader.saw(road, key, found.record.as_ref(), false);
            domain.served.note(key);
        }
        _ => Counts::add(&domain.counts.misses, 1),
    }
    asked
}

/// A copy as a record, its times counted from now.
pub(super) fn found(road: &Road, view: &View, cache: NodeId, seen: Seen) -> Option<Found> {
    let Seen::Value { value, version, expires_at, taken_at } = seen else { return None };
    let now = view.cache_ms(road.clock.unix_ms());
    let age = Duration::from_millis(u64::try_from(now.saturating_sub(taken_at)).unwrap_or(0));
    // The cache itself lets it go in time, by one clock; this only tells how much is left.
    let ttl = expires_at.map(|at| mark::left(view, &road.clock, at).max(LEAST));
    let record = Record { value, version: Some(version), ttl };
    let freshness = Freshness::Unverified(Duration::ZERO);
    Some(Found { record: Some(record), node: Some(cache), age: Some(age), freshness })
}

/// What is there has not expired.
const LEAST: Duration = Duration::from_millis(1);

/// The record; the copy is filled behind it where this read holds the token. `failed`: why the cache gave no answer.
async fn get_record(
    road: &Arc<Road>,
    reader: &Reader<'_>,
    key: &Key,
    token: Option<fill::Token>,
    failed: Option<Error>,
) -> Result<Found> {
    let op = Op::Get { key: key.clone(), with_ttl: true };
    let node = &road.nodes[reader.record];
    let reply = attempt(road, node, &op, reader.deadline, Last::Yes).await;
    let record = match reply.and_then(Reply::into_record) {
        Ok(record) => record,
        Err(error) if error.kind().is_callers() => return Err(error),
        Err(error) => return stale::instead(road, reader, key, error, failed).await,
    };
    let granted = token.filter(|token| token.has(0));
    // Who holds the token is the only one to fill: no copy can be older than this.
    reader.saw(road, key, record.as_ref(), granted.is_none());
    if let (Some(token), Some(record), Some(domain)) = (granted, &record, reader.domain) {
        let found = vec![(key.clone(), record.clone())];
        fill::spawn(road, reader.route, domain, &token, found);
    }
    reader.knows(road, key, record.as_ref());
    Ok(Found { record, node: Some(reader.record), age: None, freshness: Freshness::Linearizable })
}
