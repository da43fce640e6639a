//! Writes that do not depend on what is stored: one statement, or, for long lists, a few in one transaction.
//! It must not know conditions or relative writes; those are `locked`.

use std::pin::pin;

use bytes::Bytes;
use mysql_async::{Value, prelude::Queryable};

use super::{
    super::{
        common::{Expiry, Intent, check_size, last_of_each, written},
        together::{Change, Write},
    },
    locked,
    pool::{Connections, Failure, Lease, Stop, bounded},
    read::filled,
    schema,
    statement::{self, KEYS_MAX, Listed, Rows, bytes, listed, next_rows, number, rowed},
};
use crate::{
    backend::semantics::{Bounds, keys_of},
    clock::Deadline,
    entry::{Key, Version},
    error::{Error, ErrorKind, Result},
    op::{Condition, Op},
    reply::{Reply, Written},
};

/// A statement and its arguments.
pub(super) type Step = (String, Vec<Value>);

/// A write as statements that depend on nothing but the epoch.
pub(super) struct Plan<'a> {
    steps: Box<dyn Fn(u32) -> Vec<Step> + Send + Sync + 'a>,
    reply: fn(Done) -> Reply,
}

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
    let Some(plan) = plan(all, op, value_max)? else { return Ok(None) };
    let alone = pin!(async { Ok(Some((plan.reply)(at_epoch(all, &plan, deadline).await?))) });
    all.perform(op, None, Bounds { value_max }, alone, deadline).await
}

/// Performs one write.
///
/// # Errors
/// Those of the server and the connection.
pub(super) async fn alone(all: &Connections, write: &Write, deadline: Deadline) -> Result<Reply> {
    let plan = match &write.change {
        Change::Set { value, expiry } => set(&write.key, value, *expiry),
        Change::Delete => delete(&write.key),
    };
    Ok((plan.reply)(at_epoch(all, &plan, deadline).await?))
}

/// The statements of a write if it is of this kind; `None`: it is not.
///
/// # Errors
/// Those of the caller's arguments.
pub(super) fn plan<'a>(
    all: &'a Connections,
    op: &'a Op,
    value_max: usize,
) -> Result<Option<Plan<'a>>> {
    match op {
        Op::Set { key, value, ttl, condition: Condition::Always, want_previous: false } => {
            check_size(value.len(), value_max)?;
            let Some(expiry) = Expiry::of(*ttl)? else { return Ok(None) };
            all.check_packet(key.as_bytes().len() + value.len())?;
            Ok(Some(set(key, value, expiry)))
        }
        Op::SetMany { entries, ttl, all_absent: false } => {
            for (_, value) in entries {
                check_size(value.len(), value_max)?;
            }
            let Some(expiry) = Expiry::of(*ttl)? else { return Ok(None) };
            Ok(Some(set_many(all, entries, expiry)?))
        }
        Op::Delete { key, condition: Condition::Always, want_previous: false } => {
            Ok(Some(delete(key)))
        }
        Op::DeleteMany { .. } => Ok(Some(delete_many(keys_of(op)))),
        _ => Ok(None),
    }
}

fn set<'a>(key: &'a Key, value: &'a Bytes, expiry: Expiry) -> Plan<'a> {
    let steps = move |epoch: u32| {
        let arguments = vec![
            bytes(key.as_bytes()),
            Value::from(epoch),
            bytes(value),
            number(expiry.at),
            number(expiry.after),
        ];
        vec![(statement::SET.to_owned(), arguments)]
    };
    Plan { steps: Box::new(steps), reply: |done| written(Some(done.version())) }
}

fn delete(key: &Key) -> Plan<'_> {
    let steps = move |epoch: u32| {
        vec![(statement::DELETE.to_owned(), vec![Value::from(epoch), bytes(key.as_bytes())])]
    };
    let reply = |done: Done| written((done.changed > 0).then(|| done.version()));
    Plan { steps: Box::new(steps), reply }
}

fn set_many<'a>(
    all: &'a Connections,
    entries: &'a [(Key, Bytes)],
    expiry: Expiry,
) -> Result<Plan<'a>> {
    let entries: Vec<(&Key, &Bytes)> = last_of_each(entries).into_iter().collect();
    let sizes: Vec<usize> =
        entries.iter().map(|(key, value)| key.as_bytes().len() + value.len()).collect();
    for size in &sizes {
        all.check_packet(*size)?;
    }
    let steps = move |epoch: u32| {
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
    let reply = |_| Reply::Written(Written { applied: true, ..Written::default() });
    Ok(Plan { steps: Box::new(steps), reply })
}

fn delete_many(keys: Vec<Key>) -> Plan<'static> {
    let steps = move |epoch: u32| {
        let chunks = keys.chunks(KEYS_MAX).map(|chunk| {
            let (sql, places) = listed(Listed::DeleteMany, chunk.len());
            let mut arguments = vec![Value::from(epoch)];
            arguments.extend(filled(chunk, places));
            (sql, arguments)
        });
        chunks.collect()
    };
    let reply = |done: Done| Reply::Integer(i64::try_from(done.changed).unwrap_or(i64::MAX));
    Plan { steps: Box::new(steps), reply }
}

/// What the statements of a write did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) epoch: u32,
    /// The counter that the last statement gave.
    pub(super) counter: u64,
    /// Rows changed in all; one that was there counts twice when an insert changed it.
    pub(super) changed: u64,
}

impl Done {
    /// The version that the last statement gave.
    pub(super) fn version(self) -> Version {
        Version { epoch: self.epoch, counter: self.counter }
    }
}

/// Performs a write in the transaction that has begun on this connection; whether there is anything to be committed.
pub(super) async fn within(
    all: &Connections,
    lease: &mut Lease,
    op: &Op,
    bounds: Bounds,
    deadline: Deadline,
) -> std::result::Result<(Reply, bool), Stop> {
    let Some(plan) = plan(all, op, bounds.value_max)? else {
        return locked::within(all, lease, op, bounds, deadline).await;
    };
    let epoch = all.epoch();
    let done = perform(lease, (plan.steps)(epoch), false, deadline).await?;
    Ok(((plan.reply)(Done { epoch, ..done }), done.changed > 0))
}

/// Performs the statements for the epoch as known; once more if they say that it has moved.
async fn at_epoch(all: &Connections, plan: &Plan<'_>, deadline: Deadline) -> Result<Done> {
    for _ in 0..2 {
        let epoch = all.epoch();
        let steps = (plan.steps)(epoch);
        let in_transaction = steps.len() > 1;
        let mut lease = all.lease(deadline).await?;
        match perform(&mut lease, steps, in_transaction, deadline).await {
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

/// Performs the statements, if wanted in a transaction that is left to be committed.
async fn perform(
    lease: &mut Lease,
    steps: Vec<Step>,
    in_transaction: bool,
    deadline: Deadline,
) -> std::result::Result<Done, Failure> {
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
