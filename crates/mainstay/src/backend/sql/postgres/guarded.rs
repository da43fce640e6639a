//! Writes that are performed only while what protects their copies holds.
//! It must not know what any write means, nor how its copies are protected.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio_postgres::types::Type;

use super::{
    super::{
        common::{Intent, column as counter_column, version, written},
        together,
    },
    locked::{self, names_of},
    pool::{Connections, Lease},
    read::column,
    statement::control as statement,
    transaction::{Answer, Frame, Statement, Transaction, on, on_guarded, whole},
    write::Unconditional,
};
use crate::{
    backend::semantics::control::{Permission, micros, wait_for},
    backend::semantics::{Bounds, keys_of},
    clock::Deadline,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    op::{Op, Under},
    reply::{Committed, Reply},
};

/// How often the control row may change between two statements that look at it.
const TURNS_MAX: usize = 4;

/// A longer wait than any, so that a time plus it is still a number.
const LONG_US: i64 = 1 << 61;

/// Performs a write under its protection.
///
/// # Errors
/// Those of the caller's kinds, of the server and the connection. Only a commit whose answer is lost has
/// `Effect::Unknown`.
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
            let shared = together::Mark { cache: Arc::clone(cache), epoch, deadline_us };
            let mark = Mark::of(&shared);
            let alone = pin!(mark.commit(all, write, bounds, deadline));
            let done = all.perform(write, Some(&shared), bounds, alone, deadline).await?;
            Ok(done.map_or(Committed::Overtaken, |reply| Committed::Done(Box::new(reply))))
        }
        Under::Around { known_for, open_for } => {
            around(all, cache, write, (known_for, open_for), bounds, deadline).await
        }
    }
}

/// `Under::Mark`.
pub(super) struct Mark<'a> {
    cache: &'a str,
    epoch: i64,
    deadline_us: i64,
}

impl<'a> Mark<'a> {
    /// Of a write that waited for others.
    pub(super) fn of(mark: &'a together::Mark) -> Self {
        Self {
            cache: &mark.cache,
            epoch: counter_column(mark.epoch),
            deadline_us: mark.deadline_us,
        }
    }

    /// `None`: overtaken.
    async fn commit(
        &self,
        all: &Connections,
        write: &Op,
        bounds: Bounds,
        deadline: Deadline,
    ) -> Result<Option<Reply>> {
        match Unconditional::of(write, bounds.value_max)? {
            Some(write) => self.perform(all, all.lease(deadline).await?, &write, deadline).await,
            None => locked::run(all, &self.frame(all), write, bounds, deadline).await,
        }
    }

    /// Performs a write that does not depend on what is stored. `None`: overtaken.
    ///
    /// # Errors
    /// Those of the server and the connection.
    pub(super) async fn perform(
        &self,
        all: &Connections,
        lease: Lease,
        write: &Unconditional<'_>,
        deadline: Deadline,
    ) -> Result<Option<Reply>> {
        // Where a single statement is not bounded by the server, it goes the longer way, in the same round trip.
        if all.bound_every_statement() {
            match write {
                Unconditional::Set { .. } => return self.set(lease, write, deadline).await,
                Unconditional::Delete { key } => return self.delete(lease, key, deadline).await,
                Unconditional::SetMany { .. } | Unconditional::DeleteMany { .. } => {}
            }
        }
        let answers = whole(lease, &self.frame(all), &[write.statement()], deadline).await?;
        answers.map(|answers| reply_of(write, &answers)).transpose()
    }

    /// A transaction that stands under this mark.
    pub(super) fn frame<'f>(&self, all: &'f Connections) -> Frame<'f> {
        Frame::guarded(all, &statement::guard(self.cache, self.epoch, self.deadline_us))
    }

    async fn set(
        &self,
        lease: Lease,
        set: &Unconditional<'_>,
        deadline: Deadline,
    ) -> Result<Option<Reply>> {
        let Statement { mut arguments, .. } = set.statement();
        arguments.extend([
            (&self.cache as _, Type::TEXT),
            (&self.epoch as _, Type::INT8),
            (&self.deadline_us as _, Type::INT8),
        ]);
        let marked = Statement { sql: statement::MARKED_SET, arguments };
        let answer = on(lease, &marked, Intent::Write, deadline).await?;
        if answer.rows.is_empty() { Ok(None) } else { set.reply(&answer).map(Some) }
    }

    async fn delete(&self, lease: Lease, key: &&[u8], deadline: Deadline) -> Result<Option<Reply>> {
        let arguments = vec![
            (key as _, Type::BYTEA),
            (&self.cache as _, Type::TEXT),
            (&self.epoch as _, Type::INT8),
            (&self.deadline_us as _, Type::INT8),
        ];
        let marked = Statement { sql: statement::MARKED_DELETE, arguments };
        let answer = on_guarded(lease, marked, deadline).await?;
        let Some(row) = answer.as_ref().and_then(|answer| answer.rows.first()) else {
            return Ok(None);
        };
        let epoch: Option<i64> = column(row, 0)?;
        let given = epoch.map(|epoch| version(epoch, column(row, 1)?)).transpose()?;
        Ok(Some(written(given)))
    }
}

/// How a cache stands for a write around it, the control row looked at and the dirty rows made.
enum Standing {
    Active {
        youngest_us: i64,
        now_us: i64,
    },
    Degraded {
        since_us: i64,
        now_us: i64,
    },
    None,
    /// It was degraded between two statements, and is not held.
    Moved,
}

async fn around(
    all: &Connections,
    cache: &str,
    write: &Op,
    (known_for, open_for): (Option<Duration>, Duration),
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Committed> {
    // What is refused anyway need not make anything dirty.
    let unconditional = Unconditional::of(write, bounds.value_max)?;
    let keys = keys_of(write);
    let frame = Frame::plain(all);
    let (transaction, standing) = stand(all, &frame, cache, &keys, deadline).await?;
    let (permission, dirty) = match standing {
        Standing::Active { youngest_us, now_us } => {
            (wait_for(known_for, youngest_us, now_us), true)
        }
        Standing::Degraded { since_us, now_us } => (wait_for(known_for, since_us, now_us), false),
        Standing::None => (Permission::Go, false),
        Standing::Moved => {
            transaction.roll_back().await;
            let message = "the control row changed again and again";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
    };
    match permission {
        Permission::Wait(left) => {
            if dirty {
                hold_open(transaction, &frame, cache, &keys, open_for).await?;
            } else {
                transaction.roll_back().await;
            }
            Ok(Committed::Wait(left))
        }
        Permission::Overtaken => {
            transaction.roll_back().await;
            Ok(Committed::Overtaken)
        }
        Permission::Go => {
            let done = match unconditional {
                Some(write) => {
                    let answers = transaction.commit(&frame, &[write.statement()]).await?;
                    answers.map(|answers| reply_of(&write, &answers)).transpose()?
                }
                None => locked::go_on(transaction, &frame, write, bounds).await?,
            };
            let done = done.ok_or_else(unguarded)?;
            Ok(Committed::Done(Box::new(done)))
        }
    }
}

/// Begins a transaction and looks at the control row: degraded, it is held shared; active, the keys are made dirty.
async fn stand(
    all: &Connections,
    frame: &Frame<'_>,
    cache: &str,
    keys: &[Key],
    deadline: Deadline,
) -> Result<(Transaction, Standing)> {
    let names = names_of(keys);
    let looks = [
        Statement { sql: statement::HOLD_DEGRADED, arguments: vec![(&cache, Type::TEXT)] },
        Statement {
            sql: statement::MAKE_DIRTY,
            arguments: vec![(&cache, Type::TEXT), (&names, Type::BYTEA_ARRAY)],
        },
    ];
    let begun = Transaction::begin(all, frame, &looks, deadline).await?;
    let (mut transaction, mut answers) = begun.ok_or_else(unguarded)?;
    for _ in 1..TURNS_MAX {
        match Standing::of(&answers)? {
            Standing::Moved => (transaction, answers) = transaction.send(&looks).await?,
            standing => return Ok((transaction, standing)),
        }
    }
    let standing = Standing::of(&answers)?;
    Ok((transaction, standing))
}

impl Standing {
    fn of(answers: &[Answer]) -> Result<Self> {
        let [held, dirty] = answers else {
            return Err(Error::new(ErrorKind::Internal, "two statements gave other answers"));
        };
        if let Some(row) = held.rows.first() {
            return Ok(Self::Degraded { since_us: column(row, 0)?, now_us: column(row, 1)? });
        }
        let Some(row) = dirty.rows.first() else { return Ok(Self::None) };
        if !column::<bool>(row, 0)? {
            return Ok(Self::Moved);
        }
        let youngest_us: Option<i64> = column(row, 1)?;
        Ok(Self::Active { youngest_us: youngest_us.unwrap_or(i64::MIN), now_us: column(row, 2)? })
    }
}

/// Commits the dirty rows alone, held open for the write that waits.
async fn hold_open(
    transaction: Transaction,
    frame: &Frame<'_>,
    cache: &str,
    keys: &[Key],
    open_for: Duration,
) -> Result<()> {
    let names = names_of(keys);
    let open_us = micros(open_for).min(LONG_US);
    let hold = Statement {
        sql: statement::HOLD_OPEN,
        arguments: vec![(&cache, Type::TEXT), (&names, Type::BYTEA_ARRAY), (&open_us, Type::INT8)],
    };
    // The caller's write was not sent, whatever becomes of this.
    let held = transaction.commit(frame, &[hold]).await;
    held.map(drop).map_err(|error| error.with_effect(Effect::None))
}

fn reply_of(write: &Unconditional<'_>, answers: &[Answer]) -> Result<Reply> {
    match answers.first() {
        Some(answer) => write.reply(answer),
        None => Err(Error::new(ErrorKind::Internal, "a statement gave no answer")),
    }
}

/// A statement failed as a guard does where there was none.
pub(super) fn unguarded() -> Error {
    Error::new(ErrorKind::Internal, "a transaction without a guard was refused")
}
