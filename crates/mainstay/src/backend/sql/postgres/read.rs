//! Reads: short ones pipelined on shared connections, scans and counts on one of their own.
//! It must not know how a connection is opened or given up.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tokio_postgres::{
    Row,
    types::{FromSql, ToSql, Type},
};

use super::{
    super::common::{BATCH_MAX, Intent, left, page, prefix_end, version},
    pool::{Connections, bounded},
    session::Statement,
    statement,
};
use crate::{
    backend::semantics::range_of,
    clock::Deadline,
    entry::{Key, Record, Ttl},
    error::{Error, ErrorKind, Result},
    op::Op,
    reply::Reply,
};

type Arguments<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

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
            let rows = one(all, statement::LENGTH, key, deadline).await?;
            Ok(Reply::Integer(rows.first().map_or(Ok(0), |row| column(row, 0))?))
        }
        Op::TimeToLive { key } => {
            let rows = one(all, statement::TIME_TO_LIVE, key, deadline).await?;
            Ok(Reply::Ttl(
                match rows.first().map(|row| column::<Option<i64>>(row, 0)).transpose()? {
                    None => Ttl::Missing,
                    Some(None) => Ttl::Persistent,
                    Some(Some(ms)) => Ttl::Left(left(ms)),
                },
            ))
        }
        Op::Exists { keys } => exists(all, keys, deadline).await,
        Op::Scan { prefix, cursor, limit } => {
            scan(all, prefix, cursor.as_deref(), (*limit).clamp(1, BATCH_MAX), deadline).await
        }
        Op::Count { prefix } => count(all, prefix, deadline).await,
        _ => Err(Error::new(ErrorKind::Internal, "a write was given to the reader")),
    }
}

async fn get(
    all: &Connections,
    key: &Key,
    with_ttl: bool,
    deadline: Deadline,
) -> Result<Option<Record>> {
    let rows = one(all, statement::GET, key, deadline).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let ttl: Option<i64> = column(row, 3)?;
    Ok(Some(Record {
        value: Bytes::copy_from_slice(column(row, 0)?),
        version: Some(version(column(row, 1)?, column(row, 2)?)?),
        ttl: ttl.filter(|_| with_ttl).map(left),
    }))
}

async fn get_many(all: &Connections, keys: &[Key], deadline: Deadline) -> Result<Reply> {
    if keys.is_empty() {
        return Ok(Reply::Records(Vec::new()));
    }
    let rows = many(all, statement::GET_MANY, keys, deadline).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let record = Record {
            value: Bytes::copy_from_slice(column(row, 1)?),
            version: Some(version(column(row, 2)?, column(row, 3)?)?),
            ttl: column::<Option<i64>>(row, 4)?.map(left),
        };
        found.insert(column::<&[u8]>(row, 0)?, record);
    }
    Ok(Reply::Records(keys.iter().map(|key| found.get(key.as_bytes()).cloned()).collect()))
}

async fn exists(all: &Connections, keys: &[Key], deadline: Deadline) -> Result<Reply> {
    let rows = many(all, statement::EXISTING, keys, deadline).await?;
    let found = rows.iter().map(|row| column(row, 0)).collect::<Result<HashSet<&[u8]>>>()?;
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
    let (first, end) = (&**prefix, prefix_end(prefix));
    let count = i64::try_from(limit).unwrap_or(i64::MAX);
    let lease = all.lease(deadline).await?;
    let arguments: Arguments<'_> =
        &[(&first, Type::BYTEA), (&end, Type::BYTEA), (&cursor, Type::BYTEA), (&count, Type::INT8)];
    let outcome = bounded(deadline, lease.client().query_typed(statement::SCAN, arguments)).await;
    let rows = lease.settle(outcome, Intent::Read)?;
    let keys = rows.iter().map(|row| Ok(Key::from(column::<&[u8]>(row, 0)?)));
    Ok(page(keys.collect::<Result<Vec<_>>>()?, limit))
}

async fn count(all: &Connections, prefix: &Bytes, deadline: Deadline) -> Result<Reply> {
    let (first, end) = (&**prefix, prefix_end(prefix));
    let lease = all.lease(deadline).await?;
    let arguments: Arguments<'_> = &[(&first, Type::BYTEA), (&end, Type::BYTEA)];
    let outcome = bounded(deadline, lease.client().query_typed(statement::COUNT, arguments)).await;
    let rows = lease.settle(outcome, Intent::Read)?;
    Ok(Reply::Integer(rows.first().map_or(Ok(0), |row| column(row, 0))?))
}

async fn one(
    all: &Connections,
    sql: &'static str,
    key: &Key,
    deadline: Deadline,
) -> Result<Vec<Row>> {
    let key = key.as_bytes();
    short(all, sql, &[(&key, Type::BYTEA)], deadline).await
}

async fn many(
    all: &Connections,
    sql: &'static str,
    keys: &[Key],
    deadline: Deadline,
) -> Result<Vec<Row>> {
    let keys: Vec<&[u8]> = keys.iter().map(Key::as_bytes).collect();
    short(all, sql, &[(&keys, Type::BYTEA_ARRAY)], deadline).await
}

/// Sends one short read on a connection that others use at the same time.
pub(super) async fn short(
    all: &Connections,
    sql: &'static str,
    arguments: Arguments<'_>,
    deadline: Deadline,
) -> Result<Vec<Row>> {
    let statement = Statement { sql, arguments: arguments.to_vec() };
    let answer = if let Some(shared) = all.shared(deadline).await? {
        shared.settle(bounded(deadline, shared.session().read(&statement)).await)
    } else {
        let lease = all.lease(deadline).await?;
        let outcome = bounded(deadline, lease.session().read(&statement)).await;
        lease.settle(outcome, Intent::Read)
    };
    answer.map(|answer| answer.rows)
}

/// A column of a row.
///
/// # Errors
/// `Corrupt` when the table is not the one that this version created.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()))
}
