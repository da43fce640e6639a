//! What a job asks of a connection, and how it is done.
//! It must not know who waits, nor where a transaction begins and ends.

use std::sync::Arc;

use rusqlite::Connection;

use super::{
    classify, control, lane::Job, location::FileIdentity, locks, purge, query, read, write,
};
use crate::{
    backend::semantics::Bounds,
    clock::Clock,
    error::Result,
    live::{LiveLimit, LiveSize},
    op::{Op, RecordOp, Under},
    reply::{Committed, Reply},
};

/// What a job asks for.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// An operation. A lease without a control row replies with `Reply::Done`.
    Op(Op),
    /// A lease that makes the control row first.
    FirstLease(RecordOp),
    /// Remove up to so many expired rows and old tombstones. Replies with `Reply::Integer`.
    Purge(usize),
    /// One look at the database. Replies with `Reply::Integer`, the epoch.
    Ping,
    /// Write something and read it back. Replies as `Ping` does.
    WriteRead,
}

impl Work {
    /// Whether the database may be another one afterwards.
    pub(super) fn writes(&self) -> bool {
        match self {
            Work::Op(op) => !read::reads(op),
            Work::FirstLease(_) | Work::Purge(_) | Work::WriteRead => true,
            Work::Ping => false,
        }
    }

    /// About how many bytes it adds to a transaction.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Work::Op(op) => bytes_of(op),
            Work::FirstLease(_) | Work::Purge(_) | Work::Ping | Work::WriteRead => 0,
        }
    }

    /// By when it has to be committed after it was performed with this reply: the host's clock, Unix microseconds.
    pub(super) fn commit_by_us(&self, reply: &Reply) -> Option<i64> {
        match (self, reply) {
            (
                Work::Op(Op::Record(RecordOp::Commit {
                    under: Under::Mark { deadline_us, .. },
                    ..
                })),
                Reply::Committed(Committed::Done(_)),
            ) => Some(*deadline_us),
            _ => None,
        }
    }
}

fn bytes_of(op: &Op) -> usize {
    match op {
        Op::Set { value, .. } | Op::Append { value, .. } | Op::SetRange { value, .. } => {
            value.len()
        }
        Op::SetMany { entries, .. } => entries.iter().map(|(_, value)| value.len()).sum(),
        Op::Transact { changes, .. } => changes.iter().map(|(_, change)| change.len()).sum(),
        Op::Record(RecordOp::Commit { write, .. } | RecordOp::Apply { write, .. }) => {
            bytes_of(write)
        }
        Op::Fenced { write, .. } => bytes_of(write),
        _ => 0,
    }
}

/// What all work is held to.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) clock: Clock,
    pub(super) value_max: Arc<LiveSize>,
    pub(super) ttl_max: Arc<LiveLimit>,
    /// The file that was opened; none in memory.
    pub(super) file: Option<FileIdentity>,
}

impl Rules {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { value_max: self.value_max.get() }
    }

    /// Fails when the file is no longer where others look for it.
    pub(super) fn check_file(&self) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), FileIdentity::check)
    }
}

/// Does it. An error leaves no write half done, but SQLite may have rolled the whole transaction back.
pub(super) fn perform(connection: &Connection, job: &Job, rules: &Rules) -> Result<Reply> {
    match &job.work {
        Work::Op(Op::Record(op)) if op.is_read() => control::look(connection, op),
        Work::Op(Op::Record(op)) => control::write(connection, op, rules),
        Work::Op(Op::Lock(op)) => locks::perform(connection, op),
        Work::FirstLease(op) => control::first_lease(connection, op),
        Work::Op(Op::Query(op)) => {
            query::run(connection, op, rules.value_max.get(), &|| job.is_awaited())
        }
        Work::Op(op) if read::reads(op) => {
            read::read(connection, op, rules.clock.unix_ms(), &|| job.is_awaited())
        }
        Work::Op(op) => write::write(connection, op, rules),
        Work::Purge(limit) => purge::purge(connection, *limit, rules.clock.unix_ms()),
        Work::Ping => {
            rules.check_file()?;
            epoch(connection).map(Reply::Integer)
        }
        Work::WriteRead => {
            let mark = "UPDATE mainstay_meta SET probed_at = ?1";
            connection.execute(mark, [rules.clock.unix_ms()]).map_err(classify::error)?;
            epoch(connection).map(Reply::Integer)
        }
    }
}

/// The epoch that versions are given under.
pub(super) fn epoch(connection: &Connection) -> Result<i64> {
    let statement = connection.prepare_cached("SELECT epoch FROM mainstay_meta");
    statement
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(classify::error)
}
