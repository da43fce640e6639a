//! Single writes of many callers in one packet: a transaction with a statement for each, which gives each its version.
//! It must not know which writes go together, nor who waits for them.

use mysql_async::{Conn, Value, prelude::Queryable};

use super::{
    super::{
        common::{Intent, written},
        together::{Change, Engine, Mark, Outcome, Write},
    },
    guarded,
    pool::{Connections, Failure, Lease, bounded},
    statement::{self, bytes, number, record},
    write::{self, Done},
};
use crate::{
    backend::semantics::Bounds,
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
    op::Op,
};

/// Bytes of the text of a packet beside its keys and values.
const TEXT_MAX: usize = 256 << 10;

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

    /// A statement in a packet costs the server as much as one alone, and its text more; what is saved is the commit, which
    /// the server shares among its sessions anyway. So only what would have to wait for a connection goes with others.
    fn underway_max(&self) -> usize {
        self.places_max()
    }

    fn bytes_max(&self) -> usize {
        // In hexadecimal.
        self.payload_max().saturating_sub(TEXT_MAX) / 2
    }

    async fn lease(&self, deadline: Deadline) -> Result<Lease> {
        self.lease(deadline).await
    }

    fn give_back(&self, lease: Lease) {
        lease.give_back();
    }

    async fn send(
        &self,
        mut lease: Lease,
        writes: &[Write],
        deadline: Deadline,
    ) -> Result<Vec<Result<Outcome>>> {
        if let [write] = writes {
            lease.give_back();
            return Ok(vec![self.alone(write, deadline).await]);
        }
        let epoch = self.epoch();
        let packet = Packet::of(self, writes, epoch);
        let mut committing = false;
        let call = packet.send(lease.conn(), &mut committing);
        match bounded(deadline, call).await {
            Ok(rows) => {
                lease.give_back();
                let rows = rows.into_iter().zip(writes);
                Ok(rows.map(|(row, write)| Ok(row.outcome(write, epoch))).collect())
            }
            Err(failure) if committing => Err(in_doubt(failure)),
            Err(failure) => {
                if failure.in_step() {
                    self.forget(lease, deadline).await;
                }
                Err(failure.into_error(Intent::Write))
            }
        }
    }

    async fn alone(&self, write: &Write, deadline: Deadline) -> Result<Outcome> {
        match &write.mark {
            Some(mark) => guarded::alone(self, mark, write, deadline).await,
            None => write::alone(self, write, deadline).await.map(Some),
        }
    }
}

impl Connections {
    /// Undoes what was sent together, the session's limit included; closes the connection when that fails.
    async fn forget(&self, mut lease: Lease, deadline: Deadline) {
        let sql = format!("ROLLBACK; {}", record::lock_wait(self.lock_wait()));
        if bounded(deadline, lease.conn().query_drop(sql)).await.is_ok() {
            lease.give_back();
        }
    }
}

/// A commit that failed is a rollback only where it was a conflict.
fn in_doubt(failure: Failure) -> Error {
    let error = failure.into_error(Intent::Write);
    match error.kind() {
        ErrorKind::Conflict => error,
        _ => error.with_effect(Effect::Unknown),
    }
}

/// All of it goes to the server at once, which stops at the first statement that fails.
struct Packet {
    sql: String,
    rows: usize,
    /// Whether each row is followed by a look at what guards it.
    looks: bool,
}

/// What the server said of one row.
struct Row {
    changed: u64,
    counter: u64,
    /// Whether the guard holds, where that was looked at.
    holds: bool,
}

impl Row {
    fn outcome(&self, write: &Write, epoch: u32) -> Outcome {
        let version = Done { epoch, counter: self.counter, changed: self.changed }.version();
        match (&write.change, &write.mark) {
            _ if self.changed > 0 => Some(written(Some(version))),
            (Change::Set { .. }, Some(_)) => None,
            (Change::Delete, Some(_)) if !self.holds => None,
            (Change::Set { .. }, None) => Some(written(Some(version))),
            (Change::Delete, _) => Some(written(None)),
        }
    }
}

impl Packet {
    /// A lock is waited for a second at most, which is the least; and each row was looked at, by what guards it, no
    /// longer before the commit than one statement may take.
    fn of(all: &Connections, writes: &[Write], epoch: u32) -> Self {
        let mut sql = record::begin_together();
        let mut looks = false;
        for write in writes {
            let (text, arguments) = step(write, epoch);
            sql.push_str("; ");
            statement::fill(&mut sql, text, &arguments);
            if let (Change::Delete, Some(mark)) = (&write.change, &write.mark) {
                looks = true;
                sql.push_str("; ");
                statement::fill(&mut sql, record::HOLDS, &arguments_of(mark));
            }
        }
        sql.push_str("; ");
        sql.push_str(&record::commit_together(all.lock_wait(), all.statement_us()));
        Self { sql, rows: writes.len(), looks }
    }

    async fn send(&self, conn: &mut Conn, committing: &mut bool) -> mysql_async::Result<Vec<Row>> {
        let mut result = conn.query_iter(&*self.sql).await?;
        // The limits; the beginning of the transaction.
        for _ in 0..2 {
            result.next().await?;
        }
        let mut rows = Vec::with_capacity(self.rows);
        for _ in 0..self.rows {
            let (changed, counter) = (result.affected_rows(), result.last_insert_id().unwrap_or(0));
            result.next().await?;
            let holds = !self.looks || result.collect::<i64>().await?.first() == Some(&1);
            rows.push(Row { changed, counter, holds });
        }
        // The limits; the one row of the look at the time, and its end, after which comes the commit.
        result.next().await?;
        result.next().await?;
        *committing = true;
        result.next().await?;
        result.drop_result().await?;
        Ok(rows)
    }
}

fn step(write: &Write, epoch: u32) -> (&'static str, Vec<Value>) {
    let key = bytes(write.key.as_bytes());
    let (plain, marked, mut arguments) = match &write.change {
        Change::Set { value, expiry } => {
            let (at, after) = (number(expiry.at), number(expiry.after));
            let arguments = vec![key, Value::from(epoch), bytes(value), at, after];
            (statement::SET, record::SET_MARKED, arguments)
        }
        Change::Delete => (statement::DELETE, record::DELETE_MARKED, vec![Value::from(epoch), key]),
    };
    let Some(mark) = &write.mark else { return (plain, arguments) };
    arguments.extend(arguments_of(mark));
    if let Change::Set { .. } = &write.change {
        arguments.push(Value::Int(mark.deadline_us));
    }
    (marked, arguments)
}

/// Cache, epoch, deadline.
pub(super) fn arguments_of(mark: &Mark) -> [Value; 3] {
    [bytes(mark.cache.as_bytes()), Value::UInt(mark.epoch), Value::Int(mark.deadline_us)]
}
