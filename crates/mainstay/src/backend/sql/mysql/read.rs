//! Reads.
//! It must not know how a connection is opened or given up.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use mysql_async::{
    Row, Value,
    prelude::{FromValue, Queryable},
};

use super::{
    super::common::{BATCH_MAX, Intent, left, page, prefix_end, version},
    pool::{Connections, bounded},
    statement::{self, KEYS_MAX, Listed, bytes, listed},
};
use crate::{
    backend::semantics::range_of,
    clock::Deadline,
    entry::{Key, Record, Ttl},
    error::{Error, ErrorKind, Result},
    op::Op,
    reply::Reply,
};

/// Performs a read.
///
/// # Errors
/// Those of the server and the connection, all without effect; `Internal` for an `Op` that is a write.
pub(super) async fn run(all: &Connections, op: &Op, deadline: Deadline) -> Result<Reply> {
    match op {
        Op::Get { key, with_ttl } => Ok(Reply::Record(get(all, key, *with_ttl, deadline).await?)),
        Op::GetRange { key, start, end } => {
            let value = get(all, key, false, deadline).await?.map(|record| record.value);
            Ok(Reply::Bytes(range_of(&value.unwrap_or_default(), *start, *end)))
        }
        Op::GetMany { keys } => get_many(all, keys, deadline).await,
        Op::Length { key } => {
            let rows = rows(all, statement::LENGTH, vec![bytes(key.as_bytes())], deadline).await?;
            Ok(Reply::Integer(rows.into_iter().next().map_or(Ok(0), |mut row| take(&mut row, 0))?))
        }
        Op::TimeToLive { key } => {
            let sql = statement::TIME_TO_LIVE;
            let rows = rows(all, sql, vec![bytes(key.as_bytes())], deadline).await?;
            Ok(Reply::Ttl(match rows.into_iter().next() {
                None => Ttl::Missing,
                Some(mut row) => take::<Option<i64>>(&mut row, 0)?
                    .map_or(Ttl::Persistent, |ms| Ttl::Left(left(ms))),
            }))
        }
        Op::Exists { keys } => exists(all, keys, deadline).await,
        Op::Scan { prefix, cursor, limit } => {
            scan(all, prefix, cursor.as_deref(), (*limit).clamp(1, BATCH_MAX), deadline).await
        }
        Op::Count { prefix } => {
            let arguments = vec![bytes(prefix), end_of(prefix)];
            let rows = rows(all, statement::COUNT, arguments, deadline).await?;
            Ok(Reply::Integer(rows.into_iter().next().map_or(Ok(0), |mut row| take(&mut row, 0))?))
        }
        _ => Err(Error::new(ErrorKind::Internal, "a write was given to the reader")),
    }
}

async fn get(
    all: &Connections,
    key: &Key,
    with_ttl: bool,
    deadline: Deadline,
) -> Result<Option<Record>> {
    let rows = rows(all, statement::GET, vec![bytes(key.as_bytes())], deadline).await?;
    let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
    let ttl: Option<i64> = take(&mut row, 3)?;
    Ok(Some(Record {
        value: Bytes::from(take::<Vec<u8>>(&mut row, 0)?),
        version: Some(version(take(&mut row, 1)?, take(&mut row, 2)?)?),
        ttl: ttl.filter(|_| with_ttl).map(left),
    }))
}

async fn get_many(all: &Connections, keys: &[Key], deadline: Deadline) -> Result<Reply> {
    let mut found = HashMap::with_capacity(keys.len());
    for chunk in keys.chunks(KEYS_MAX) {
        for mut row in many(all, Listed::GetMany, chunk, deadline).await? {
            let record = Record {
                value: Bytes::from(take::<Vec<u8>>(&mut row, 1)?),
                version: Some(version(take(&mut row, 2)?, take(&mut row, 3)?)?),
                ttl: take::<Option<i64>>(&mut row, 4)?.map(left),
            };
            found.insert(take::<Vec<u8>>(&mut row, 0)?, record);
        }
    }
    Ok(Reply::Records(keys.iter().map(|key| found.get(key.as_bytes()).cloned()).collect()))
}

async fn exists(all: &Connections, keys: &[Key], deadline: Deadline) -> Result<Reply> {
    let mut found = HashSet::with_capacity(keys.len());
    for chunk in keys.chunks(KEYS_MAX) {
        for mut row in many(all, Listed::Existing, chunk, deadline).await? {
            found.insert(take::<Vec<u8>>(&mut row, 0)?);
        }
    }
    let named = keys.iter().filter(|key| found.contains(key.as_bytes())).count();
    Ok(Reply::Integer(i64::try_from(named).unwrap_or(i64::MAX)))
}

async fn scan(
    all: &Connections,
    prefix: &Bytes,
    cursor: Option<&[u8]>,
    limit: usize,
    deadline: Deadline,
) -> Result<Reply> {
    let limited = u64::try_from(limit).unwrap_or(u64::MAX);
    let (sql, after) = match cursor {
        Some(cursor) => (statement::SCAN_ON, Some(bytes(cursor))),
        None => (statement::SCAN, None),
    };
    let mut arguments = vec![bytes(prefix), end_of(prefix)];
    arguments.extend(after);
    arguments.push(Value::UInt(limited));
    let keys = rows(all, sql, arguments, deadline)
        .await?
        .into_iter()
        .map(|mut row| Ok(Key::new(take::<Vec<u8>>(&mut row, 0)?)));
    Ok(page(keys.collect::<Result<Vec<_>>>()?, limit))
}

/// The end of a range; where there is none, bytes that no key reaches.
fn end_of(prefix: &[u8]) -> Value {
    prefix_end(prefix).map_or_else(|| bytes(&[0xff; Key::LEN_MAX + 1]), Value::Bytes)
}

async fn many(
    all: &Connections,
    statement: Listed,
    keys: &[Key],
    deadline: Deadline,
) -> Result<Vec<Row>> {
    let (sql, places) = listed(statement, keys.len());
    rows(all, &sql, filled(keys, places), deadline).await
}

/// These keys, the last one repeated until there are `places`.
pub(super) fn filled(keys: &[Key], places: usize) -> Vec<Value> {
    let last = keys.last().into_iter().cycle();
    keys.iter().chain(last).take(places).map(|key| bytes(key.as_bytes())).collect()
}

pub(super) async fn rows(
    all: &Connections,
    sql: &str,
    arguments: Vec<Value>,
    deadline: Deadline,
) -> Result<Vec<Row>> {
    let mut lease = all.lease(deadline).await?;
    let outcome = bounded(deadline, lease.conn().exec(sql, arguments)).await;
    lease.settle(outcome, Intent::Read)
}

/// Takes a column out of a row.
///
/// # Errors
/// `Corrupt` when the table is not the one that this version created.
pub(super) fn take<T: FromValue>(row: &mut Row, index: usize) -> Result<T> {
    match row.take_opt(index) {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(Error::new(ErrorKind::Corrupt, error.to_string())),
        None => Err(Error::new(ErrorKind::Internal, format!("a row has no column {index}"))),
    }
}
