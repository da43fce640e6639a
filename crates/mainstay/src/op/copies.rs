//! What a record route asks of its cache: marks, publishes, fill tokens, drains, the beacon.
//! It must not know when each is asked (`sync`), nor how a cache keeps it.

use std::time::Duration;

use bytes::Bytes;

use crate::entry::{Key, Version};

/// An operation on copies. Keys are whole keys of the cache, prefix and generation included; each key is handled by
/// itself, so that a call may span the nodes of a cluster. What each does to one key is `semantics::copies`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyOp {
    /// Announces a write in flight: no reader is given a value until the nonce is gone. What stood there is kept behind. Sent once per nonce, never again.
    /// → `Reply::Done`.
    Mark {
        /// The keys of the write.
        keys: Vec<Key>,
        /// Names the write.
        nonce: u128,
        /// How long the mark stands by itself.
        life: Duration,
    },
    /// Takes the nonce back without an offer. May be repeated. → `Reply::Done`.
    Unmark {
        /// The keys of the write.
        keys: Vec<Key>,
        /// Names the write.
        nonce: u128,
        /// Whether nothing was committed under it, for certain: then what stood before is left. Otherwise nothing is.
        clean: bool,
    },
    /// Takes the nonce back and offers the committed value. May be repeated. → `Reply::Flags`: whether the mark stood.
    Publish {
        /// The key.
        key: Key,
        /// Names the write.
        nonce: u128,
        /// The value as committed; its times count from the mark.
        copy: CopyValue,
    },
    /// Asks for the right to fill keys that hold nothing. Sent once per token, never again.
    /// → `Reply::Flags`: for each key whether the token now stands.
    Token {
        /// The keys.
        keys: Vec<Key>,
        /// Names the reader.
        token: u128,
        /// How long the token stands.
        life: Duration,
    },
    /// Puts copies where the token still stands. May be repeated. → `Reply::Flags`: for each whether it was put.
    Fill {
        /// Keys and values as read from the record after the token was granted; their times count from the token.
        entries: Vec<(Key, CopyValue)>,
        /// Names the reader.
        token: u128,
    },
    /// The keys were written around this cache: values and tokens go, marks are tainted. May be repeated. → `Reply::Done`.
    Drain {
        /// The keys.
        keys: Vec<Key>,
    },
    /// Reads the beacon, and who the server is, over the connections that serve reads. → `Reply::Beacon`.
    Beacon {
        /// The beacon's key.
        key: Key,
        /// Raised by one first if it stands at this (a missing one at 0). One that is lower shows that the server has lost
        /// writes: raising it, also by a message that was long under way, would hide that.
        raise: Option<u64>,
    },
}

/// A value to be put into a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyValue {
    /// The value.
    pub value: Bytes,
    /// Its version in the record.
    pub version: Version,
    /// How long the copy may be served, from the moment its mark or token was placed, by the cache's clock.
    pub life: Duration,
    /// How long the record itself lives from that moment; `None`: it does not expire.
    pub ttl: Option<Duration>,
}

/// What a cache says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beacon {
    /// The beacon; 0 when there is none.
    pub beacon: u64,
    /// Names this run and this history of the server (of each node of a cluster).
    pub identity: String,
    /// The server's clock, Unix milliseconds.
    pub now_ms: i64,
    /// Whether marks can be evicted under memory pressure.
    pub evicts: bool,
}

impl CopyOp {
    /// The word for metrics and traces.
    pub fn name(&self) -> &'static str {
        match self {
            CopyOp::Mark { .. } => "mark",
            CopyOp::Unmark { .. } => "unmark",
            CopyOp::Publish { .. } => "publish",
            CopyOp::Token { .. } => "token",
            CopyOp::Fill { .. } => "fill",
            CopyOp::Drain { .. } => "drain",
            CopyOp::Beacon { .. } => "beacon",
        }
    }
}
