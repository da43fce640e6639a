//! An operation is a value: one `Op` goes down the road, through routing, guard and backend.
//! It must not know how it came in (RESP, HTTP, a verb) nor which backend will take it.

use std::time::Duration;

use bytes::Bytes;

use crate::entry::{Key, Version};

mod copies;
mod label;
mod locks;
mod query;
mod raw;
mod records;
mod transact;

pub use copies::{Beacon, CopyOp, CopyValue};
pub(crate) use label::OpLabel;
pub use locks::{
    Authority, Counting, Fence, Ground, LockOp, LockPage, LockRow, Member, Seat, Waiter,
};
pub use query::{Query, ROWS_MAX, Rows, Statement};
pub use raw::{RawOp, RawValue};
pub use records::{Base, Control, DirtyRow, LeaseRow, RecordOp, Terms, Under};
pub use transact::{Change, Expected};

/// What to do with a key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlChange {
    /// The key will not expire.
    Clear,
    /// The expiry stays as it is (a new key gets none).
    Keep,
    /// From now, by the backend's clock. Zero is refused in `Set`; in `Expire` it deletes.
    For(Duration),
    /// At this time, Unix milliseconds by the backend's clock. In the past: the key is gone.
    At(i64),
}

/// When a write to one key is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Always,
    /// Only when there is no such key.
    Absent,
    /// Only when there is such a key.
    Present,
    /// Compare-and-set: only when the key has this version. Needs `Capabilities::versions`.
    VersionIs(Version),
    /// Only when the key holds exactly this value.
    ValueIs(Bytes),
    /// Only when the key is absent or holds another value.
    ValueIsNot(Bytes),
}

/// When an expiry is changed. A key without an expiry counts as infinitely far for `Greater` and `Less`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireCondition {
    /// Always.
    Always,
    /// Only when the key has none yet.
    HasNone,
    /// Only when the key has one.
    HasOne,
    /// Only when the new one is later.
    Greater,
    /// Only when the new one is earlier.
    Less,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// → `Reply::Record`.
    Get {
        /// The key.
        key: Key,
        /// Whether `Record::ttl` is wanted (costs Redis a second command in the same round trip).
        with_ttl: bool,
    },
    /// → `Reply::Records`, in the order of the keys. TTLs are filled in by engines with `Capabilities::versions`.
    GetMany {
        /// The keys; one may stand more than once.
        keys: Vec<Key>,
    },
    /// Part of a value by Redis's rules: negative indices count from the end, both ends inclusive. → `Reply::Bytes`.
    GetRange {
        /// The key.
        key: Key,
        /// First byte.
        start: i64,
        /// Last byte, inclusive.
        end: i64,
    },
    /// Length of the value in bytes, 0 for a missing key. → `Reply::Integer`.
    Length {
        /// The key.
        key: Key,
    },
    /// → `Reply::Ttl`.
    TimeToLive {
        /// The key.
        key: Key,
    },
    /// How many of these exist; a key named twice counts twice. → `Reply::Integer`.
    Exists {
        /// The keys.
        keys: Vec<Key>,
    },
    /// A page of the live keys under a prefix. A key that exists throughout the whole scan is returned at least once.
    /// → `Reply::Page`.
    Scan {
        /// Only keys that begin with these bytes.
        prefix: Bytes,
        /// `Page::next` of the page before; `None` begins.
        cursor: Option<Bytes>,
        /// How many keys to aim for, at least 1. A page may hold more or fewer, even none, when more is to come.
        limit: usize,
    },
    /// How many live keys under a prefix. → `Reply::Integer`.
    Count {
        /// Only keys that begin with these bytes.
        prefix: Bytes,
    },

    /// → `Reply::Written`.
    Set {
        /// The key.
        key: Key,
        /// The new value.
        value: Bytes,
        /// The new expiry.
        ttl: TtlChange,
        /// When it is applied.
        condition: Condition,
        /// Whether `Written::previous` is wanted.
        want_previous: bool,
    },
    /// All or nothing (on a Redis cluster: each key by itself). → `Reply::Written`.
    SetMany {
        /// Keys and values; of a key named twice the last counts.
        entries: Vec<(Key, Bytes)>,
        /// The new expiry of each.
        ttl: TtlChange,
        /// Only when none of the keys exists.
        all_absent: bool,
    },
    /// → `Reply::Written`; `applied` says whether there was such a key and the condition held.
    Delete {
        /// The key.
        key: Key,
        /// When it is applied.
        condition: Condition,
        /// Whether `Written::previous` is wanted.
        want_previous: bool,
    },
    /// How many existed and are gone. → `Reply::Integer`.
    DeleteMany {
        /// The keys.
        keys: Vec<Key>,
    },
    /// → `Reply::Written`; `applied` is false when there is no such key or the condition does not hold.
    Expire {
        /// The key.
        key: Key,
        /// The new expiry; `Clear` is Redis's PERSIST (applied only when there was one); `Keep` is refused.
        ttl: TtlChange,
        /// When it is applied.
        condition: ExpireCondition,
    },
    /// The value as a 64-bit decimal plus `by`; a missing key counts as 0. The TTL stays.
    /// → `Reply::Written` with `Outcome::Integer`.
    Increment {
        /// The key.
        key: Key,
        /// What is added.
        by: i64,
    },
    /// The value as a float plus `by`; a missing key counts as 0. The TTL stays.
    /// → `Reply::Written` with `Outcome::Text`, the new value as it is stored.
    IncrementFloat {
        /// The key.
        key: Key,
        /// What is added; finite.
        by: f64,
    },
    /// → `Reply::Written` with `Outcome::Integer`, the new length. The TTL stays.
    Append {
        /// The key.
        key: Key,
        /// What is put at the end.
        value: Bytes,
    },
    /// Overwrites from `offset`, zero bytes fill a gap; an empty value changes nothing and creates nothing.
    /// → `Reply::Written` with `Outcome::Integer`, the new length. The TTL stays.
    SetRange {
        /// The key.
        key: Key,
        /// First byte.
        offset: u64,
        /// The bytes.
        value: Bytes,
    },
    /// Gives the value and expiry of one key to another: rename or copy. → `Reply::Written`;
    /// `applied` is false when the target exists and `replace` is false. `ErrorKind::NoSuchKey` without a source.
    Move {
        /// The source.
        from: Key,
        /// The target.
        to: Key,
        /// Copy: the source stays.
        keep_source: bool,
        /// Whether an existing target is overwritten.
        replace: bool,
    },

    /// All changes in one atomic step, and only while every expected key still holds exactly that. On a Redis cluster all
    /// keys lie in one slot. → `Reply::Written`; `applied` is false when a key holds something else.
    Transact {
        /// What the keys have to hold.
        expected: Vec<Expected>,
        /// What becomes of keys, each named at most once.
        changes: Vec<(Key, Change)>,
    },

    /// A command of Redis's own, to one backend; for front doors. → `Reply::Raw`.
    Raw(RawOp),
    /// What a source route asks of its database. Not for callers.
    Query(Query),
    /// What a record route asks of its cache. Not for callers.
    Copy(CopyOp),
    /// What a record route asks of its record. Not for callers.
    Record(RecordOp),
    /// What locks ask of their backends. Not for callers: see `Storage::lock`.
    Lock(LockOp),
    /// A write under a lock's token, refused with `ErrorKind::Fenced` once a higher one has been seen. Record routes
    /// only. → the reply of the write.
    Fenced {
        /// The lock and its token.
        fence: Fence,
        /// The write.
        write: Box<Op>,
    },
}

/// How the road may treat an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpClass {
    /// May fail over, be hedged, be served stale.
    Read,
    /// Set, delete, touch: repeating it does no harm, so it may fail over and be retried.
    LastWriterWins,
    /// Conditional or relative: planned to exactly one backend; after `Effect::Unknown` it stops and says so.
    Strict,
}

impl Op {
    /// How the road may treat it.
    pub fn class(&self) -> OpClass {
        match self {
            Op::Get { .. }
            | Op::GetMany { .. }
            | Op::GetRange { .. }
            | Op::Length { .. }
            | Op::TimeToLive { .. }
            | Op::Exists { .. }
            | Op::Scan { .. }
            | Op::Count { .. }
            | Op::Query(_)
            | Op::Copy(CopyOp::Beacon { raise: None, .. }) => OpClass::Read,
            Op::Raw(op) => op.class(),
            Op::Record(op) if op.is_read() => OpClass::Read,
            Op::Lock(op) if op.is_read() => OpClass::Read,
            Op::Set { condition: Condition::Always, want_previous: false, .. }
            | Op::SetMany { all_absent: false, .. }
            | Op::Delete { condition: Condition::Always, want_previous: false, .. }
            | Op::DeleteMany { .. }
            | Op::Expire { condition: ExpireCondition::Always, .. } => OpClass::LastWriterWins,
            Op::Set { .. }
            | Op::SetMany { .. }
            | Op::Delete { .. }
            | Op::Expire { .. }
            | Op::Increment { .. }
            | Op::IncrementFloat { .. }
            | Op::Append { .. }
            | Op::SetRange { .. }
            | Op::Move { .. }
            | Op::Transact { .. }
            | Op::Copy(_)
            | Op::Record(_)
            | Op::Lock(_)
            | Op::Fenced { .. } => OpClass::Strict,
        }
    }

    /// The write under a fence, or the operation itself.
    pub fn unfenced(&self) -> &Op {
        match self {
            Op::Fenced { write, .. } => write,
            op => op,
        }
    }

    /// Whether the storage asks it for itself, so that others may be served: it must not wait behind them.
    pub(crate) fn keeps_true(&self) -> bool {
        match self {
            Op::Copy(op) => matches!(op, CopyOp::Beacon { .. }),
            Op::Record(op) => !matches!(op, RecordOp::Commit { .. } | RecordOp::Apply { .. }),
            _ => false,
        }
    }

    /// The word for metrics and traces.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Get { .. } => "get",
            Op::GetMany { .. } => "get_many",
            Op::GetRange { .. } => "get_range",
            Op::Length { .. } => "length",
            Op::TimeToLive { .. } => "ttl",
            Op::Exists { .. } => "exists",
            Op::Scan { .. } => "scan",
            Op::Count { .. } => "count",
            Op::Set { .. } => "set",
            Op::SetMany { .. } => "set_many",
            Op::Delete { .. } => "delete",
            Op::DeleteMany { .. } => "delete_many",
            Op::Expire { .. } => "expire",
            Op::Increment { .. } => "increment",
            Op::IncrementFloat { .. } => "increment_float",
            Op::Append { .. } => "append",
            Op::SetRange { .. } => "set_range",
            Op::Move { .. } => "move",
            Op::Transact { .. } => "transact",
            Op::Raw(_) => "raw",
            Op::Query(_) => "query",
            Op::Copy(op) => op.name(),
            Op::Record(op) => op.name(),
            Op::Lock(op) => op.name(),
            Op::Fenced { .. } => "fenced",
        }
    }

    /// Calls `each` with every key of a user that it names; a scan and a count name none.
    pub fn for_each_key<'a>(&'a self, mut each: impl FnMut(&'a Key)) {
        self.each_key(&mut each);
    }

    // Not generic: a fenced write asks the one that it holds.
    fn each_key<'a>(&'a self, each: &mut dyn FnMut(&'a Key)) {
        match self {
            Op::Get { key, .. }
            | Op::GetRange { key, .. }
            | Op::Length { key }
            | Op::TimeToLive { key }
            | Op::Set { key, .. }
            | Op::Delete { key, .. }
            | Op::Expire { key, .. }
            | Op::Increment { key, .. }
            | Op::IncrementFloat { key, .. }
            | Op::Append { key, .. }
            | Op::SetRange { key, .. } => each(key),
            Op::GetMany { keys } | Op::Exists { keys } | Op::DeleteMany { keys } => {
                keys.iter().for_each(each)
            }
            Op::SetMany { entries, .. } => entries.iter().for_each(|(key, _)| each(key)),
            Op::Move { from, to, .. } => {
                each(from);
                each(to);
            }
            Op::Transact { expected, changes } => {
                expected.iter().for_each(|(key, _)| each(key));
                changes.iter().for_each(|(key, _)| each(key));
            }
            Op::Fenced { write, .. } => write.each_key(each),
            Op::Raw(op) => op.keys.iter().for_each(each),
            Op::Scan { .. }
            | Op::Count { .. }
            | Op::Query(_)
            | Op::Copy(_)
            | Op::Record(_)
            | Op::Lock(_) => {}
        }
    }
}
