//! The faults of a proxy, as one value that can be exchanged while connections run.
//! Knows nothing of sockets.

use std::num::NonZeroU32;
use std::time::Duration;

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// They pass.
    #[default]
    Pass,
    /// They are kept and pass later: a partition that heals before the connections give up.
    Hold,
    /// They are lost, and so is the connection: once a byte has been lost, nothing passes on it any more, and the first
    /// byte after the fault has been lifted resets it, as by a peer that no longer knows the connection.
    Drop,
}

/// The direction of bytes through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server: requests.
    ToServer,
    /// From the server to the client: replies.
    ToClient,
}

/// The faults in force. The default lets everything pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toxics {
    /// Added to every chunk, in each direction.
    pub latency: Duration,
    /// Up to this much more, drawn anew for every chunk; the order is kept.
    pub jitter: Duration,
    /// Requests.
    pub to_server: Flow,
    /// Replies.
    pub to_client: Flow,
    /// The port is closed: connecting is refused. Connections that are open go on.
    pub refuse: bool,
    /// Connections that are open and every new one are reset (RST).
    pub reset: bool,
    /// At most so many bytes per second, in each direction of each connection.
    pub bytes_per_second: Option<NonZeroU32>,
}

impl Toxics {
    /// Accepts and swallows: nothing is answered, nothing is refused.
    pub fn black_hole() -> Self {
        Self { to_server: Flow::Drop, to_client: Flow::Drop, ..Self::default() }
    }

    /// Nothing arrives in either direction until it is lifted; nothing is lost.
    pub fn partition() -> Self {
        Self { to_server: Flow::Hold, to_client: Flow::Hold, ..Self::default() }
    }

    /// A half-open connection: what travels in this direction is lost, the other direction works.
    pub fn half_open(lost: Direction) -> Self {
        match lost {
            Direction::ToServer => Self { to_server: Flow::Drop, ..Self::default() },
            Direction::ToClient => Self { to_client: Flow::Drop, ..Self::default() },
        }
    }

    /// Each chunk is late by this much.
    pub fn slow(latency: Duration, jitter: Duration) -> Self {
        Self { latency, jitter, ..Self::default() }
    }

    /// Nobody listens.
    pub fn refuse() -> Self {
        Self { refuse: true, ..Self::default() }
    }

    /// Every connection is reset.
    pub fn reset() -> Self {
        Self { reset: true, ..Self::default() }
    }

    /// A trickle.
    pub fn trickle(bytes_per_second: NonZeroU32) -> Self {
        Self { bytes_per_second: Some(bytes_per_second), ..Self::default() }
    }

    pub(super) fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }
}
