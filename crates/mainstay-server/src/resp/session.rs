//! What all connections share, and what one connection has told us about itself.
//! It must not know sockets.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use mainstay::{Clock, Storage};

use super::{
    client::{Client, Clients},
    command::script::Desk,
    config::RespConfig,
    cursor::Cursors,
};

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: RespConfig,
    pub(super) storage: Storage,
    pub(super) local: SocketAddr,
    pub(super) clients: Arc<Clients>,
    pub(super) cursors: Cursors,
    pub(super) counters: Counters,
    pub(super) scripts: Desk,
}

impl Shared {
    pub(super) fn clock(&self) -> &Clock {
        self.storage.clock()
    }
}

/// What INFO counts; added to once per batch.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Commands begun.
    pub(super) commands: Count,
    /// Connections refused because there were too many.
    pub(super) rejected: Count,
}

/// A number that only rises, until it is reset.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Whether a connection wants replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Replies {
    #[default]
    On,
    Off,
    /// Not for the next command.
    SkipNext,
}

/// One connection's state.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Arc<Client>,
    pub(super) authenticated: bool,
    pub(super) replies: Replies,
    /// Set when the connection is to be closed after the replies so far.
    pub(super) closing: bool,
}

impl Session {
    pub(super) fn new(client: Arc<Client>, config: &RespConfig) -> Self {
        Self {
            client,
            authenticated: config.password.is_none(),
            replies: Replies::On,
            closing: false,
        }
    }

    /// Whether the reply of the command that begins now is dropped.
    pub(super) fn begin_command(&mut self) -> bool {
        match self.replies {
            Replies::On => false,
            Replies::Off => true,
            Replies::SkipNext => {
                self.replies = Replies::On;
                true
            }
        }
    }
}
