//! What is stored under a key, and what a read says about it.
//! It must not know which backend stores it, nor how it is encoded there.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;

/// A key: any bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

impl Key {
    /// The longest key in bytes that every backend can index (PostgreSQL's B-tree allows 2,704 a row).
    pub const LEN_MAX: usize = 2048;

    /// What the keys of our own begin with that stand beside keys of users. No user reads, writes or sees them.
    pub const RESERVED: &'static [u8] = b"\0mainstay:";

    /// A key over these bytes; lengths are checked once, in `storage::execute`.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The same key in memory of its own, for whoever keeps it for longer than a call: a key that came over a connection
    /// is a slice of that connection's buffer, and holds all of it.
    pub fn kept(&self) -> Self {
        Self::from(self.as_bytes())
    }

    /// The key for an entry of a map that keeps its first one: copied only where there is none yet.
    pub(crate) fn entered<V>(&self, map: &BTreeMap<Self, V>) -> Self {
        if map.contains_key(self) { self.clone() } else { self.kept() }
    }

    /// The least key after this one in the order of bytes.
    pub fn following(&self) -> Self {
        let mut bytes = self.0.to_vec();
        bytes.push(0);
        Self(Bytes::from(bytes))
    }

    /// Whether it is one of our own.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(Self::RESERVED)
    }

    /// FNV-1a, the same in every run so that a simulation repeats.
    pub(crate) fn stable_hash(&self) -> u64 {
        self.0.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<Bytes> for Key {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The version of a key, given by the commit point inside the write, never by a client's clock.
///
/// The epoch rises when the record's own history may have forked (restore, failover with loss). The counter rises
/// with each write to the key; a key that is created anew starts at the commit point's clock in microseconds, so that
/// no version repeats after a tombstone was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Rises when history may have forked.
    pub epoch: u32,
    /// Rises with each write to the key.
    pub counter: u64,
}

impl Version {
    /// The version after this one in the same epoch.
    #[must_use]
    pub fn next(self) -> Self {
        Self { epoch: self.epoch, counter: self.counter + 1 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.counter)
    }
}

impl FromStr for Version {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text
            .split_once('-')
            .and_then(|(epoch, counter)| Some((epoch.parse().ok()?, counter.parse().ok()?)));
        let Some((epoch, counter)) = parts else {
            return Err(crate::error::Error::new(
                crate::error::ErrorKind::InvalidArgument,
                "a version reads EPOCH-COUNTER, such as 1-17",
            ));
        };
        Ok(Self { epoch, counter })
    }
}

/// What one backend holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The value.
    pub value: Bytes,
    /// The version, where the backend gives one.
    pub version: Option<Version>,
    /// Time left to live, to the millisecond. `None`: no expiry, or not asked for (see `Op::Get::with_ttl`).
    pub ttl: Option<Duration>,
}

/// What a read of the storage returns: the value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// The version, where the backend gives one.
    pub version: Option<Version>,
    /// The backend that answered.
    pub source: Arc<str>,
    /// Whether the value is known to be possibly older than the last acknowledged write.
    pub stale: bool,
    /// How true it is.
    pub freshness: Freshness,
    /// How long ago the copy was taken from the record, when a cache answered.
    pub age: Option<Duration>,
    /// Time left to live, where known.
    pub ttl: Option<Duration>,
}

/// How true a read is. A later one promises less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// No older than any write that was acknowledged before the read began.
    Linearizable,
    /// At most this much older than such a write; a copy in a shared cache only if some process could not reach it.
    Bounded(Duration),
    /// This process's own write, journaled while the record is down.
    Pending,
    /// A loaded value: as old as its time to live allows.
    Loaded,
    /// A failover route: the best of the backends that answered; another may hold something newer.
    Unpromised,
    /// A copy that could not be verified for this long, because the record does not answer.
    Unverified(Duration),
}

/// What the acknowledgement of a write is worth. A later one is worth less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ack {
    /// Committed in a durable backend that every process of its scope sees.
    Durable,
    /// Held by a shared backend that may forget it.
    Replica,
    /// In this host's journal under this number, on its disk; the record gets it when it is back.
    Journaled(u64),
    /// In the memory of this process, until a better backend answers.
    Volatile,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Worth {
    /// Of a read.
    Read(Freshness),
    /// Of a write.
    Write(Ack),
}

impl Worth {
    /// Of a read; a write is as true as it is.
    pub fn freshness(self) -> Freshness {
        match self {
            Worth::Read(freshness) => freshness,
            Worth::Write(_) => Freshness::Linearizable,
        }
    }

    /// Whether the journal took the write, or holds what was read.
    pub fn is_journaled(self) -> bool {
        matches!(self, Worth::Read(Freshness::Pending) | Worth::Write(Ack::Journaled(_)))
    }

    /// The word for metadata and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Worth::Read(Freshness::Linearizable) => "linearizable",
            Worth::Read(Freshness::Bounded(_)) => "bounded",
            Worth::Read(Freshness::Pending) => "pending",
            Worth::Read(Freshness::Loaded) => "loaded",
            Worth::Read(Freshness::Unpromised) => "unpromised",
            Worth::Read(Freshness::Unverified(_)) => "unverified",
            Worth::Write(Ack::Durable) => "durable",
            Worth::Write(Ack::Replica) => "replica",
            Worth::Write(Ack::Journaled(_)) => "journaled",
            Worth::Write(Ack::Volatile) => "volatile",
        }
    }
}

/// The answer to a question for a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// There is no such key.
    Missing,
    /// The key does not expire.
    Persistent,
    /// Time left, to the millisecond.
    Left(Duration),
}
