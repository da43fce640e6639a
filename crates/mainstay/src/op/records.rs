//! What a record route asks of its record beyond plain operations: leases, guarded commits, dirty keys, readmission.
//! It must not know when each is asked (`sync`), nor how a record keeps it.

use std::{sync::Arc, time::Duration};

use super::Op;
use crate::entry::{Key, Version};

/// An operation on the record's control state. `cache` is the configured name of the cache that it is about, or
/// `semantics::control::OVERFLOW`. What each
/// does is `semantics::control`; times are the record's clock, Unix microseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordOp {
    /// One snapshot: the control row and the dirty keys. A missing row is created, degraded at epoch 0, so that a
    /// readmission precedes the first use. → `Reply::Lease`.
    Lease {
        /// The cache.
        cache: Arc<str>,
        /// The terms of a new row; a row that exists keeps its own.
        terms: Terms,
        /// The identifier of a new row.
        id: u64,
        /// Dirty keys that are returned at most.
        dirty_max: usize,
    },
    /// A write, performed only while what protects its copies holds. → `Reply::Committed`.
    Commit {
        /// The cache.
        cache: Arc<str>,
        /// The write.
        write: Box<Op>,
        /// What protects its copies.
        under: Under,
    },
    /// Some dirty keys. → `Reply::Dirty`.
    Dirty {
        /// The cache.
        cache: Arc<str>,
        /// This key and those after it; `None`: from the first.
        from: Option<Key>,
        /// Rows at most.
        limit: usize,
    },
    /// These were drained: rows whose number has not changed since and that no write holds open go.
    /// → `Reply::Integer`, how many went.
    Drained {
        /// The cache.
        cache: Arc<str>,
        /// The rows as they were read.
        rows: Vec<DirtyRow>,
    },
    /// Nobody is to read the cache any more: active at this epoch → degraded at the next.
    /// → `Reply::Integer`, 1 when this call did it.
    Degrade {
        /// The cache.
        cache: Arc<str>,
        /// The epoch as known.
        epoch: u64,
        /// Why, for people.
        reason: String,
    },
    /// Degraded at this epoch → active at the next, with a new generation and this identity; dirty rows go. The caller has
    /// waited until no lease of before lasts and no commit checked before is under way.
    /// → `Reply::Integer`, 1 when this call did it.
    Readmit {
        /// The cache.
        cache: Arc<str>,
        /// The epoch as known.
        epoch: u64,
        /// The server that is readmitted.
        identity: String,
        /// Its beacon.
        beacon: u64,
    },
    /// The beacon has been raised in the cache to this. Never lowers it. → `Reply::Integer`, 1 when it rose.
    Raised {
        /// The cache.
        cache: Arc<str>,
        /// The epoch under which it was raised.
        epoch: u64,
        /// The beacon as the cache answered after raising.
        beacon: u64,
    },
    /// What time it is there: whatever the asker knows of the record, it knows until then. Without any effect, also on a
    /// record that has no cache before it. → `Reply::Integer`.
    Now,
    /// A write that was journaled while the record was down: applied once, unless somebody wrote its keys in between.
    /// Makes them dirty for every cache, `semantics::control::OVERFLOW` aside. → `Reply::Applied`.
    Apply {
        /// The journal.
        journal: u128,
        /// Its place there; numbers up to the last one applied are not applied again.
        seq: u64,
        /// The write.
        write: Box<Op>,
        /// What its writer knew of the keys.
        base: Base,
    },
}

/// The constants of the protocol, stored in the record so that all processes agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a lease lasts.
    pub lease: Duration,
    /// How long a mark stands.
    pub mark: Duration,
    /// The longest that the record works on one statement and its commit.
    pub statement: Duration,
}

/// What protects the copies of a write's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// Marks in the cache: the control row must be active at this epoch, and the time not up.
    Mark {
        /// The epoch whose generation was marked.
        epoch: u64,
        /// The record's clock, Unix microseconds: after that the marks may expire before the statement ends.
        deadline_us: i64,
    },
    /// Dirty rows, made in the same transaction: the cache could not be marked. None remain of a write that changed nothing,
    /// unless it is a plain delete (`semantics::control::leaves_rows`). While the control row is degraded none are
    /// needed, but the row is held shared until the commit.
    Around {
        /// `Some`: only once the keys have been dirty (or the cache degraded) for this long, so that no lease that does not
        /// know it lasts; until then the rows are made and nothing is written.
        known_for: Option<Duration>,
        /// How long the rows are held open for the write that waits.
        open_for: Duration,
    },
}

/// A key that was written around a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyRow {
    /// The key.
    pub key: Key,
    /// Rises with each write around the cache.
    pub number: u64,
}

/// What the writer of a journaled write knew of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The version that it saw last, if it saw one.
    pub version: Option<Version>,
    /// The record's clock at the last contact: a key that was not written since then is as it was.
    pub known_until_us: Option<i64>,
}

/// The control row of one cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Names this pair of record and cache; part of every key in the cache.
    pub id: u64,
    /// Whether the cache may be read.
    pub active: bool,
    /// Rises with each change of `active`.
    pub epoch: u64,
    /// Part of every key in the cache; rises with each readmission.
    pub generation: u64,
    /// Which server, and which history of it, holds true copies.
    pub identity: String,
    /// No lower number may stand in the cache.
    pub beacon: u64,
    /// How long ago it was raised.
    pub beacon_age: Duration,
    /// Why it is degraded, for people; empty while active.
    pub reason: String,
    /// The constants.
    pub terms: Terms,
}

/// What a lease is granted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// The control row.
    pub control: Control,
    /// The dirty keys, at most as many as were asked for.
    pub dirty: Vec<Key>,
    /// Whether there are more.
    pub more: bool,
    /// The record's clock, Unix microseconds.
    pub now_us: i64,
}

impl RecordOp {
    /// The word for metrics and traces.
    pub fn name(&self) -> &'static str {
        match self {
            RecordOp::Lease { .. } => "lease",
            RecordOp::Commit { .. } => "commit",
            RecordOp::Dirty { .. } => "dirty",
            RecordOp::Drained { .. } => "drained",
            RecordOp::Degrade { .. } => "degrade",
            RecordOp::Readmit { .. } => "readmit",
            RecordOp::Raised { .. } => "raised",
            RecordOp::Now => "now",
            RecordOp::Apply { .. } => "apply",
        }
    }

    /// Whether it changes nothing that matters when it is repeated or lost.
    pub fn is_read(&self) -> bool {
        matches!(self, RecordOp::Lease { .. } | RecordOp::Dirty { .. } | RecordOp::Now)
    }
}
