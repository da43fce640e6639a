//! The world between two steps: the authority in the record, its row, Redis, and what each process has seen.
//! It must not know which steps are allowed.

use super::super::fleet::Fleet;
use super::super::row::Row;

/// Who grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Seat {
    /// The database that also is the arbiter.
    Record,
    /// This Redis, and none that takes its place.
    Redis(u8),
}

/// One term of the authority. Keys in Redis carry the epoch, so each has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Epoch {
    pub(crate) seat: Seat,
    /// How long nothing may be granted under it yet.
    pub(crate) wait: u8,
    pub(crate) key: Row,
}

/// What a process saw when it last looked at the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) epoch: u8,
    /// Since it asked; where the record is the authority, nothing rests on it.
    pub(crate) age: u8,
}

/// The world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The last one is in the authority row; the others live on in views and messages.
    pub(crate) epochs: Vec<Epoch>,
    /// The record's.
    pub(crate) row: Row,
    pub(crate) views: Vec<Option<View>>,
    pub(crate) fleet: Fleet,
    /// Which Redis there is.
    pub(crate) redis: u8,
}

impl State {
    /// Redis is the authority, and nobody has looked yet.
    pub(crate) fn new(clients: u8) -> Self {
        let first = Epoch { seat: Seat::Redis(0), wait: 0, key: Row::default() };
        Self {
            epochs: vec![first],
            row: Row::default(),
            views: vec![None; clients.into()],
            fleet: Fleet::new(clients),
            redis: 0,
        }
    }

    /// The number of the epoch in the authority row.
    pub(crate) fn newest(&self) -> u8 {
        u8::try_from(self.epochs.len() - 1).unwrap_or(u8::MAX)
    }

    /// What it says.
    pub(crate) fn authority(&self) -> Epoch {
        self.epochs[self.epochs.len() - 1]
    }

    /// The epoch that a view or a message names.
    pub(crate) fn epoch(&mut self, number: u8) -> &mut Epoch {
        &mut self.epochs[usize::from(number)]
    }
}
