//! Journaled writes: applied once, never over somebody else's, and dirty for every active cache.
//! It must not begin or end the transaction that it stands in, nor know how a journal is kept.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension};

use super::{
    classify, control, guarded, read,
    work::Rules,
    write::{self, atomically, change},
};
use crate::{
    backend::semantics,
    entry::{Key, Version},
    error::Result,
    op::{Base, Op},
    reply::{Applied, Reply},
};

const SEQ: &str = "SELECT seq FROM mainstay_journal WHERE journal = ?1";
const ADVANCE: &str = "INSERT INTO mainstay_journal (journal, seq) VALUES (?1, ?2)
    ON CONFLICT (journal) DO UPDATE SET seq = ?2";
/// Tombstones and expired rows too: somebody wrote them.
const ROW: &str = "SELECT epoch, counter, updated_at FROM mainstay_kv WHERE key = ?1";
const OWN: &str = "SELECT epoch, counter FROM mainstay_journal_key WHERE journal = ?1 AND key = ?2";
const NOTE: &str = "INSERT INTO mainstay_journal_key (journal, key, epoch, counter)
    SELECT ?1, key, epoch, counter FROM mainstay_kv WHERE key = ?2
    ON CONFLICT (journal, key) DO UPDATE SET epoch = excluded.epoch, counter = excluded.counter";
/// `semantics::control::OVERFLOW` is not a cache.
const ACTIVE: &str = "SELECT cache FROM mainstay_cache
    WHERE active = 1 AND cache <> '/overflow' ORDER BY cache";

/// Where a write stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) journal: u128,
    pub(super) seq: u64,
}

/// Applies the write, unless that was done or somebody else wrote its keys since. `now` is the host's clock. An error
/// leaves nothing behind.
pub(super) fn apply(
    connection: &Connection,
    place: Place,
    op: &Op,
    base: Base,
    now: i64,
    rules: &Rules,
) -> Result<Applied> {
    let journal = place.journal.to_be_bytes();
    let seq = control::column(place.seq)?;
    if last(connection, &journal)?.is_some_and(|last| seq <= last) {
        return Ok(Applied::Already);
    }
    let keys = semantics::keys_of(op);
    for key in &keys {
        if is_foreign(connection, &journal, key, base)? {
            return Ok(Applied::Conflict(key.clone()));
        }
    }
    let caches = active(connection)?;
    let reply: Reply = atomically(connection, || {
        for cache in &caches {
            guarded::around(connection, cache, &keys, None, Duration::ZERO, now)?;
        }
        let reply = write::write(connection, op, rules)?;
        for key in &keys {
            change(connection, NOTE, &[&journal, &key.as_bytes()])?;
        }
        change(connection, ADVANCE, &[&journal, &seq])?;
        Ok(reply)
    })?;
    Ok(Applied::Done(Box::new(reply)))
}

fn last(connection: &Connection, journal: &[u8]) -> Result<Option<i64>> {
    let statement = connection.prepare_cached(SEQ);
    let seq = statement
        .and_then(|mut statement| statement.query_row([journal], |row| row.get(0)).optional());
    seq.map_err(classify::error)
}

/// Whether somebody else wrote this key since the writer knew it.
fn is_foreign(connection: &Connection, journal: &[u8], key: &Key, base: Base) -> Result<bool> {
    let mut statement = connection.prepare_cached(ROW).map_err(classify::error)?;
    let mut rows = statement.query([key.as_bytes()]).map_err(classify::error)?;
    let Some(row) = rows.next().map_err(classify::error)? else { return Ok(false) };
    let version = read::version(row, 0)?;
    let updated_ms: i64 = row.get(2).map_err(classify::error)?;
    // It was written at some time of this millisecond.
    let written_before_us = updated_ms.saturating_add(1).saturating_mul(1000);
    Ok(base.version != Some(version)
        && base.known_until_us.is_none_or(|until| until < written_before_us)
        && own(connection, journal, key)? != Some(version))
}

/// The version that the journal itself gave the key last.
fn own(connection: &Connection, journal: &[u8], key: &Key) -> Result<Option<Version>> {
    let mut statement = connection.prepare_cached(OWN).map_err(classify::error)?;
    let mut rows = statement.query((journal, key.as_bytes())).map_err(classify::error)?;
    let row = rows.next().map_err(classify::error)?;
    row.map(|row| read::version(row, 0)).transpose()
}

fn active(connection: &Connection) -> Result<Vec<Arc<str>>> {
    let mut statement = connection.prepare_cached(ACTIVE).map_err(classify::error)?;
    let caches = statement.query_map([], |row| row.get(0)).map_err(classify::error)?;
    caches.collect::<rusqlite::Result<_>>().map_err(classify::error)
}
