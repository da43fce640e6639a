//! Many keys of one record route: the copies in one round trip, the rest from the record in another.
//! It must not know other routes.

use std::sync::Arc;

use super::{
    Reader, Road, Served,
    attempt::{Last, attempt},
    fill,
    read::{self, Found},
};
use crate::{
    backend::semantics::copies,
    cache::Seat,
    entry::{Freshness, Key, Record, Worth},
    error::Result,
    guard,
    op::{Op, OpClass},
    reply::Reply,
    sync::{domain::Counts, view::View},
};

/// Keys of one call that are filled at most: each is a script of its own in the cache.
const FILLS_PER_CALL: usize = 64;

/// What the cache said of each key.
struct Copies {
    view: Option<Arc<View>>,
    records: Vec<Option<Record>>,
    /// Keys of which it holds nothing.
    absent: Vec<bool>,
}

/// What this process keeps, and the rest from afar.
pub(super) async fn get_many(
    road: &Arc<Road>,
    reader: &Reader<'_>,
    keys: &[Key],
) -> Result<Served> {
    if road.l1.of_route(reader.route).is_none() {
        return from_afar(road, reader, keys).await;
    }
    let near: Vec<Option<Found>> = keys.iter().map(|key| reader.near(road, key)).collect();
    let rest = keys.iter().zip(&near).filter(|(_, near)| near.is_none());
    let rest: Vec<Key> = rest.map(|(key, _)| key.clone()).collect();
    let Some(bound) = near.iter().flatten().map(|found| found.freshness).max() else {
        return from_afar(road, reader, keys).await;
    };
    let (mut served, far) = match rest.is_empty() {
        true => (Served::by(road.nodes.len() - 1, Reply::Done), Vec::new()),
        false => {
            let mut served = from_afar(road, reader, &rest).await?;
            let far = std::mem::replace(&mut served.reply, Reply::Done).into_records()?;
            (served, far)
        }
    };
    // The weakest of the parts.
    let weakest = if rest.is_empty() { bound } else { served.worth.freshness().max(bound) };
    served.worth = Worth::Read(weakest);
    let mut far = far.into_iter();
    let whole = near.into_iter().map(|near| match near {
        Some(found) => found.record,
        None => far.next().flatten(),
    });
    served.reply = Reply::Records(whole.collect());
    Ok(served)
}

async fn from_afar(road: &Arc<Road>, reader: &Reader<'_>, keys: &[Key]) -> Result<Served> {
    let mut copies = copies(road, reader, keys).await;
    let missing: Vec<usize> =
        (0..keys.len()).filter(|index| copies.records[*index].is_none()).collect();
    if let (Some(domain), Some(view)) = (reader.domain, &copies.view) {
        Counts::add(&domain.counts.hits, keys.len() - missing.len());
        Counts::add(&domain.counts.misses, missing.len());
        if missing.is_empty() {
            let worth = Worth::Read(reader.freshness(view));
            let reply = Reply::Records(copies.records);
            return Ok(Served { worth, ..Served::by(domain.cache, reply) });
        }
    }
    let fillable: Vec<usize> = missing
        .iter()
        .copied()
        .filter(|index| copies.absent[*index])
        .take(FILLS_PER_CALL)
        .collect();
    let token = take_tokens(road, reader, &copies, keys, &fillable).await;
    let mut seats: Vec<Option<Seat>> = match reader.domain {
        Some(_) => Vec::new(),
        None => keys.iter().map(|key| reader.seat(road, key, None)).collect(),
    };
    let op = Op::GetMany { keys: missing.iter().map(|index| keys[*index].clone()).collect() };
    let reply = attempt(road, &road.nodes[reader.record], &op, reader.deadline, Last::Yes).await;
    let found = match reply.and_then(Reply::into_records) {
        Ok(found) => found,
        Err(error) if error.kind().is_callers() => return Err(error),
        Err(error) => return Err(road.unavailable(reader.route, vec![error], OpClass::Read)),
    };
    let granted = |index: usize| {
        let place = fillable.iter().position(|fillable| *fillable == index);
        place.zip(token.as_ref()).is_some_and(|(place, token)| token.has(place))
    };
    for (index, record) in missing.iter().zip(found) {
        reader.saw(road, &keys[*index], record.as_ref(), !granted(*index));
        let (node, freshness) = (reader.record, Freshness::Linearizable);
        let found = Found { record, node: Some(node), age: None, freshness };
        reader.keep(road, seats.get_mut(*index).and_then(Option::take), &found);
        copies.records[*index] = found.record;
    }
    if let (Some(token), Some(domain)) = (token, reader.domain) {
        let granted = fillable.iter().enumerate().filter(|(place, _)| token.has(*place));
        let filled = granted
            .filter_map(|(_, index)| Some((keys[*index].clone(), copies.records[*index].clone()?)));
        fill::spawn(road, reader.route, domain, &token, filled.collect());
    }
    let mixed = copies.view.as_ref().filter(|_| missing.len() < keys.len());
    let freshness = mixed.map_or(Freshness::Linearizable, |view| reader.freshness(view));
    let served = Served::by(reader.record, Reply::Records(copies.records));
    Ok(Served { worth: Worth::Read(freshness), ..served })
}

/// The copies that may be served, and which keys the cache holds nothing of.
async fn copies(road: &Road, reader: &Reader<'_>, keys: &[Key]) -> Copies {
    let none =
        || Copies { view: None, records: vec![None; keys.len()], absent: vec![false; keys.len()] };
    let Some((domain, view)) = reader.asks() else { return none() };
    let seats: Vec<Option<Seat>> =
        keys.iter().map(|key| reader.seat(road, key, Some(view))).collect();
    let op = Op::GetMany { keys: keys.iter().map(|key| view.key_of(key)).collect() };
    let cache = &road.nodes[domain.cache];
    let patience = reader.deadline.within(road.clock.now(), cache.hedge().patience);
    let deadline = if reader.hedge { patience } else { reader.deadline };
    let stored = match guard::call(cache, &op, deadline).await.and_then(Reply::into_records) {
        Ok(stored) if reader.still_readable(road, view) => stored,
        Ok(_) | Err(_) => return none(),
    };
    let hidden = |key: &Key| view.is_dirty(key) || domain.is_around(key);
    let absent =
        stored.iter().zip(keys).map(|(stored, key)| stored.is_none() && !hidden(key)).collect();
    let read = |((stored, key), seat): ((Option<Record>, &Key), Option<Seat>)| {
        if hidden(key) {
            return None;
        }
        let found = read::found(road, view, domain.cache, copies::read(stored?.value))?;
        let found = Some(found).filter(|found| reader.allows(key, found, view.asked()))?;
        reader.saw(road, key, found.record.as_ref(), false);
        reader.keep(road, seat, &found);
        found.record
    };
    let records = stored.into_iter().zip(keys).zip(seats).map(read).collect();
    Copies { view: Some(Arc::clone(view)), records, absent }
}

async fn take_tokens(
    road: &Road,
    reader: &Reader<'_>,
    copies: &Copies,
    keys: &[Key],
    fillable: &[usize],
) -> Option<fill::Token> {
    let (domain, view) = (reader.domain?, copies.view.as_ref()?);
    if fillable.is_empty() {
        return None;
    }
    let wanted: Vec<Key> = fillable.iter().map(|index| keys[*index].clone()).collect();
    fill::take_token(road, domain, view, &wanted, reader.deadline).await
}
