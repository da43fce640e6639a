//! Single sets of many callers in one packet: a transaction with one statement for all of them, and one that tells versions.
//! It must not know which writes go together, nor who waits for them.

use std::time::Duration;

use mysql_async::{Conn, prelude::Queryable};

use super::{
    super::{
        common::{Intent, version, written},
        together::{Change, Engine, Mark, Outcome, Write, in_order},
    },
    guarded,
    pool::{Connections, Failure, Lease, bounded},
    statement::together::{self as statement, Refusals},
    write,
};
use crate::{
    backend::semantics::Bounds,
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
    op::Op,
};

/// Bytes of the text of a packet beside its keys and values.
const TEXT_MAX: usize = 256 << 10;

/// A longer value costs so much by itself that a commit of its own is no matter, and others need not wait for it.
const VALUE_MAX: usize = 64 << 10;

/// Many together wait for a lock, or are slow, no longer than this: a call of one second counts as slow, and they are many.
const STATEMENT_MAX: Duration = Duration::from_millis(200);

/// Who has less time goes alone, for the others are not to be told after theirs is over.
const TIME_MIN: Duration = Duration::from_millis(500);

impl Connections {
    /// Performs a write by `alone`, or, if it sets one key and others are under way, together with others.
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
            (Some(together), Some(write)) if goes_with_others(&write, self.left(deadline)) => {
                together.perform(write, alone, deadline).await
            }
            _ => alone.await,
        }
    }
}

/// Deletes go alone: MySQL does not say which rows a statement found.
fn goes_with_others(write: &Write, left: Duration) -> bool {
    match &write.change {
        Change::Set { value, .. } => value.len() <= VALUE_MAX && left >= TIME_MIN,
        Change::Delete => false,
    }
}

impl Engine for Connections {
    type Lease = Lease;

    /// Of the work on a packet most does not depend on its rows: the fewer, the more is saved.
    fn underway_max(&self) -> usize {
        1
    }

    fn bytes_max(&self) -> usize {
        // In hexadecimal, the keys twice.
        self.payload_max().saturating_sub(TEXT_MAX) / 4
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
        let packet = Packet::of(self, writes);
        let mut committing = false;
        let call = packet.send(lease.conn(), &mut committing);
        match bounded(deadline, call).await {
            Ok(counters) => {
                lease.give_back();
                packet
                    .outcomes(writes, counters)
                    .map_err(|error| error.with_effect(Effect::Unknown))
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
        let sql = format!("ROLLBACK; {}", statement::within(self.statement_timeout()));
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
    epoch: u32,
}

impl Packet {
    /// What guards the writes is looked at right before the commit, for all of them by the deadline that is first: where it
    /// does not hold, each goes alone. And it was begun no longer before than one statement may take.
    fn of(all: &Connections, writes: &[Write]) -> Self {
        let epoch = all.epoch();
        let mut refusals = Refusals::late(all.statement_timeout().as_micros()).or_moved(epoch);
        let marks = writes.iter().filter_map(|write| write.mark.as_ref());
        if let Some(first) = marks.min_by_key(|mark| mark.deadline_us) {
            refusals = refusals.or_overtaken(first);
        }
        let mut sql = format!("{}; ", statement::begin(STATEMENT_MAX));
        statement::set(&mut sql, writes, epoch);
        sql.push_str("; ");
        sql.push_str(&refusals.commit(all.statement_timeout()));
        Self { sql, epoch }
    }

    /// The keys and their counters.
    async fn send(
        &self,
        conn: &mut Conn,
        committing: &mut bool,
    ) -> mysql_async::Result<Vec<(Vec<u8>, i64)>> {
        let mut result = conn.query_iter(&*self.sql).await?;
        // The limits; the beginning of the transaction; the rows.
        for _ in 0..3 {
            result.next().await?;
        }
        let counters = result.collect::<(Vec<u8>, i64)>().await?;
        // The limits; the one row of the look at what refuses it, and its end, after which comes the commit.
        result.next().await?;
        result.next().await?;
        *committing = true;
        result.next().await?;
        result.drop_result().await?;
        Ok(counters)
    }

    fn outcomes(
        &self,
        writes: &[Write],
        counters: Vec<(Vec<u8>, i64)>,
    ) -> Result<Vec<Result<Outcome>>> {
        let told = in_order(writes, counters).into_iter().map(|counter| {
            let counter = counter.ok_or_else(|| {
                Error::new(ErrorKind::Misconfigured, "the server skipped the write")
            })?;
            version(i64::from(self.epoch), counter).map(|version| Ok(Some(written(Some(version)))))
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Key, backend::sql::common::Expiry};

    #[test]
    fn what_costs_much_by_itself_or_has_little_time_goes_alone() {
        let key = Key::from("k");
        let of = |change| Write { key: key.clone(), change, mark: None };
        let set = |bytes| {
            let value = Bytes::from(vec![0; bytes]);
            of(Change::Set { value, expiry: Expiry::default() })
        };
        assert!(goes_with_others(&set(VALUE_MAX), TIME_MIN));
        assert!(!goes_with_others(&set(VALUE_MAX + 1), TIME_MIN));
        assert!(!goes_with_others(&set(1), TIME_MIN - Duration::from_millis(1)));
        assert!(!goes_with_others(&of(Change::Delete), TIME_MIN));
        assert!(STATEMENT_MAX < TIME_MIN);
    }
}
