//! Writes that do not depend on what is stored: one statement that commits by itself.
//! It must not know conditions or relative writes; those are `locked`.

use bytes::Bytes;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    super::common::{Expiry, Intent, check_size, last_of_each, version, written},
    pool::{Connections, Lease, bounded},
    read::column,
    statement,
};
use crate::{
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Condition, Op},
    reply::{Reply, Written},
};

/// Performs a write if it is of this kind; `None`: it is not.
///
/// # Errors
/// Those of the server and the connection, and of the caller's arguments.
pub(super) async fn run(
    all: &Connections,
    op: &Op,
    value_max: usize,
    deadline: Deadline,
) -> Result<Option<Reply>> {
    match op {
        Op::Set { key, value, ttl, condition: Condition::Always, want_previous: false } => {
            check_size(value.len(), value_max)?;
            let Some(expiry) = Expiry::of(*ttl)? else { return Ok(None) };
            Ok(Some(set(all, key, value, expiry, deadline).await?))
        }
        Op::SetMany { entries, ttl, all_absent: false } => {
            for (_, value) in entries {
                check_size(value.len(), value_max)?;
            }
            let Some(expiry) = Expiry::of(*ttl)? else { return Ok(None) };
            Ok(Some(set_many(all, entries, expiry, deadline).await?))
        }
        Op::Delete { key, condition: Condition::Always, want_previous: false } => {
            Ok(Some(delete(all, key, deadline).await?))
        }
        Op::DeleteMany { keys } => Ok(Some(delete_many(all, keys, deadline).await?)),
        _ => Ok(None),
    }
}

async fn set(
    all: &Connections,
    key: &Key,
    value: &Bytes,
    expiry: Expiry,
    deadline: Deadline,
) -> Result<Reply> {
    let (key, value) = (key.as_bytes(), &**value);
    let lease = all.lease(deadline).await?;
    let arguments: &[(&(dyn ToSql + Sync), Type)] = &[
        (&key, Type::BYTEA),
        (&value, Type::BYTEA),
        (&expiry.after, Type::INT8),
        (&expiry.at, Type::INT8),
    ];
    let rows = rows(lease, statement::SET, arguments, deadline).await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::new(ErrorKind::Misconfigured, "the server skipped the write"))?;
    Ok(written(Some(version(column(row, 0)?, column(row, 1)?)?)))
}

async fn set_many(
    all: &Connections,
    entries: &[(Key, Bytes)],
    expiry: Expiry,
    deadline: Deadline,
) -> Result<Reply> {
    let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) =
        last_of_each(entries).into_iter().map(|(key, value)| (key.as_bytes(), &**value)).unzip();
    if !keys.is_empty() {
        let lease = all.lease(deadline).await?;
        let arguments: &[(&(dyn ToSql + Sync), Type)] = &[
            (&keys, Type::BYTEA_ARRAY),
            (&values, Type::BYTEA_ARRAY),
            (&expiry.after, Type::INT8),
            (&expiry.at, Type::INT8),
        ];
        execute(lease, statement::SET_MANY, arguments, deadline).await?;
    }
    Ok(Reply::Written(Written { applied: true, ..Written::default() }))
}

async fn delete(all: &Connections, key: &Key, deadline: Deadline) -> Result<Reply> {
    let key = key.as_bytes();
    let lease = all.lease(deadline).await?;
    let rows = rows(lease, statement::DELETE, &[(&key, Type::BYTEA)], deadline).await?;
    let given = rows.first().map(|row| version(column(row, 0)?, column(row, 1)?)).transpose()?;
    Ok(written(given))
}

async fn delete_many(all: &Connections, keys: &[Key], deadline: Deadline) -> Result<Reply> {
    if keys.is_empty() {
        return Ok(Reply::Integer(0));
    }
    let keys: Vec<&[u8]> = keys.iter().map(Key::as_bytes).collect();
    let lease = all.lease(deadline).await?;
    let arguments: &[(&(dyn ToSql + Sync), Type)] = &[(&keys, Type::BYTEA_ARRAY)];
    let removed = execute(lease, statement::DELETE_MANY, arguments, deadline).await?;
    Ok(Reply::Integer(i64::try_from(removed).unwrap_or(i64::MAX)))
}

async fn rows(
    lease: Lease,
    sql: &str,
    arguments: &[(&(dyn ToSql + Sync), Type)],
    deadline: Deadline,
) -> Result<Vec<Row>> {
    let outcome = bounded(deadline, lease.client().query_typed(sql, arguments)).await;
    lease.settle(outcome, Intent::Write)
}

async fn execute(
    lease: Lease,
    sql: &str,
    arguments: &[(&(dyn ToSql + Sync), Type)],
    deadline: Deadline,
) -> Result<u64> {
    let outcome = bounded(deadline, lease.client().execute_typed(sql, arguments)).await;
    lease.settle(outcome, Intent::Write)
}
