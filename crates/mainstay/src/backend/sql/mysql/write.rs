//! Writes that do not depend on what is stored: one statement, or, for long lists, a few in one transaction.
//! It must not know conditions or relative writes; those are `locked`.

use bytes::Bytes;
use mysql_async::{Value, prelude::Queryable};

use super::{
    super::common::{Expiry, Intent, check_size, last_of_each, written},
    pool::{Connections, Failure, Lease, bounded},
    read::filled,
    schema,
    statement::{self, KEYS_MAX, Listed, Rows, bytes, listed, next_rows, number, rowed},
};
use crate::{
    backend::semantics::keys_of,
    clock::Deadline,
    entry::{Key, Version},
    error::{Error, ErrorKind, Result},
    op::{Condition, Op},
    reply::{Reply, Written},
};

/// A statement and its arguments.
type Step = (String, Vec<Value>);

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
        Op::DeleteMany { .. } => Ok(Some(delete_many(all, &keys_of(op), deadline).await?)),
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
    all.check_packet(key.as_bytes().len() + value.len())?;
    let step = |epoch: u32| {
        let arguments = vec![
            bytes(key.as_bytes()),
            Value::from(epoch),
            bytes(value),
            number(expiry.at),
            number(expiry.after),
        ];
        vec![(statement::SET.to_owned(), arguments)]
    };
    let done = at_epoch(all, step, deadline).await?;
    Ok(written(Some(Version { epoch: done.epoch, counter: done.counter })))
}

async fn delete(all: &Connections, key: &Key, deadline: Deadline) -> Result<Reply> {
    let step = |epoch: u32| {
        vec![(statement::DELETE.to_owned(), vec![Value::from(epoch), bytes(key.as_bytes())])]
    };
    let done = at_epoch(all, step, deadline).await?;
    let version = Version { epoch: done.epoch, counter: done.counter };
    Ok(written((done.changed > 0).then_some(version)))
}

async fn set_many(
    all: &Connections,
    entries: &[(Key, Bytes)],
    expiry: Expiry,
    deadline: Deadline,
) -> Result<Reply> {
    let entries: Vec<(&Key, &Bytes)> = last_of_each(entries).into_iter().collect();
    let sizes: Vec<usize> =
        entries.iter().map(|(key, value)| key.as_bytes().len() + value.len()).collect();
    for size in &sizes {
        all.check_packet(*size)?;
    }
    let steps = |epoch: u32| {
        let mut steps: Vec<Step> = Vec::new();
        let mut done = 0;
        while done < entries.len() {
            let rows = next_rows(&sizes[done..], all.payload_max());
            let row = |(key, value): &(&Key, &Bytes)| {
                let (at, after) = (number(expiry.at), number(expiry.after));
                [bytes(key.as_bytes()), Value::from(epoch), bytes(value), at, after]
            };
            let arguments = entries[done..done + rows].iter().flat_map(row).collect();
            steps.push((rowed(Rows::Set, rows), arguments));
            done += rows;
        }
        steps
    };
    at_epoch(all, steps, deadline).await?;
    Ok(Reply::Written(Written { applied: true, ..Written::default() }))
}

async fn delete_many(all: &Connections, keys: &[Key], deadline: Deadline) -> Result<Reply> {
    let steps = |epoch: u32| {
        let chunks = keys.chunks(KEYS_MAX).map(|chunk| {
            let (sql, places) = listed(Listed::DeleteMany, chunk.len());
            let mut arguments = vec![Value::from(epoch)];
            arguments.extend(filled(chunk, places));
            (sql, arguments)
        });
        chunks.collect()
    };
    let done = at_epoch(all, steps, deadline).await?;
    Ok(Reply::Integer(i64::try_from(done.changed).unwrap_or(i64::MAX)))
}

/// What the statements of a write did.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    epoch: u32,
    /// The counter that the last statement gave.
    counter: u64,
    /// Rows changed in all.
    changed: u64,
}

/// Performs the statements for the epoch as known; once more if they say that it has moved.
async fn at_epoch(
    all: &Connections,
    steps: impl Fn(u32) -> Vec<Step>,
    deadline: Deadline,
) -> Result<Done> {
    for _ in 0..2 {
        let epoch = all.epoch();
        let steps = steps(epoch);
        let in_transaction = steps.len() > 1;
        let mut lease = all.lease(deadline).await?;
        match perform(&mut lease, steps, deadline).await {
            Ok(done) if in_transaction => {
                lease.commit(deadline).await?;
                return Ok(Done { epoch, ..done });
            }
            Ok(done) => return lease.settle(Ok(Done { epoch, ..done }), Intent::Write),
            Err(failure) if failure.is_epoch_moved() => {
                lease.roll_back(deadline).await;
                schema::reload(all, deadline).await?;
            }
            Err(failure) if in_transaction => return Err(lease.undo(failure, deadline).await),
            Err(failure) => return lease.settle(Err(failure), Intent::Write),
        }
    }
    Err(Error::new(ErrorKind::Conflict, "the epoch of the database is moving"))
}

/// Performs the statements, several of them in a transaction that is left to be committed.
async fn perform(
    lease: &mut Lease,
    steps: Vec<Step>,
    deadline: Deadline,
) -> std::result::Result<Done, Failure> {
    let in_transaction = steps.len() > 1;
    let conn = lease.conn();
    bounded(deadline, async {
        let mut done = Done::default();
        if in_transaction {
            conn.query_drop("START TRANSACTION").await?;
        }
        for (sql, arguments) in steps {
            conn.exec_drop(sql, arguments).await?;
            done.counter = conn.last_insert_id().unwrap_or(0);
            done.changed += conn.affected_rows();
        }
        Ok(done)
    })
    .await
}
