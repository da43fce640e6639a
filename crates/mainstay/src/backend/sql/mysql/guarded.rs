//! Writes that are performed only while what protects their copies holds; those under a mark.
//! It must not know what a write means, nor what a copy is.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use mysql_async::{Value, prelude::Queryable};

use super::{
    super::{
        common::{Expiry, Intent, check_size, written},
        together::{Change, Mark, Write},
    },
    around::Around,
    guard::Guard,
    pool::{Connections, bounded},
    schema,
    statement::{bytes, number, record},
    write::{self, Done, Step},
};
use crate::{
    backend::semantics::Bounds,
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Condition, Op, Under},
    reply::{Committed, Reply},
};

/// Performs a guarded write.
///
/// # Errors
/// Those of the caller's kinds, of the server and the connection. Only a commit, and the write that is one statement, can
/// have `Effect::Unknown`.
pub(super) async fn commit(
    all: &Connections,
    cache: &Arc<str>,
    write: &Op,
    under: Under,
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Committed> {
    match under {
        Under::Mark { epoch, deadline_us } => {
            let mark = Mark { cache: Arc::clone(cache), epoch, deadline_us };
            let alone = pin!(marked(all, &mark, write, bounds, deadline));
            let done = all.perform(write, Some(&mark), bounds, alone, deadline).await?;
            Ok(done.map_or(Committed::Overtaken, |reply| Committed::Done(Box::new(reply))))
        }
        Under::Around { known_for, open_for } => {
            let around = Around { cache, known_for, open_for, write, bounds };
            around.run(all, deadline).await
        }
    }
}

fn guard(mark: &Mark) -> Guard {
    Guard::marked(&mark.cache, mark.epoch, mark.deadline_us)
}

/// Performs one write that does not depend on what is stored. `None`: overtaken.
///
/// # Errors
/// Those of the server and the connection.
pub(super) async fn alone(
    all: &Connections,
    mark: &Mark,
    write: &Write,
    deadline: Deadline,
) -> Result<Option<Reply>> {
    match &write.change {
        Change::Set { value, expiry } => set(all, mark, &write.key, value, *expiry, deadline).await,
        Change::Delete => delete(all, mark, &write.key, deadline).await,
    }
}

/// `None`: overtaken.
async fn marked(
    all: &Connections,
    mark: &Mark,
    op: &Op,
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Option<Reply>> {
    match op {
        Op::Set { key, value, ttl, condition: Condition::Always, want_previous: false } => {
            check_size(value.len(), bounds.value_max)?;
            match Expiry::of(*ttl)? {
                Some(expiry) => set(all, mark, key, value, expiry, deadline).await,
                None => in_transaction(all, mark, op, bounds, deadline).await,
            }
        }
        Op::Delete { key, condition: Condition::Always, want_previous: false } => {
            delete(all, mark, key, deadline).await
        }
        _ => in_transaction(all, mark, op, bounds, deadline).await,
    }
}

async fn set(
    all: &Connections,
    mark: &Mark,
    key: &Key,
    value: &Bytes,
    expiry: Expiry,
    deadline: Deadline,
) -> Result<Option<Reply>> {
    all.check_packet(key.as_bytes().len() + value.len())?;
    let step = |epoch: u32| {
        let mut arguments = vec![
            bytes(key.as_bytes()),
            Value::from(epoch),
            bytes(value),
            number(expiry.at),
            number(expiry.after),
        ];
        arguments.extend(arguments_of(mark));
        arguments.push(Value::Int(mark.deadline_us));
        (record::SET_MARKED.to_owned(), arguments)
    };
    let done = one(all, step, deadline).await?;
    Ok(done.filter(|done| done.changed > 0).map(|done| written(Some(done.version()))))
}

async fn delete(
    all: &Connections,
    mark: &Mark,
    key: &Key,
    deadline: Deadline,
) -> Result<Option<Reply>> {
    let step = |epoch: u32| {
        let mut arguments = vec![Value::from(epoch), bytes(key.as_bytes())];
        arguments.extend(arguments_of(mark));
        (record::DELETE_MARKED.to_owned(), arguments)
    };
    let Some(done) = one(all, step, deadline).await? else { return Ok(None) };
    if done.changed > 0 {
        return Ok(Some(written(Some(done.version()))));
    }
    // There was nothing to delete, or the guard did not hold. It does not come back: what holds now held then.
    let mut lease = all.lease(deadline).await?;
    let outcome = bounded(deadline, lease.conn().query_drop(guard(mark).look())).await;
    let overtaken = outcome.as_ref().is_err_and(|failure| failure.is_overtaken());
    match lease.settle(outcome, Intent::Read) {
        Err(_) if overtaken => Ok(None),
        other => other.map(|()| Some(written(None))),
    }
}

/// Performs one statement for the epoch as known; once more if it says that it has moved. `None`: it was overtaken.
async fn one(
    all: &Connections,
    step: impl Fn(u32) -> Step,
    deadline: Deadline,
) -> Result<Option<Done>> {
    for _ in 0..2 {
        let epoch = all.epoch();
        let (sql, arguments) = step(epoch);
        let mut lease = all.lease(deadline).await?;
        let outcome = bounded(deadline, async {
            let conn = lease.conn();
            conn.exec_drop(sql, arguments).await?;
            let counter = conn.last_insert_id().unwrap_or(0);
            Ok(Done { epoch, counter, changed: conn.affected_rows() })
        })
        .await;
        let failed = outcome.as_ref().err();
        let overtaken = failed.is_some_and(|failure| failure.is_overtaken());
        let moved = failed.is_some_and(|failure| failure.is_epoch_moved());
        match lease.settle(outcome, Intent::Write) {
            Err(_) if overtaken => return Ok(None),
            Err(_) if moved => schema::reload(all, deadline).await?,
            other => return other.map(Some),
        }
    }
    Err(moving())
}

/// Any write. The guard is looked at when the transaction begins and in the round trip of its commit.
async fn in_transaction(
    all: &Connections,
    mark: &Mark,
    op: &Op,
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Option<Reply>> {
    let guard = guard(mark);
    for _ in 0..2 {
        let mut lease = all.lease(deadline).await?;
        match bounded(deadline, lease.conn().query_drop(guard.begin())).await {
            Err(failure) if failure.is_overtaken() => {
                lease.roll_back(deadline).await;
                return Ok(None);
            }
            Err(failure) => return Err(lease.undo(failure, deadline).await),
            Ok(()) => {}
        }
        match write::within(all, &mut lease, op, bounds, deadline).await {
            Ok((reply, true)) => {
                return Ok(lease.commit_if(&guard, deadline).await?.then_some(reply));
            }
            Ok((reply, false)) => {
                lease.roll_back(deadline).await;
                return Ok(Some(reply));
            }
            Err(stop) if stop.is_epoch_moved() => {
                lease.roll_back(deadline).await;
                schema::reload(all, deadline).await?;
            }
            Err(stop) => return Err(lease.stop(stop, deadline).await),
        }
    }
    Err(moving())
}

fn moving() -> Error {
    Error::new(ErrorKind::Conflict, "the epoch of the database is moving")
}

/// Cache, epoch, deadline.
fn arguments_of(mark: &Mark) -> [Value; 3] {
    [bytes(mark.cache.as_bytes()), Value::UInt(mark.epoch), Value::Int(mark.deadline_us)]
}
