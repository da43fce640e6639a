//! What can be asked of a key and what can be answered, with the labels that the answers carry.
//! It must not know the library's own types: mapping them is the harness's work.

use std::fmt;

use super::op::Micros;

/// A version given by the commit point; compared as numbers, epoch first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Rises when history may have forked.
    pub epoch: u32,
    /// Rises with each write to the key.
    pub counter: u64,
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reads the key.
    Get,
    /// Stores a value that no other call of the run stores.
    Put(u64),
    /// Removes the key.
    Delete,
    /// Stores the value if the key has the version.
    CompareAndSet {
        /// `None`: the key has to be absent.
        expected: Option<Version>,
        /// A value that no other call of the run stores.
        value: u64,
    },
    /// Adds to a number that begins at 0. A key that is counted up is only counted and read.
    Increment {
        /// What is added.
        by: i64,
    },
}

/// What an answer says of its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// No write that was acknowledged before the read began is missing.
    Linearizable,
    /// No write that was acknowledged longer ago than this is missing (microseconds before the read began).
    Bounded(Micros),
    /// May be of any age.
    Unverified,
    /// The client's own write that is not yet in the record.
    Pending,
}

/// Where a read was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The record, or a route's only backend.
    Record,
    /// A shared cache.
    Cache {
        /// The client held a lease when the answer came.
        leased: bool,
    },
    /// A copy in the process: at best bounded, whatever the lease says.
    Memory,
    /// The local journal.
    Journal,
}

/// What an acknowledgement is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// The record has it.
    Durable,
    /// A local journal has it; the record may refuse it later.
    Journaled,
    /// It may vanish.
    Volatile,
}

/// The answer to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    /// `None`: absent. The number of a counter stands here as `number.cast_unsigned()`.
    pub value: Option<u64>,
    /// `None`: not told, or no trace of the key is left.
    pub version: Option<Version>,
    /// The label.
    pub freshness: Freshness,
    /// Who answered.
    pub source: Source,
}

/// The answer to a put, a delete, a compare-and-set or an increment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOutcome {
    /// The version that the write was given.
    pub version: Option<Version>,
    /// The label.
    pub ack: Ack,
    /// `false`: nothing was changed (the version did not match, nothing was there to delete).
    pub applied: bool,
    /// The new number of an increment.
    pub number: Option<i64>,
}

/// An answer that is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of a get.
    Read(ReadOutcome),
    /// Of everything else.
    Write(WriteOutcome),
}

impl Version {
    /// A version.
    #[must_use]
    pub const fn new(epoch: u32, counter: u64) -> Self {
        Self { epoch, counter }
    }
}

impl Call {
    /// What it leaves in the key if it is applied: `Some(None)` is an absent key, `None` a call that does not say.
    #[must_use]
    pub fn stores(&self) -> Option<Option<u64>> {
        match self {
            Self::Put(value) | Self::CompareAndSet { value, .. } => Some(Some(*value)),
            Self::Delete => Some(None),
            Self::Get | Self::Increment { .. } => None,
        }
    }

    /// Whether `outcome` can be its answer.
    #[must_use]
    pub fn fits(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Get, Outcome::Read(_)) => true,
            (Self::Get, Outcome::Write(_)) | (_, Outcome::Read(_)) => false,
            (Self::Increment { .. }, Outcome::Write(write)) => {
                write.number.is_some() == write.applied
            }
            (_, Outcome::Write(write)) => write.number.is_none(),
        }
    }
}

impl Outcome {
    /// The answer to a get.
    #[must_use]
    pub fn read(
        value: Option<u64>,
        version: Option<Version>,
        freshness: Freshness,
        source: Source,
    ) -> Self {
        Self::Read(ReadOutcome { value, version, freshness, source })
    }

    /// The answer to a put, a delete or a compare-and-set.
    #[must_use]
    pub fn write(version: Option<Version>, ack: Ack, applied: bool) -> Self {
        Self::Write(WriteOutcome { version, ack, applied, number: None })
    }

    /// The answer to an increment.
    #[must_use]
    pub fn increment(number: i64, version: Option<Version>, ack: Ack) -> Self {
        Self::Write(WriteOutcome { version, ack, applied: true, number: Some(number) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.epoch, self.counter)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get => f.write_str("get"),
            Self::Put(value) => write!(f, "put {value}"),
            Self::Delete => f.write_str("delete"),
            Self::CompareAndSet { expected: Some(version), value } => {
                write!(f, "cas {version} -> {value}")
            }
            Self::CompareAndSet { expected: None, value } => write!(f, "cas absent -> {value}"),
            Self::Increment { by } => write!(f, "increment {by:+}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = |version: Option<Version>| {
            version.map_or_else(|| "no version".to_owned(), |version| version.to_string())
        };
        match self {
            Self::Read(read) => {
                match read.value {
                    Some(value) => write!(f, "{value}")?,
                    None => f.write_str("absent")?,
                }
                write!(f, " {} {:?} from {:?}", version(read.version), read.freshness, read.source)
            }
            Self::Write(write) => {
                if let Some(number) = write.number {
                    write!(f, "= {number} ")?;
                }
                let applied = if write.applied { "" } else { ", changed nothing" };
                write!(f, "{} {:?}{applied}", version(write.version), write.ack)
            }
        }
    }
}
