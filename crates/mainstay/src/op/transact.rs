//! One change of several keys, made only while every one of them still holds what was read.
//! It must not know how the change was computed, nor which backend makes it.

use bytes::Bytes;

use super::TtlChange;
use crate::entry::Key;

/// What `Op::Transact` does to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It holds this value now.
    Put {
        /// The value.
        value: Bytes,
        /// Its expiry.
        ttl: TtlChange,
    },
    /// Only its expiry changes; a missing key stays missing. `Keep` is refused.
    Expire(TtlChange),
    /// It is gone, if it was there.
    Delete,
}

impl Change {
    /// What becomes of the expiry; `None`: there is no key any more.
    pub fn ttl(&self) -> Option<TtlChange> {
        match self {
            Self::Put { ttl, .. } | Self::Expire(ttl) => Some(*ttl),
            Self::Delete => None,
        }
    }

    /// The same with another expiry.
    #[must_use]
    pub(crate) fn with_ttl(self, ttl: TtlChange) -> Self {
        match self {
            Self::Put { value, .. } => Self::Put { value, ttl },
            Self::Expire(_) => Self::Expire(ttl),
            Self::Delete => Self::Delete,
        }
    }

    /// Bytes of a value that it brings.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.len(),
            Self::Expire(_) | Self::Delete => 0,
        }
    }
}

/// What a key has to hold: exactly this value, or nothing.
pub type Expected = (Key, Option<Bytes>);
