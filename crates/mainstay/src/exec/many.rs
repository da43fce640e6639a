//! Many keys of one record route: the copies in one round trip, the rest from the record in another.
//! It must not know other routes.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    Road, Served,
    attempt::{Last, attempt},
    fill,
    read::Pair,
};
use crate::{
    cache::copy::{self, Copy},
    clock::Deadline,
    entry::{Key, Record},
    error::Result,
    guard,
    op::{Op, OpClass},
    reply::Reply,
    route::Route,
};

/// Keys of one call that are filled at most: each costs a round trip of its own.
const FILLS_PER_CALL: usize = 32;

pub(super) async fn get_many(
    road: &Arc<Road>,
    route: &Arc<Route>,
    pair: Pair,
    keys: &[Key],
    deadline: Deadline,
) -> Result<Served> {
    let (mut records, fillable) = copies(road, pair, keys, deadline).await;
    let missing: Vec<usize> = (0..keys.len()).filter(|index| records[*index].is_none()).collect();
    if missing.is_empty() {
        return Ok(Served::by(pair.cache, Reply::Records(records)));
    }
    let tokens = tokens(road, pair, keys, &missing, &fillable, deadline).await;
    let op = Op::GetMany { keys: missing.iter().map(|index| keys[*index].clone()).collect() };
    let asked_at = road.clock.unix_ms();
    let reply = attempt(road, &road.nodes[pair.record], &op, deadline, Last::Yes).await;
    let found = match reply.and_then(Reply::into_records) {
        Ok(found) => found,
        Err(error) if error.kind().is_callers() => return Err(error),
        Err(error) => return Err(road.unavailable(route, vec![error], OpClass::Read)),
    };
    for (index, record) in missing.iter().zip(found) {
        if let (Some((_, token)), Some(record)) =
            (tokens.iter().find(|(at, _)| at == index), &record)
        {
            fill::spawn(road, route, pair.cache, &keys[*index], *token, record, asked_at);
        }
        records[*index] = record;
    }
    Ok(Served::by(pair.record, Reply::Records(records)))
}

/// The copies that the cache holds, and which keys it holds nothing of.
async fn copies(
    road: &Road,
    pair: Pair,
    keys: &[Key],
    deadline: Deadline,
) -> (Vec<Option<Record>>, Vec<bool>) {
    let op = Op::GetMany { keys: keys.iter().map(copy::key_of).collect() };
    let cache = &road.nodes[pair.cache];
    let patience = deadline.within(road.clock.now(), cache.hedge().patience);
    let deadline = if pair.hedge { patience } else { deadline };
    let Ok(stored) = guard::call(cache, &op, deadline).await.and_then(Reply::into_records) else {
        return (vec![None; keys.len()], vec![false; keys.len()]);
    };
    let (now, missed) = (road.clock.unix_ms(), &road.missed[pair.cache]);
    let fillable = stored.iter().map(Option::is_none).collect();
    let read = |(stored, key): (Option<Record>, &Key)| match copy::decode(stored?.value, now) {
        Copy::Value { record, .. } if missed.is_true(key) => Some(record),
        Copy::Value { .. } | Copy::Filling | Copy::Unreadable => None,
    };
    (stored.into_iter().zip(keys).map(read).collect(), fillable)
}

async fn tokens(
    road: &Road,
    pair: Pair,
    keys: &[Key],
    missing: &[usize],
    fillable: &[bool],
    deadline: Deadline,
) -> Vec<(usize, u128)> {
    let wanted = missing.iter().copied().filter(|index| fillable[*index]).take(FILLS_PER_CALL);
    let taken = wanted.map(async |index| {
        Some((index, fill::take_token(road, pair.cache, &keys[index], deadline).await?))
    });
    join_all(taken).await.into_iter().flatten().collect()
}
