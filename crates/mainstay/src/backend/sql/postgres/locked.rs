//! Writes that depend on what is stored: lock the rows, decide by `semantics`, store, commit; two round trips.
//! It must not know what any write means.

use bytes::Bytes;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    super::common::{LockedRow, column as counter_column, version},
    locks::Passing,
    pool::Connections,
    read::column,
    statement,
    transaction::{Answer, Frame, Statement, Transaction},
};
use crate::{
    backend::semantics::{Bounds, Change, Slot, apply, keys_of},
    clock::Deadline,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    op::Op,
    reply::Reply,
};

/// Performs any write. `None`: the frame's guard refused, nothing was done.
///
/// # Errors
/// Those of the caller's kinds, of the server and the connection. Only what happens once the changes have been sent
/// can have `Effect::Unknown`.
pub(super) async fn run(
    all: &Connections,
    frame: &Frame<'_>,
    op: &Op,
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Option<Reply>> {
    let keys = keys_of(op);
    let names = names_of(&keys);
    let passing = passing(op);
    let looks = looks(passing.as_ref(), &names);
    let Some((transaction, answers)) = Transaction::begin(all, frame, &looks, deadline).await?
    else {
        return Ok(None);
    };
    let fence = passing.as_ref();
    finish(transaction, frame, fence, &answers, op, bounds).await
}

/// The fence of a fenced write.
fn passing(op: &Op) -> Option<Passing<'_>> {
    match op {
        Op::Fenced { fence, .. } => Some(Passing::of(fence)),
        _ => None,
    }
}

/// The fence first: all who lock it and keys lock them in the same order.
fn looks<'a>(
    passing: Option<&'a Passing<'_>>,
    names: &'a (dyn ToSql + Sync),
) -> Vec<Statement<'a>> {
    let fence = passing.map(Passing::statement);
    fence.into_iter().chain(lock_and_load(names)).collect()
}

/// As `run`, in a transaction that has begun.
///
/// # Errors
/// As `run`.
pub(super) async fn go_on(
    transaction: Transaction,
    frame: &Frame<'_>,
    op: &Op,
    bounds: Bounds,
) -> Result<Option<Reply>> {
    let keys = keys_of(op);
    let names = names_of(&keys);
    let passing = passing(op);
    let (transaction, answers) = transaction.send(&looks(passing.as_ref(), &names)).await?;
    let fence = passing.as_ref();
    finish(transaction, frame, fence, &answers, op, bounds).await
}

/// The keys as an argument.
pub(super) fn names_of(keys: &[Key]) -> Vec<&[u8]> {
    keys.iter().map(Key::as_bytes).collect()
}

/// Locks the rows of these keys, in ascending order (creating tombstones where there are none), and reads them.
pub(super) fn lock_and_load<'a>(names: &'a (dyn ToSql + Sync)) -> [Statement<'a>; 2] {
    [statement::LOCK, statement::LOAD]
        .map(|sql| Statement { sql, arguments: vec![(names, Type::BYTEA_ARRAY)] })
}

async fn finish(
    transaction: Transaction,
    frame: &Frame<'_>,
    fence: Option<&Passing<'_>>,
    answers: &[Answer],
    op: &Op,
    bounds: Bounds,
) -> Result<Option<Reply>> {
    let rows = answers.last().map_or(&[][..], |loaded| &loaded.rows);
    let passed = match (fence, answers.first()) {
        (Some(fence), Some(answer)) => fence.check(answer),
        _ => Ok(()),
    };
    let decided = passed
        .and_then(|()| slots_of(rows, keys_of(op).len()))
        .and_then(|(mut slots, now)| Ok((apply(op, &mut slots, now, bounds)?, slots)));
    match decided {
        Ok((reply, slots)) if slots.iter().any(|slot| slot.change != Change::Keep) => {
            let stored = store(transaction, frame, &slots, Vec::new()).await?;
            Ok(stored.map(|()| reply))
        }
        Ok((reply, _)) => {
            transaction.roll_back().await;
            Ok(Some(reply))
        }
        Err(error) => {
            transaction.roll_back().await;
            Err(error)
        }
    }
}

/// The slots of the loaded rows, and the time.
pub(super) fn slots_of(rows: &[Row], expected: usize) -> Result<(Vec<Slot>, i64)> {
    if rows.len() != expected {
        let message = format!("{} of {expected} locked rows were found", rows.len());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    // One clock for all: the first row's.
    let now = rows.first().map_or(Ok(0), |row| column(row, 5))?;
    let slots = rows.iter().map(|row| {
        let epoch = version(column(row, 6)?, 0)?.epoch;
        let value: Option<&[u8]> = column(row, 3)?;
        let locked = LockedRow {
            key: column::<&[u8]>(row, 0)?.into(),
            version: version(column(row, 1)?, column(row, 2)?)?,
            value: value.map(Bytes::copy_from_slice),
            expires_at: column(row, 4)?,
        };
        Ok(locked.into_slot(epoch, now))
    });
    Ok((slots.collect::<Result<Vec<_>>>()?, now))
}

/// The changes of a transaction, by statement.
#[derive(Default)]
struct Changes<'a> {
    put: Columns<'a>,
    expire: Columns<'a>,
    remove: Columns<'a>,
}

/// The rows of one statement as columns; those that the statement does not take stay empty.
#[derive(Default)]
struct Columns<'a> {
    keys: Vec<&'a [u8]>,
    counters: Vec<i64>,
    values: Vec<&'a [u8]>,
    expires_at: Vec<Option<i64>>,
}

impl<'a> Changes<'a> {
    fn of(slots: &'a [Slot]) -> Self {
        let mut changes = Self::default();
        for slot in slots {
            let (key, counter) = (slot.key.as_bytes(), counter_column(slot.next.counter));
            match &slot.change {
                Change::Keep => {}
                Change::Put { value, expires_at } => {
                    changes.put.keys.push(key);
                    changes.put.counters.push(counter);
                    changes.put.values.push(value);
                    changes.put.expires_at.push(*expires_at);
                }
                Change::Expire { expires_at } => {
                    changes.expire.keys.push(key);
                    changes.expire.counters.push(counter);
                    changes.expire.expires_at.push(*expires_at);
                }
                Change::Remove => {
                    changes.remove.keys.push(key);
                    changes.remove.counters.push(counter);
                }
            }
        }
        changes
    }

    /// The statements that have something to do.
    fn statements(&'a self, epoch: &'a i32) -> impl Iterator<Item = Statement<'a>> {
        let Self { put, expire, remove } = self;
        [
            put.as_statement(
                statement::PUT,
                epoch,
                vec![(&put.values, Type::BYTEA_ARRAY), (&put.expires_at, Type::INT8_ARRAY)],
            ),
            expire.as_statement(
                statement::EXPIRE,
                epoch,
                vec![(&expire.expires_at, Type::INT8_ARRAY)],
            ),
            remove.as_statement(statement::REMOVE, epoch, Vec::new()),
        ]
        .into_iter()
        .flatten()
    }
}

impl<'a> Columns<'a> {
    fn as_statement(
        &'a self,
        sql: &'static str,
        epoch: &'a i32,
        more: Vec<(&'a (dyn ToSql + Sync), Type)>,
    ) -> Option<Statement<'a>> {
        if self.keys.is_empty() {
            return None;
        }
        let mut arguments: Vec<(&'a (dyn ToSql + Sync), Type)> = vec![
            (epoch, Type::INT4),
            (&self.keys, Type::BYTEA_ARRAY),
            (&self.counters, Type::INT8_ARRAY),
        ];
        arguments.extend(more);
        Some(Statement { sql, arguments })
    }
}

/// Stores the changes, performs what else there is, and commits, sent at once. `None`: the frame's guard refused.
///
/// # Errors
/// Those of the server and the connection; a commit whose answer is lost has `Effect::Unknown`.
pub(super) async fn store(
    transaction: Transaction,
    frame: &Frame<'_>,
    slots: &[Slot],
    more: Vec<Statement<'_>>,
) -> Result<Option<()>> {
    let epoch = slots.first().map_or(0, |slot| slot.next.epoch);
    let epoch = i32::try_from(epoch)
        .map_err(|_| Error::new(ErrorKind::Corrupt, format!("epoch {epoch} is too large")))?;
    let expected = slots.iter().filter(|slot| slot.change != Change::Keep).count();
    let changes = Changes::of(slots);
    let mut statements: Vec<Statement<'_>> = changes.statements(&epoch).collect();
    let storing = statements.len();
    statements.extend(more);
    let Some(answers) = transaction.commit(frame, &statements).await? else { return Ok(None) };
    let changed: u64 = answers.iter().take(storing).map(|answer| answer.changed).sum();
    if usize::try_from(changed) == Ok(expected) {
        return Ok(Some(()));
    }
    let message = format!("{changed} of {expected} locked rows were stored");
    Err(Error::new(ErrorKind::Corrupt, message).with_effect(Effect::Unknown))
}
