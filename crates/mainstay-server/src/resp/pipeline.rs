//! The commands of one connection in flight: run side by side, answered in order, kept apart where they touch the
//! same keys. It must not know the protocol, nor what a command does.
//!
//! Slots are boxed once and used again, each with its own waker, so that a command costs no allocation and only what
//! was woken is polled.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use mainstay::{Op, OpClass};

use super::wake::{SLOTS_MAX, Wake};

#[cfg(test)]
mod tests;

/// An operation with more keys than this counts as one that touches every key.
const KEYS_MAX: usize = 64;

/// Which keys a command touches, and how. Hashes: a collision only makes a command wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touch {
    writes: bool,
    every_key: bool,
    /// A message, whose receiver may look at what was written before it.
    tells: bool,
    hashes: Vec<u64>,
}

impl Touch {
    /// Reads what the operation touches into `self`, in the memory it has.
    pub(super) fn fill(&mut self, op: &Op) {
        self.writes = op.class() != OpClass::Read;
        (self.every_key, self.tells) = (false, false);
        self.hashes.clear();
        op.for_each_key(|key| self.add(key.as_bytes()));
        // A scan or a count names no key and reads them all.
        self.every_key |= self.hashes.is_empty();
    }

    /// Touches these keys; what becomes of them is not known.
    pub(super) fn fill_keys<'a>(&mut self, keys: impl Iterator<Item = &'a [u8]>) {
        (self.writes, self.every_key, self.tells) = (true, false, false);
        self.hashes.clear();
        keys.for_each(|key| self.add(key));
    }

    /// Touches this key as well.
    pub(super) fn add(&mut self, key: &[u8]) {
        if self.hashes.len() < KEYS_MAX {
            self.hashes.push(hash(key));
        } else {
            self.every_key = true;
        }
    }

    /// Touches nothing, and changes nothing.
    pub(super) fn clear(&mut self) {
        (self.writes, self.every_key, self.tells) = (false, false, false);
        self.hashes.clear();
    }

    /// Touches nothing that another one does not.
    pub(super) fn fill_exclusive(&mut self) {
        (self.writes, self.every_key, self.tells) = (true, true, false);
        self.hashes.clear();
    }

    /// Tells others something over this channel: once all that was written before it has been written.
    pub(super) fn fill_message(&mut self, channel: &[u8]) {
        self.fill_keys(std::iter::once(channel));
        self.tells = true;
    }

    /// Whether `later` has to wait for this one.
    fn conflicts(&self, later: &Self) -> bool {
        if later.tells && self.writes && !self.tells {
            return true;
        }
        if !self.writes && !later.writes {
            return false;
        }
        self.every_key
            || later.every_key
            || self.hashes.iter().any(|hash| later.hashes.contains(hash))
    }
}

/// FNV-1a.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// One command in flight: `T` is what the connection remembers of it.
struct Slot<F: Future, T> {
    future: Pin<Box<Option<F>>>,
    waker: Waker,
    touch: Touch,
    note: Option<T>,
    done: Option<F::Output>,
    /// Commands that it stands for.
    commands: usize,
}

/// A ring of slots.
pub(super) struct Pipeline<F: Future, T> {
    wake: Arc<Wake>,
    slots: Vec<Slot<F, T>>,
    head: usize,
    len: usize,
    /// Commands in all of them, and at most.
    commands: usize,
    max: usize,
    /// Bytes of an answer, and of all that wait for those before them.
    weigh: fn(&F::Output) -> usize,
    ready: usize,
}

impl<F: Future, T> Pipeline<F, T> {
    /// Empty; slots are made when they are first needed.
    pub(super) fn new(wake: Arc<Wake>, max: usize, weigh: fn(&F::Output) -> usize) -> Self {
        let max = max.clamp(1, SLOTS_MAX);
        Self { wake, slots: Vec::new(), head: 0, len: 0, commands: 0, max, weigh, ready: 0 }
    }

    /// Bytes of the answers that wait for those before them.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many commands more may be in flight.
    pub(super) fn room(&self) -> usize {
        self.max.saturating_sub(self.commands)
    }

    /// Whether a command that touches these keys may start now.
    pub(super) fn admits(&self, touch: &Touch) -> bool {
        self.room() > 0
            && (0..self.len).all(|nth| !self.slots[self.place(nth)].touch.conflicts(touch))
    }

    /// Starts a command behind the others, and runs it as far as it goes. There must be room: see `admits`.
    /// `touch` is exchanged for a used one.
    pub(super) fn start(&mut self, future: F, touch: &mut Touch, note: T) {
        self.start_all(1, future, touch, note);
    }

    /// The same for several commands that are one. There must be room for all.
    pub(super) fn start_all(&mut self, commands: usize, future: F, touch: &mut Touch, note: T) {
        debug_assert!(commands <= self.room());
        if self.len == 0 {
            // A connection that waits for each answer uses one slot only.
            self.head = 0;
        }
        let place = self.place(self.len);
        if place == self.slots.len() {
            self.slots.push(Slot {
                future: Box::pin(None),
                waker: self.wake.waker(place),
                touch: Touch::default(),
                note: None,
                done: None,
                commands: 0,
            });
        }
        let slot = &mut self.slots[place];
        slot.future.set(Some(future));
        (slot.note, slot.commands) = (Some(note), commands);
        std::mem::swap(&mut slot.touch, touch);
        self.len += 1;
        self.commands += commands;
        self.ready += slot.poll(self.weigh);
    }

    /// Runs what was woken.
    pub(super) fn poll_woken(&mut self) {
        if self.len == 0 {
            return;
        }
        let (slots, ready, weigh) = (&mut self.slots, &mut self.ready, self.weigh);
        self.wake.drain_slots(|place| {
            if let Some(slot) = slots.get_mut(place) {
                *ready += slot.poll(weigh);
            }
        });
    }

    /// Hands over part of the answer to the oldest command, when it is there. `take` says how many bytes it has taken.
    pub(super) fn take_part(&mut self, take: impl FnOnce(&mut F::Output) -> usize) {
        if self.len > 0
            && let Some(done) = &mut self.slots[self.head].done
        {
            self.ready -= take(done);
        }
    }

    /// The answer to the oldest command, when it is there.
    pub(super) fn take_front(&mut self) -> Option<(T, F::Output)> {
        if self.len == 0 {
            return None;
        }
        let slot = &mut self.slots[self.head];
        let done = slot.done.take()?;
        let note = slot.note.take()?;
        self.ready -= (self.weigh)(&done);
        self.commands -= slot.commands;
        self.head = (self.head + 1) % self.max;
        self.len -= 1;
        Some((note, done))
    }

    /// Gives back the memory of the slots, when nothing is in flight.
    pub(super) fn shrink(&mut self) {
        if self.len == 0 {
            self.slots.truncate(1);
        }
    }

    fn place(&self, nth: usize) -> usize {
        (self.head + nth) % self.max
    }
}

impl<F: Future, T> Slot<F, T> {
    /// The bytes of its answer, if it has come now.
    fn poll(&mut self, weigh: fn(&F::Output) -> usize) -> usize {
        let Some(future) = self.future.as_mut().as_pin_mut() else { return 0 };
        let Poll::Ready(output) = future.poll(&mut Context::from_waker(&self.waker)) else {
            return 0;
        };
        self.future.set(None);
        weigh(self.done.insert(output))
    }
}
