//! What an operation is called where backends are measured: a few words, whatever is asked.
//! It must not know who measures.

use super::{Op, OpClass};

/// What a backend was asked, in one of seven words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpLabel {
    /// A read of keys.
    Read,
    /// A last-writer-wins write.
    Write,
    /// A conditional or relative write.
    Strict,
    /// A query of a source route.
    Query,
    /// A copy that is looked at, marked, filled, published.
    Copy,
    /// A record with what it keeps for its caches.
    Record,
    /// A lock.
    Lock,
}

impl OpLabel {
    /// Every label, in the order of the declaration.
    pub(crate) const ALL: [Self; 7] =
        [Self::Read, Self::Write, Self::Strict, Self::Query, Self::Copy, Self::Record, Self::Lock];

    /// Of this operation.
    pub(crate) fn of(op: &Op) -> Self {
        match (op, op.class()) {
            (Op::Query(_), _) => Self::Query,
            (Op::Copy(_), _) => Self::Copy,
            (Op::Record(_), _) => Self::Record,
            (Op::Lock(_), _) => Self::Lock,
            (_, OpClass::Read) => Self::Read,
            (_, OpClass::LastWriterWins) => Self::Write,
            (_, OpClass::Strict) => Self::Strict,
        }
    }

    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Strict => "strict",
            Self::Query => "query",
            Self::Copy => "copy",
            Self::Record => "record",
            Self::Lock => "lock",
        }
    }
}
