//! What stands in the journal: a write, its number, and what its writer knew.
//! It must not know how it is encoded, nor when it is applied.

use bytes::Bytes;

use crate::{
    backend::semantics::expiry_after,
    entry::{Key, Version},
    error::{Error, ErrorKind, Result},
    op::{Op, OpClass, TtlChange},
};

/// What a writer knew of the key in the record when it wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Base {
    /// The version that the writer based itself on.
    pub(crate) version: Option<Version>,
    /// The record's own clock at the last contact, microseconds since the Unix epoch.
    pub(crate) known_until_us: Option<i64>,
    /// The newest earlier entry of this journal that waits for one of the same keys: this write is based on it.
    /// Filled in by the journal.
    pub(crate) after_seq: Option<u64>,
}

/// A write that waits for the record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JournalEntry {
    /// Rises from entry to entry; never given twice by one journal.
    pub(crate) seq: u64,
    /// When it was accepted, Unix milliseconds by this process's clock.
    pub(crate) accepted_unix_ms: i64,
    /// The route's prefix.
    pub(crate) route: String,
    /// The write; its expiry is absolute.
    pub(crate) write: Op,
    /// What it is based on.
    pub(crate) base: Base,
}

/// An entry that was not applied, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeadLetter {
    /// The entry.
    pub(crate) entry: JournalEntry,
    /// Why.
    pub(crate) reason: String,
    /// Since when it is dead, Unix milliseconds.
    pub(crate) at_unix_ms: i64,
}

/// The write as it is kept: in its own memory (a key may be a slice of a large buffer), with an absolute expiry, so that
/// the time spent in the journal counts.
///
/// # Errors
/// `Unsupported` for what may not wait; `InvalidArgument` for an expiry that no backend would take.
pub(super) fn accepted(write: Op, now_unix_ms: i64) -> Result<Op> {
    if write.class() != OpClass::LastWriterWins {
        return Err(unsupported(write.name()));
    }
    let name = write.name();
    Ok(match write {
        Op::Set { key, value, ttl, condition, want_previous } => {
            let ttl = absolute(ttl, now_unix_ms)?;
            Op::Set { key: key.kept(), value: copy(&value), ttl, condition, want_previous }
        }
        Op::SetMany { entries, ttl, all_absent } => {
            let entries = entries.iter().map(|(key, value)| (key.kept(), copy(value))).collect();
            Op::SetMany { entries, ttl: absolute(ttl, now_unix_ms)?, all_absent }
        }
        Op::Delete { key, condition, want_previous } => {
            Op::Delete { key: key.kept(), condition, want_previous }
        }
        Op::DeleteMany { keys } => Op::DeleteMany { keys: keys.iter().map(Key::kept).collect() },
        Op::Expire { ttl: TtlChange::Keep, .. } => {
            let problem = "an expiry that stays as it is changes nothing";
            return Err(Error::new(ErrorKind::InvalidArgument, problem));
        }
        Op::Expire { key, ttl: TtlChange::For(ttl), condition } if ttl.is_zero() => {
            Op::Expire { key: key.kept(), ttl: TtlChange::At(now_unix_ms), condition }
        }
        Op::Expire { key, ttl, condition } => {
            Op::Expire { key: key.kept(), ttl: absolute(ttl, now_unix_ms)?, condition }
        }
        _ => return Err(unsupported(name)),
    })
}

fn unsupported(name: &str) -> Error {
    let message = format!(
        "`{name}` cannot wait in the journal while the record is down: only a set, a delete or an expiry without a \
         condition, and without a wish for the previous value, means the same later"
    );
    Error::new(ErrorKind::Unsupported, message)
}

fn absolute(ttl: TtlChange, now_unix_ms: i64) -> Result<TtlChange> {
    match ttl {
        TtlChange::For(_) => expiry_after(ttl, None, now_unix_ms)
            .map(|at| at.map_or(TtlChange::Clear, TtlChange::At)),
        TtlChange::Clear | TtlChange::Keep | TtlChange::At(_) => Ok(ttl),
    }
}

fn copy(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
