//! What all connections share, and what one connection has told us about itself.
//! It must not know sockets.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use mainstay::{Clock, Storage};

use super::{
    channels::{Hub, Subscribed},
    client::{Client, Clients},
    command::{hash::Turns, multi::Multi, script::Desk},
    config::RespConfig,
    cursor::Cursors,
    passing::Passing,
};
use crate::{
    Guard,
    access::{Door, User},
    limits,
};

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: ArcSwap<RespConfig>,
    pub(super) storage: Storage,
    pub(super) guard: Guard,
    pub(super) local: SocketAddr,
    /// Of this process's life, as Redis has one: 40 hexadecimal digits.
    pub(super) run_id: String,
    pub(super) clients: Arc<Clients>,
    pub(super) cursors: Cursors,
    pub(super) counters: Counters,
    /// What its connections hold, and what its limits refused.
    pub(super) door: limits::Door,
    pub(super) scripts: Desk,
    pub(super) turns: Turns,
    pub(super) passing: Passing,
    pub(super) hub: Arc<Hub>,
}

impl Shared {
    /// The configuration of this moment.
    pub(super) fn config(&self) -> arc_swap::Guard<Arc<RespConfig>> {
        self.settings.load()
    }

    pub(super) fn clock(&self) -> &Clock {
        self.storage.clock()
    }

    /// Who a connection is before it says so; `None`: nobody.
    pub(super) fn anonymous(&self) -> Option<Arc<User>> {
        self.guard.access.anonymous(Door::Resp)
    }
}

/// What INFO counts; added to once per batch.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Commands begun.
    pub(super) commands: Count,
    /// Connections refused because there were too many.
    pub(super) rejected: Count,
    /// Connections closed because they spoke HTTP.
    pub(super) http: Count,
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
    /// Who it is; `None`: it has to authenticate.
    user: Option<Arc<User>>,
    pub(super) replies: Replies,
    pub(super) multi: Multi,
    /// While it listens to anything.
    pub(super) subscribed: Option<Box<Subscribed>>,
    /// Set when the connection is to be closed after the replies so far.
    pub(super) closing: bool,
}

impl Session {
    pub(super) fn new(client: Arc<Client>, user: Option<Arc<User>>) -> Self {
        let mut session = Self {
            client,
            user: None,
            replies: Replies::On,
            multi: Multi::default(),
            subscribed: None,
            closing: false,
        };
        session.become_user(user);
        session
    }

    /// Who it is. Whoever the configuration has changed since has to authenticate anew.
    pub(super) fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref().filter(|user| !user.is_revoked())
    }

    /// Whether it was somebody who is no user any more.
    pub(super) fn is_revoked(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.is_revoked())
    }

    /// From now on it is this one.
    pub(super) fn become_user(&mut self, user: Option<Arc<User>>) {
        self.client.update(|facts| facts.user = user.clone());
        self.user = user;
        // What the one before was allowed to have performed is not this one's.
        self.multi.spoil();
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
