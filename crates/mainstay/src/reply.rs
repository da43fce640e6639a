//! What comes back up the road: one `Reply` for one `Op`.
//! It must not know who asked, nor add where it came from (that is `Entry`).

use bytes::Bytes;

use std::time::Duration;

use crate::{
    entry::{Key, Record, Ttl, Version},
    error::{Error, ErrorKind, Result},
    op::{Authority, Beacon, DirtyRow, LeaseRow, LockPage, Member, RawValue},
};

/// The reply to an `Op`; which one, says the documentation of each `Op`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// One key.
    Record(Option<Record>),
    /// Many keys, in the order they were asked for.
    Records(Vec<Option<Record>>),
    /// A time to live.
    Ttl(Ttl),
    /// A count or a length.
    Integer(i64),
    /// Part of a value.
    Bytes(Bytes),
    /// Some keys.
    Page(Page),
    /// The outcome of a write to one key, or of a many-key write as one.
    Written(Written),
    /// The rows of a query as JSON; `None`: there were none.
    Rows(Option<Bytes>),
    /// It was done; there is nothing to tell.
    Done,
    /// One answer for each key.
    Flags(Vec<bool>),
    /// What a cache says of itself.
    Beacon(Beacon),
    /// What a lease is granted from.
    Lease(Box<LeaseRow>),
    /// Some dirty keys.
    Dirty(Vec<DirtyRow>),
    /// How a guarded write ended.
    Committed(Committed),
    /// How a journaled write ended.
    Applied(Applied),
    /// How an operation on a lock ended.
    Lock(Locked),
    /// Some locks.
    Locks(LockPage),
    /// A voter.
    Member(Member),
    /// Who grants.
    Authority(Box<Authority>),
    /// What Redis answered to a command that was passed through.
    Raw(Box<RawValue>),
}

/// How an operation on a lock ended. Contention is an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locked {
    /// It was done.
    Granted {
        /// The token that was given, or the counter as this backend knows it; 0 where there is none to tell.
        token: u64,
        /// The backend's clock, Unix microseconds.
        now_us: i64,
    },
    /// Somebody else holds it.
    Held {
        /// How long the lease lasts yet.
        left: Duration,
        /// Who, for people.
        note: String,
        /// The holder's token, or the counter as this backend knows it.
        token: u64,
    },
    /// The caller does not hold it: the lease has ended, or was released.
    Gone,
    /// A higher token has been seen: this one.
    Fenced(u64),
    /// What had to hold besides (`Ground`, an epoch, an identity) does not.
    Refused,
}

/// How a guarded write ended. An error of the caller's kind is an error as ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It was performed; this is its own reply.
    Done(Box<Reply>),
    /// Nothing was applied: the control row has moved on, or the time was up.
    Overtaken,
    /// Nothing was applied: the keys are dirty now, and the write may be tried again after this.
    Wait(Duration),
}

/// How a journaled write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was performed; this is its own reply.
    Done(Box<Reply>),
    /// It had been performed before.
    Already,
    /// Nothing was applied: somebody else wrote this key since.
    Conflict(Key),
}

/// The outcome of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Whether the condition held and the write was applied.
    pub applied: bool,
    /// The version the key has now, where the backend gives one and the write was applied to one key.
    pub version: Option<Version>,
    /// What the key held before, where it was asked for.
    pub previous: Option<Record>,
    /// What a relative write computed.
    pub outcome: Outcome,
}

/// What a relative write computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    #[default]
    None,
    /// A counter's value or a length.
    Integer(i64),
    /// A float counter's value, as stored.
    Text(Bytes),
}

/// A page of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<Key>,
    /// Where to go on; `None`: this was the last page. Opaque.
    pub next: Option<Bytes>,
}

macro_rules! take {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// `Internal` when the backend gave another kind of reply.
        pub fn $name(self) -> Result<$type> {
            match self {
                Reply::$variant(inner) => Ok(inner),
                other => Err(mismatch(stringify!($variant), &other)),
            }
        }
    };
}

impl Reply {
    take!(/// The one record.
        into_record, Record, Option<Record>);
    take!(/// The records.
        into_records, Records, Vec<Option<Record>>);
    take!(/// The time to live.
        into_ttl, Ttl, Ttl);
    take!(/// The number.
        into_integer, Integer, i64);
    take!(/// The bytes.
        into_bytes, Bytes, Bytes);
    take!(/// The page.
        into_page, Page, Page);
    take!(/// The rows.
        into_rows, Rows, Option<Bytes>);
    take!(/// The outcome of a write.
        into_written, Written, Written);
    take!(/// One answer for each key.
        into_flags, Flags, Vec<bool>);
    take!(/// What the cache says.
        into_beacon, Beacon, Beacon);
    take!(/// What a lease is granted from.
        into_lease, Lease, Box<LeaseRow>);
    take!(/// The dirty keys.
        into_dirty, Dirty, Vec<DirtyRow>);
    take!(/// How a guarded write ended.
        into_committed, Committed, Committed);
    take!(/// How a journaled write ended.
        into_applied, Applied, Applied);
    take!(/// How an operation on a lock ended.
        into_locked, Lock, Locked);
    take!(/// Some locks.
        into_locks, Locks, LockPage);
    take!(/// The voter.
        into_member, Member, Member);
    take!(/// Who grants.
        into_authority, Authority, Box<Authority>);
    take!(/// What Redis answered.
        into_raw, Raw, Box<RawValue>);
}

fn mismatch(expected: &str, got: &Reply) -> Error {
    Error::new(ErrorKind::Internal, format!("a backend answered {got:?} where {expected} was due"))
}
