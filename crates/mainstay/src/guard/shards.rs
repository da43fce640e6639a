//! Calls that begin and end well, kept apart by thread until somebody looks: with each of them the guard's lock, and all
//! that is behind it, would travel from core to core.
//! It must not know what a call is worth, but for this: a quick success cannot open a closed breaker.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use super::{
    breaker::Ticket,
    inflight::{Alarms, Due, Inflight, Slot},
    nanos,
    permit::Seen,
};
use crate::{
    clock::Instant,
    op::OpLabel,
    sharded::{Apart, SHARDS, mine},
};

/// Ended calls that a part keeps before it is time to look.
const ENDED_MAX: usize = 32;
/// No look is due.
const NEVER: u64 = u64::MAX;

/// A call that ended quickly and well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) ticket: Ticket,
    pub(super) op: OpLabel,
    pub(super) took: Duration,
    pub(super) at: Instant,
}

/// The place of a call in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    shard: usize,
    slot: Slot,
}

/// What became of a call's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is kept until somebody looks.
    Yes,
    /// The same, and it is time to look.
    Full,
    /// It has to be judged at once.
    No,
}

/// What is known under the guard's lock, for those who go without it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The epoch of a breaker that lets all calls pass; `None`: each has to ask.
    pub(super) pass: Option<u64>,
    /// A call over this is slow.
    pub(super) slow_over: Duration,
    /// When the ticker looks next.
    pub(super) looks: Option<Instant>,
}

/// What the calls that began on one thread, or on a few, leave behind.
#[derive(Debug, Default)]
struct Part {
    inflight: Inflight,
    /// Calls begun since the last look.
    begun: u32,
    /// Those that ended well since then.
    ended: Vec<Ended>,
}

/// All parts. Who needs the guard's lock as well takes it first.
#[derive(Debug)]
pub(super) struct Shards {
    shards: [Apart<Mutex<Part>>; SHARDS],
    origin: Instant,
    /// One more than the epoch; zero: each has to ask.
    pass: AtomicU64,
    slow_nanos: AtomicU64,
    /// Nanoseconds after the origin.
    looks: AtomicU64,
}

impl Shards {
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            shards: Default::default(),
            origin,
            pass: AtomicU64::new(0),
            slow_nanos: AtomicU64::new(0),
            looks: AtomicU64::new(NEVER),
        }
    }

    /// Begins a call where the breaker lets all pass and the ticker will look in time; else it has to be asked.
    pub(super) fn begin(
        &self,
        now: Instant,
        look: Instant,
        alarms: Alarms,
        waker: &Waker,
        seen: impl FnOnce() -> Seen,
    ) -> Option<(Ticket, Place, Seen)> {
        // Only a look: the one that counts is below.
        self.passed()?;
        let shard = mine();
        let mut part = self.part(shard);
        // First what was seen: an opening takes the pass away before it counts itself.
        let seen = seen();
        let epoch = self.passed()?;
        // Under the lock: the ticker puts it off under all of them, and has seen the call or shows when it looks.
        if self.looks.load(Ordering::Acquire) > self.since_origin(look) {
            return None;
        }
        part.begun += 1;
        let slot = part.inflight.enter(now, epoch, alarms, waker);
        Some((Ticket::of(epoch), Place { shard, slot }, seen))
    }

    /// Enters a call that the breaker was asked about.
    pub(super) fn enter(&self, now: Instant, epoch: u64, alarms: Alarms, waker: &Waker) -> Place {
        let shard = mine();
        let slot = self.part(shard).inflight.enter(now, epoch, alarms, waker);
        Place { shard, slot }
    }

    /// A call is no longer in flight. `ended`: it ended well.
    pub(super) fn leave(&self, place: Place, ended: Option<Ended>) -> Kept {
        let mut part = self.part(place.shard);
        part.inflight.leave(place.slot);
        let Some(ended) = ended.filter(|ended| self.is_quick(ended)) else { return Kept::No };
        part.ended.push(ended);
        if part.ended.len() < ENDED_MAX { Kept::Yes } else { Kept::Full }
    }

    fn is_quick(&self, ended: &Ended) -> bool {
        self.passed() == Some(ended.ticket.epoch())
            && nanos(ended.took) < self.slow_nanos.load(Ordering::Relaxed)
    }

    /// The epoch of a breaker that lets all calls pass.
    fn passed(&self) -> Option<u64> {
        self.pass.load(Ordering::Acquire).checked_sub(1)
    }

    /// Another task polls the call from now on.
    pub(super) fn rewake(&self, place: Place, waker: &Waker) {
        self.part(place.shard).inflight.rewake(place.slot, waker);
    }

    /// Everybody who waits for a call.
    pub(super) fn wakers(&self) -> Vec<Waker> {
        (0..SHARDS).flat_map(|shard| self.part(shard).inflight.wakers()).collect()
    }

    /// Takes out what has been kept: the calls that ended, and how many have begun.
    pub(super) fn take(&self, mut ended: impl FnMut(Ended)) -> u32 {
        let mut begun = 0;
        for shard in 0..SHARDS {
            let mut part = self.part(shard);
            begun += std::mem::take(&mut part.begun);
            part.ended.drain(..).for_each(&mut ended);
        }
        begun
    }

    /// All at once: nobody begins or ends meanwhile.
    pub(super) fn all(&self) -> All<'_> {
        All(std::array::from_fn(|shard| self.part(shard)))
    }

    /// Shows what is known now. Written seldom, for it is read with each call.
    pub(super) fn show(&self, known: Known) {
        let looks = known.looks.map_or(NEVER, |at| self.since_origin(at));
        let pass = known.pass.map_or(0, |epoch| epoch + 1);
        for (shown, now) in
            [(&self.pass, pass), (&self.slow_nanos, nanos(known.slow_over)), (&self.looks, looks)]
        {
            if shown.load(Ordering::Relaxed) != now {
                shown.store(now, Ordering::Release);
            }
        }
    }

    fn since_origin(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.origin))
    }

    fn part(&self, shard: usize) -> MutexGuard<'_, Part> {
        self.shards[shard].0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calls in flight of all parts, held still.
pub(super) struct All<'a>([MutexGuard<'a, Part>; SHARDS]);

impl All<'_> {
    /// How many are in flight.
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|part| part.inflight.count()).sum()
    }

    /// How many of this epoch are at least this old.
    pub(super) fn overdue(&self, now: Instant, age: Duration, epoch: u64) -> u64 {
        self.0.iter().map(|part| part.inflight.overdue(now, age, epoch)).sum()
    }

    /// Looks at the clock for all of them.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        let mut all = Due::default();
        for part in &mut self.0 {
            let due = part.inflight.due(now);
            all.wakes.extend(due.wakes);
            all.over |= due.over;
            all.next = all.next.into_iter().chain(due.next).min();
        }
        all
    }
}

#[cfg(test)]
mod tests;
