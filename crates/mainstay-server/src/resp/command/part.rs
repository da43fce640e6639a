//! What is asked about one value that has to be read as a whole: a piece of it, its length, its type.
//! It must not know how values are read.

use mainstay::{Record, Result, backend::semantics::range_of, hash};

use crate::resp::reply::Output;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resp) enum Part {
    /// From the first byte to the last, by Redis's rules.
    Range(i64, i64),
    Length,
    /// `string`, `hash` or `none`.
    Type,
}

impl Part {
    /// Answers it.
    ///
    /// # Errors
    /// `WrongType` for a piece or the length of a hash.
    pub(in crate::resp) fn encode(self, record: Option<Record>, out: &mut Output) -> Result<()> {
        let value = record.map(|record| record.value);
        let is_hash = value.as_deref().is_some_and(hash::is_hash);
        match self {
            Self::Type if is_hash => out.simple("hash"),
            Self::Type => out.simple(if value.is_some() { "string" } else { "none" }),
            _ if is_hash => return Err(hash::wrong_type()),
            Self::Range(start, end) => {
                let piece = value.map(|value| range_of(&value, start, end));
                out.bulk_shared(piece.unwrap_or_default());
            }
            Self::Length => {
                let length = value.map_or(0, |value| value.len());
                out.integer(i64::try_from(length).unwrap_or(i64::MAX));
            }
        }
        Ok(())
    }
}
