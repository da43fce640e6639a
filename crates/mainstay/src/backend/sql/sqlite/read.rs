//! The reads, each one statement or one transaction.
//! It must not write: the connections that it is given refuse it.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, types::ValueRef};

use super::classify;
use crate::{
    backend::semantics::{range_of, ttl_left},
    backend::sql,
    entry::{Key, Record, Ttl, Version},
    error::{Error, ErrorKind, Result},
    op::Op,
    reply::{Page, Reply},
};

const RECORD: &str = "SELECT value, epoch, counter, expires_at FROM mainstay_kv
    WHERE key = ?1 AND deleted = 0 AND (expires_at IS NULL OR expires_at > ?2)";
const LENGTH: &str = "SELECT length(value) FROM mainstay_kv
    WHERE key = ?1 AND deleted = 0 AND (expires_at IS NULL OR expires_at > ?2)";
const EXPIRY: &str = "SELECT expires_at FROM mainstay_kv
    WHERE key = ?1 AND deleted = 0 AND (expires_at IS NULL OR expires_at > ?2)";
const PAGE: &str = "SELECT key FROM mainstay_kv
    WHERE key >= ?1 AND key < ?2 AND deleted = 0 AND (expires_at IS NULL OR expires_at > ?3)
    ORDER BY key LIMIT ?4";
/// Live keys, all keys and the last key of the next stretch.
const COUNT: &str = "SELECT ifnull(sum(live), 0), count(*), max(key) FROM (
    SELECT key, deleted = 0 AND (expires_at IS NULL OR expires_at > ?3) AS live FROM mainstay_kv
    WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?4)";

/// Keys that a count passes before it looks whether anybody still waits for it.
const STRETCH: i64 = 10_000;

/// Whether this is an operation of this module.
pub(super) fn reads(op: &Op) -> bool {
    // Whoever asks a voter for the first time names it.
    let names = matches!(op, Op::Lock(crate::op::LockOp::Member { .. }));
    op.class() == crate::op::OpClass::Read && !names
}

/// The reply to a read at `now`, Unix milliseconds. A long one ends early once it is not `awaited` any more.
pub(super) fn read(
    connection: &Connection,
    op: &Op,
    now: i64,
    awaited: &dyn Fn() -> bool,
) -> Result<Reply> {
    match op {
        Op::Get { key, with_ttl } => record(connection, key, now, *with_ttl).map(Reply::Record),
        Op::GetMany { keys } => {
            let records = at_once(connection, || {
                keys.iter().map(|key| record(connection, key, now, true)).collect()
            });
            records.map(Reply::Records)
        }
        Op::GetRange { key, start, end } => {
            let value = record(connection, key, now, false)?.map(|record| record.value);
            Ok(Reply::Bytes(range_of(&value.unwrap_or_default(), *start, *end)))
        }
        Op::Length { key } => {
            let length: Option<Option<i64>> = one(connection, LENGTH, key, now)?;
            let null = || sql::unreadable("holds Null where bytes are due");
            length.map_or(Ok(0), |length| length.ok_or_else(null)).map(Reply::Integer)
        }
        Op::TimeToLive { key } => {
            let expires_at: Option<Option<i64>> = one(connection, EXPIRY, key, now)?;
            Ok(Reply::Ttl(match expires_at {
                None => Ttl::Missing,
                Some(None) => Ttl::Persistent,
                Some(Some(at)) => Ttl::Left(ttl_left(at, now)),
            }))
        }
        Op::Exists { keys } => at_once(connection, || exists(connection, keys, now)),
        Op::Scan { prefix, cursor, limit } => {
            page(connection, prefix, cursor.as_ref(), *limit, now).map(Reply::Page)
        }
        Op::Count { prefix } => {
            let count = at_once(connection, || count(connection, prefix, now, awaited));
            count.map(Reply::Integer)
        }
        write => {
            let message = format!("{} was read", write.name());
            Err(Error::new(ErrorKind::Internal, message))
        }
    }
}

/// All reads of `look` see one state of the database.
pub(super) fn at_once<T>(connection: &Connection, look: impl FnOnce() -> Result<T>) -> Result<T> {
    if !connection.is_autocommit() {
        return look();
    }
    let transaction = connection.unchecked_transaction().map_err(classify::error)?;
    let outcome = look();
    transaction.finish().map_err(classify::error)?;
    outcome
}

fn one<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &str,
    key: &Key,
    now: i64,
) -> Result<Option<T>> {
    let statement = connection.prepare_cached(sql);
    let found = statement.and_then(|mut statement| {
        statement.query_row((key.as_bytes(), now), |row| row.get(0)).optional()
    });
    found.map_err(classify::error)
}

fn record(connection: &Connection, key: &Key, now: i64, with_ttl: bool) -> Result<Option<Record>> {
    let mut statement = connection.prepare_cached(RECORD).map_err(classify::error)?;
    let mut rows = statement.query((key.as_bytes(), now)).map_err(classify::error)?;
    let Some(row) = rows.next().map_err(classify::error)? else { return Ok(None) };
    let expires_at: Option<i64> = row.get(3).map_err(classify::error)?;
    Ok(Some(Record {
        value: bytes(row, 0)?,
        version: Some(version(row, 1)?),
        ttl: expires_at.filter(|_| with_ttl).map(|at| ttl_left(at, now)),
    }))
}

fn exists(connection: &Connection, keys: &[Key], now: i64) -> Result<Reply> {
    let mut count = 0;
    for key in keys {
        let found: Option<Option<i64>> = one(connection, EXPIRY, key, now)?;
        count += i64::from(found.is_some());
    }
    Ok(Reply::Integer(count))
}

/// The cursor is the least key that may still come.
fn page(
    connection: &Connection,
    prefix: &Bytes,
    cursor: Option<&Bytes>,
    limit: usize,
    now: i64,
) -> Result<Page> {
    let start = cursor.map_or(&prefix[..], |cursor| cursor.max(prefix));
    let limit = limit.max(1);
    let range: [&dyn ToSql; 4] =
        [&start, &end_of(prefix), &now, &i64::try_from(limit).unwrap_or(i64::MAX)];
    let mut statement = connection.prepare_cached(PAGE).map_err(classify::error)?;
    let mut rows = statement.query(range).map_err(classify::error)?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next().map_err(classify::error)? {
        keys.push(Key::from(bytes(row, 0)?));
    }
    let last = keys.last().filter(|_| keys.len() >= limit);
    let next = last.map(|key| [key.as_bytes(), &[0]].concat().into());
    Ok(Page { keys, next })
}

fn count(
    connection: &Connection,
    prefix: &Bytes,
    now: i64,
    awaited: &dyn Fn() -> bool,
) -> Result<i64> {
    let mut statement = connection.prepare_cached(COUNT).map_err(classify::error)?;
    let (mut start, end, mut count) = (prefix.to_vec(), end_of(prefix), 0);
    while awaited() {
        let range: [&dyn ToSql; 4] = [&start, &end, &now, &STRETCH];
        let stretch = statement.query_row(range, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let (live, passed, last): (i64, i64, Option<Vec<u8>>) = stretch.map_err(classify::error)?;
        count += live;
        let Some(last) = last.filter(|_| passed == STRETCH) else { return Ok(count) };
        start = [&last[..], &[0]].concat();
    }
    Err(Error::new(ErrorKind::Timeout, "nobody waits for this count any more"))
}

/// The least bytes above all keys under a prefix; above all keys that there may be when there are none such.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    match prefix.iter().rposition(|byte| *byte != 0xff) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        }
        None => vec![0xff; Key::LEN_MAX + 1],
    }
}

/// A column that holds bytes.
pub(super) fn bytes(row: &Row<'_>, column: usize) -> Result<Bytes> {
    match row.get_ref(column).map_err(classify::error)? {
        ValueRef::Blob(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        other => Err(sql::unreadable(&format!("holds {} where bytes are due", other.data_type()))),
    }
}

/// Two columns that hold a version.
pub(super) fn version(row: &Row<'_>, column: usize) -> Result<Version> {
    let epoch: i64 = row.get(column).map_err(classify::error)?;
    let counter: i64 = row.get(column + 1).map_err(classify::error)?;
    match (u32::try_from(epoch), u64::try_from(counter)) {
        (Ok(epoch), Ok(counter)) => Ok(Version { epoch, counter }),
        _ => Err(sql::unreadable(&format!("holds the version {epoch}-{counter}, which is none"))),
    }
}
