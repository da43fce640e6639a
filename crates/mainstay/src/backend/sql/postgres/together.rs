//! Single writes of many callers as one statement.
//! It must not know which writes go together, nor who waits for them.

use tokio_postgres::types::Type;

use super::{
    super::{
        common::{Intent, column as counter_column, version, written},
        together::{Change, Engine, Mark, Outcome, Write, in_order},
    },
    guarded,
    pool::{Connections, Lease},
    read::column,
    statement::together as statement,
    transaction::{Answer, Frame, Statement, on, whole},
    write::Unconditional,
};
use crate::{
    backend::semantics::Bounds,
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
    op::Op,
};

impl Connections {
    /// Performs a write by `alone`, or, if it is to one key and others are under way, together with others.
    ///
    /// # Errors
    /// Those of the server and the connection, and of the caller's arguments.
    pub(super) async fn perform(
        &self,
        op: &Op,
        mark: Option<&Mark>,
        bounds: Bounds,
        alone: impl Future<Output = Result<Outcome>>,
        deadline: Deadline,
    ) -> Result<Outcome> {
        match (self.together(), Write::of(op, mark, bounds)?) {
            (Some(together), Some(write)) => together.perform(write, alone, deadline).await,
            _ => alone.await,
        }
    }
}

impl Engine for Connections {
    type Lease = Lease;

    /// Of the work on a statement most does not depend on its rows: the fewer, the more is saved. Measured against 2, 4
    /// and 8, with 16 to 256 tasks.
    fn underway_max(&self) -> usize {
        1
    }

    fn bytes_max(&self) -> usize {
        usize::MAX
    }

    async fn lease(&self, deadline: Deadline) -> Result<Lease> {
        self.lease(deadline).await
    }

    fn give_back(&self, lease: Lease) {
        lease.give_back();
    }

    async fn send(
        &self,
        lease: Lease,
        writes: &[Write],
        deadline: Deadline,
    ) -> Result<Vec<Result<Outcome>>> {
        if let [write] = writes {
            return Ok(vec![single(self, lease, write, deadline).await]);
        }
        let answer = Rows::of(writes).send(self, lease, deadline).await?;
        outcomes(writes, &answer).map_err(|error| error.with_effect(Effect::Unknown))
    }

    async fn alone(&self, write: &Write, deadline: Deadline) -> Result<Outcome> {
        single(self, self.lease(deadline).await?, write, deadline).await
    }
}

async fn single(
    all: &Connections,
    lease: Lease,
    write: &Write,
    deadline: Deadline,
) -> Result<Outcome> {
    let key = write.key.as_bytes();
    let unconditional = match &write.change {
        Change::Set { value, expiry } => Unconditional::Set { key, value, expiry: *expiry },
        Change::Delete => Unconditional::Delete { key },
    };
    match &write.mark {
        Some(mark) => guarded::Mark::of(mark).perform(all, lease, &unconditional, deadline).await,
        None => unconditional.perform(lease, deadline).await.map(Some),
    }
}

/// The arguments of a statement for these writes.
struct Rows<'a> {
    keys: Vec<&'a [u8]>,
    values: Vec<&'a [u8]>,
    after: Vec<Option<i64>>,
    at: Vec<Option<i64>>,
    guard: Option<Guard<'a>>,
}

struct Guard<'a> {
    cache: &'a str,
    epoch: i64,
    deadlines: Vec<i64>,
    /// The mark whose time is up first.
    first: &'a Mark,
}

impl<'a> Rows<'a> {
    fn of(writes: &'a [Write]) -> Self {
        let sets = || {
            writes.iter().filter_map(|write| match &write.change {
                Change::Set { value, expiry } => Some((&**value, expiry)),
                Change::Delete => None,
            })
        };
        let marks = || writes.iter().filter_map(|write| write.mark.as_ref());
        let guard = marks().min_by_key(|mark| mark.deadline_us).map(|first| Guard {
            cache: &first.cache,
            epoch: counter_column(first.epoch),
            deadlines: marks().map(|mark| mark.deadline_us).collect(),
            first,
        });
        Self {
            keys: writes.iter().map(|write| write.key.as_bytes()).collect(),
            values: sets().map(|(value, _)| value).collect(),
            after: sets().map(|(_, expiry)| expiry.after).collect(),
            at: sets().map(|(_, expiry)| expiry.at).collect(),
            guard,
        }
    }

    fn statement(&'a self) -> Statement<'a> {
        let mut arguments: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), Type)> =
            vec![(&self.keys, Type::BYTEA_ARRAY)];
        let sets = !self.values.is_empty();
        if sets {
            arguments.extend([
                (&self.values as _, Type::BYTEA_ARRAY),
                (&self.after as _, Type::INT8_ARRAY),
                (&self.at as _, Type::INT8_ARRAY),
            ]);
        }
        if let Some(guard) = &self.guard {
            arguments.extend([
                (&guard.cache as _, Type::TEXT),
                (&guard.epoch as _, Type::INT8),
                (&guard.deadlines as _, Type::INT8_ARRAY),
            ]);
            if sets {
                arguments.push((&guard.first.deadline_us, Type::INT8));
            }
        }
        let sql = match (sets, &self.guard) {
            (true, None) => statement::SET,
            (true, Some(_)) => statement::MARKED_SET,
            (false, None) => statement::DELETE,
            (false, Some(_)) => statement::MARKED_DELETE,
        };
        Statement { sql, arguments }
    }

    async fn send(&self, all: &Connections, lease: Lease, deadline: Deadline) -> Result<Answer> {
        let statement = self.statement();
        if all.bound_every_statement() {
            return on(lease, &statement, Intent::Write, deadline).await;
        }
        // The server bounds no statement by itself: here it is bounded in a transaction, and the time of the marks is looked
        // at again with the commit.
        let frame = match &self.guard {
            Some(guard) => guarded::Mark::of(guard.first).frame(all),
            None => Frame::plain(all),
        };
        let answers = whole(lease, &frame, &[statement], deadline).await?;
        answers.and_then(|mut answers| answers.pop()).ok_or_else(|| {
            Error::new(ErrorKind::Conflict, "one of the marks did not hold any more")
        })
    }
}

fn outcomes(writes: &[Write], answer: &Answer) -> Result<Vec<Result<Outcome>>> {
    let rows = answer.rows.iter().map(|row| {
        let epoch: Option<i64> = column(row, 1)?;
        let given = epoch.map(|epoch| version(epoch, column(row, 2)?)).transpose()?;
        let in_time = row.len() < 4 || column(row, 3)?;
        Ok((column(row, 0)?, (given.is_some() || in_time).then(|| written(given))))
    });
    let rows = in_order(writes, rows.collect::<Result<Vec<_>>>()?);
    let outcomes = writes.iter().zip(rows).map(|(write, row)| match (row, &write.mark) {
        (Some(outcome), _) => Ok(outcome),
        (None, Some(_)) => Ok(None),
        (None, None) => Err(Error::new(ErrorKind::Misconfigured, "the server skipped the write")),
    });
    Ok(outcomes.collect())
}
