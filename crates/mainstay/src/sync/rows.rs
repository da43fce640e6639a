//! The rows that a lower backend keeps of what it took for a better one, as this process knows them, and the right to move
//! what they name.
//! It must not ask the backend, nor know the keys that were found (`sync::overflow`).

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release},
    },
    time::Duration,
};

use crate::{clock::Instant, entry::Key, op::Control};

#[cfg(test)]
mod tests;

/// How long the right to move lasts unless it is renewed. Counted by its holder from before it asked, by others from when
/// the backend granted it.
pub(crate) const RIGHT: Duration = Duration::from_secs(5);

/// The longest that one step of a move takes: none begins later than this before the right ends.
pub(crate) const STEP: Duration = Duration::from_secs(1);

/// A suspended machine is noticed from this on, as for leases of copies.
const SUSPENSION: Duration = Duration::from_millis(10);

/// Which rows have been listed since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Listed {
    /// None.
    #[default]
    None,
    /// Those of keys before this one.
    Before(Key),
    /// All.
    All,
}

/// What is known of one backend.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    listed: Mutex<Listed>,
    /// Read without the lock: all are listed nearly always.
    all: AtomicBool,
    /// Whether the backend makes rows.
    ready: AtomicBool,
    right: Mutex<Right>,
    /// One listing at a time.
    pub(crate) listing: tokio::sync::Mutex<()>,
    /// One question about the right at a time.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Right {
    held: Option<Held>,
    /// Moves under way.
    users: usize,
    /// Rises whenever the right is taken anew, not when it is renewed.
    term: u64,
}

/// The right, held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The epoch of the control row.
    pub(crate) epoch: u64,
    /// The beacon that was raised for it.
    pub(crate) number: u64,
    /// When it ends.
    pub(crate) until: Instant,
    /// `Clock::suspended` when it was asked for.
    pub(crate) suspended: Duration,
}

/// What the control row says to who wants to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is this process's if it raises the beacon to this first.
    Raise(u64),
    /// Another process moves.
    Others,
}

/// The beacon is the number of the right: odd while it is held, even once it has been given back.
pub(crate) fn turn(control: &Control, own: Option<u64>) -> Turn {
    let beacon = control.beacon;
    let free = beacon.is_multiple_of(2);
    match free || own == Some(beacon) || control.beacon_age >= control.terms.lease {
        true => Turn::Raise(beacon + if free { 1 } else { 2 }),
        false => Turn::Others,
    }
}

/// A move under way. While it lasts the right is not given back.
#[derive(Debug)]
pub(crate) struct Mover<'a> {
    rows: &'a Rows,
    term: u64,
}

impl Mover<'_> {
    /// Whether one more step may begin.
    pub(crate) fn may_go_on(&self, now: Instant, suspended: Duration) -> bool {
        let right = self.rows.right();
        right.term == self.term && right.held.is_some_and(|held| held.lasts(now, suspended))
    }
}

impl Drop for Mover<'_> {
    fn drop(&mut self) {
        self.rows.right().users -= 1;
    }
}

impl Held {
    fn lasts(&self, now: Instant, suspended: Duration) -> bool {
        now + STEP < self.until && suspended.saturating_sub(self.suspended) < SUSPENSION
    }
}

impl Rows {
    /// Whether this key's row, if there is one, has been found.
    pub(crate) fn has_listed(&self, key: &Key) -> bool {
        self.all_listed()
            || match &*self.listed() {
                Listed::None => false,
                Listed::Before(end) => key < end,
                Listed::All => true,
            }
    }

    /// Whether every row has been found.
    pub(crate) fn all_listed(&self) -> bool {
        self.all.load(Acquire)
    }

    /// How far a listing came: to its end, or to where there was no more room.
    pub(crate) fn set_listed(&self, now: Listed) {
        let mut listed = self.listed();
        self.all.store(now == Listed::All, Release);
        *listed = now;
    }

    /// A listing has come this far and goes on.
    pub(crate) fn listed_up_to(&self, end: &Key) {
        let mut listed = self.listed();
        let further = match &*listed {
            Listed::None => true,
            Listed::Before(known) => known < end,
            Listed::All => false,
        };
        if further {
            *listed = Listed::Before(end.clone());
        }
    }

    /// There was no room to remember this key: it has to be listed again.
    pub(crate) fn forget_from(&self, key: &Key) {
        let mut listed = self.listed();
        if !matches!(&*listed, Listed::None)
            && !matches!(&*listed, Listed::Before(end) if end <= key)
        {
            *listed = Listed::Before(key.clone());
        }
        self.all.store(false, Release);
    }

    /// Whether the backend is known to make rows.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Acquire)
    }

    /// It does, or that has to be looked at again.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.swap(ready, AcqRel);
    }

    /// Begins a move, if the right is held.
    pub(crate) fn begin(&self, now: Instant, suspended: Duration) -> Option<Mover<'_>> {
        let mut right = self.right();
        right.held.filter(|held| held.lasts(now, suspended))?;
        right.users += 1;
        Some(Mover { rows: self, term: right.term })
    }

    /// The number under which the right is held, if it still lasts: then it may be renewed.
    pub(crate) fn own(&self, now: Instant, suspended: Duration) -> Option<u64> {
        self.right().held.filter(|held| held.lasts(now, suspended)).map(|held| held.number)
    }

    /// Whether it is time to renew the right.
    pub(crate) fn fades(&self, now: Instant) -> bool {
        self.right().held.is_some_and(|held| held.until < now + RIGHT / 2)
    }

    /// The right has been granted; `renewed`: it never ended in between.
    pub(crate) fn grant(&self, held: Held, renewed: bool) {
        let mut right = self.right();
        right.term += u64::from(!renewed);
        right.held = Some(held);
    }

    /// Whether the right was granted, lasting or not, and not given back.
    pub(crate) fn is_held(&self) -> bool {
        self.right().held.is_some()
    }

    /// Lets go of the right, unless a move is under way; what was held, to be given back.
    pub(crate) fn let_go(&self) -> Option<Held> {
        let mut right = self.right();
        if right.users == 0 { right.held.take() } else { None }
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn right(&self) -> MutexGuard<'_, Right> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
