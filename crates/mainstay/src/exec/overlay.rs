//! The one place where this process's reads see its own writes that wait in the journal.
//! It must not know how they are kept, nor where the rest of the answer comes from.

use std::{sync::Arc, time::Duration};

use super::{
    Reader, Road, Served, many,
    read::{self, Found},
};
use crate::{
    entry::{Freshness, Key, Record, Worth},
    error::Result,
    reply::Reply,
    sync::journal::{Overlaid, OverlaidExpiry, OverlaidValue},
};

/// One key: what waits for it, or else what a copy or the record holds.
pub(super) async fn get(road: &Arc<Road>, reader: &Reader<'_>, key: &Key) -> Result<Found> {
    let Some(waiting) = road.backlog.as_ref().and_then(|backlog| backlog.overlaid(key)) else {
        return read::get(road, reader, key).await;
    };
    Box::pin(over(road, reader, key, waiting)).await
}

/// What waits, over what is beneath it.
async fn over(
    road: &Arc<Road>,
    reader: &Reader<'_>,
    key: &Key,
    waiting: Overlaid,
) -> Result<Found> {
    let now = road.clock.unix_ms();
    let beneath = if waiting.gone(now) {
        Ok(None)
    } else if needs_beneath(&waiting) {
        read::get(road, reader, key).await.map(Some)
    } else {
        Ok(None)
    };
    let beneath = match (beneath, &waiting.value) {
        (Ok(beneath), _) => beneath,
        (Err(error), OverlaidValue::AsInRecord) => return Err(error),
        // The value is known, and only how long it lives is not.
        (Err(_), OverlaidValue::Set(_) | OverlaidValue::Deleted) => None,
    };
    let (node, age) = match (&beneath, &waiting.value) {
        (Some(found), OverlaidValue::AsInRecord) => (found.node, found.age),
        _ => (None, None),
    };
    let record = seen(&waiting, beneath.and_then(|found| found.record), now);
    Ok(Found { record, node, age, freshness: Freshness::Pending })
}

/// The same for many keys, of one state of the journal.
pub(super) async fn get_many(
    road: &Arc<Road>,
    reader: &Reader<'_>,
    keys: &[Key],
) -> Result<Served> {
    let waiting = match &road.backlog {
        Some(backlog) => backlog.overlaid_all(keys),
        None => Vec::new(),
    };
    if waiting.iter().all(Option::is_none) {
        return many::get_many(road, reader, keys).await;
    }
    let now = road.clock.unix_ms();
    let is_asked = |waiting: &Option<Overlaid>| match waiting {
        None => true,
        Some(seen) => !seen.gone(now) && seen.value == OverlaidValue::AsInRecord,
    };
    let asked: Vec<usize> = (0..keys.len()).filter(|index| is_asked(&waiting[*index])).collect();
    let mut beneath: Vec<Option<Record>> = vec![None; keys.len()];
    let (mut node, mut worth) = (None, Worth::Read(Freshness::Pending));
    if !asked.is_empty() {
        let keys: Vec<Key> = asked.iter().map(|index| keys[*index].clone()).collect();
        let served = many::get_many(road, reader, &keys).await?;
        (node, worth) = (served.node, worth.max(served.worth));
        for (index, record) in asked.into_iter().zip(served.reply.into_records()?) {
            beneath[index] = record;
        }
    }
    let together = waiting.iter().zip(beneath).map(|(waiting, beneath)| match waiting {
        None => beneath,
        Some(waiting) => seen(waiting, beneath, now),
    });
    let reply = Reply::Records(together.collect());
    Ok(Served { reply, node, stale: false, worth, age: None })
}

fn needs_beneath(waiting: &Overlaid) -> bool {
    waiting.value == OverlaidValue::AsInRecord || waiting.expires == OverlaidExpiry::AsInRecord
}

/// The key as it will be. A value that waits has no version yet.
fn seen(waiting: &Overlaid, beneath: Option<Record>, now: i64) -> Option<Record> {
    if waiting.gone(now) {
        return None;
    }
    let ttl = match waiting.expires {
        OverlaidExpiry::Never => None,
        OverlaidExpiry::At(at) => {
            let left = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
            Some(Duration::from_millis(left))
        }
        OverlaidExpiry::AsInRecord => beneath.as_ref().and_then(|record| record.ttl),
    };
    match &waiting.value {
        OverlaidValue::Deleted => None,
        OverlaidValue::Set(value) => Some(Record { value: value.clone(), version: None, ttl }),
        OverlaidValue::AsInRecord => beneath.map(|record| Record { ttl, ..record }),
    }
}
