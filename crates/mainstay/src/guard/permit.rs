//! The right to one call while it is being made; settles itself when its future is dropped.
//! It must not know what the call does.

use std::{sync::atomic::Ordering, task::Waker, time::Duration};

use super::{Guard, breaker::Ticket, classify::Verdict, core::Ending, shards::Place};
use crate::{clock::Instant, op::OpLabel};

/// One call in flight. Dropping it settles it as abandoned, which gives a half-open place back.
#[derive(Debug)]
pub struct Permit<'a> {
    guard: &'a Guard,
    call: InFlight,
    /// When its time is over.
    limit: Option<Instant>,
    seen: Seen,
    /// Who is woken.
    woken: Woken,
    settled: bool,
}

/// What the guard knows of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) ticket: Ticket,
    pub(super) place: Place,
    pub(super) op: OpLabel,
    pub(super) began: Instant,
}

/// What had happened to calls in flight when this one began, or last looked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// How often the breaker had opened on them.
    pub(super) cuts: u64,
    /// How often the time of some was found to be over.
    pub(super) overs: u64,
}

/// One waker, as an identity: what is woken holds on to it, so no other can have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Woken(usize, usize);

impl Woken {
    fn of(waker: &Waker) -> Self {
        Self(waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
    }
}

impl<'a> Permit<'a> {
    pub(super) fn new(
        guard: &'a Guard,
        call: InFlight,
        limit: Option<Instant>,
        seen: Seen,
        waker: &Waker,
    ) -> Self {
        Self { guard, call, limit, seen, woken: Woken::of(waker), settled: false }
    }

    /// This is woken when the breaker opens on the call, it is late, or its time is over.
    pub(super) fn wakes(&mut self, waker: &Waker) {
        let woken = Woken::of(waker);
        if self.woken != woken {
            self.woken = woken;
            self.guard.shards.rewake(self.call.place, waker);
        }
    }

    /// Whether the breaker has opened on the call.
    pub(super) fn is_cut(&self) -> bool {
        self.guard.cuts.load(Ordering::Acquire) != self.seen.cuts
    }

    /// Whether its time is over. The clock is read only when some call's is.
    pub(super) fn is_over(&mut self) -> bool {
        let overs = self.guard.overs.load(Ordering::Acquire);
        if overs == self.seen.overs {
            return false;
        }
        self.seen.overs = overs;
        self.limit.is_some_and(|limit| self.guard.clock().now() >= limit)
    }

    /// How long the call has lasted.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.call.began)
    }

    pub(super) fn settle(mut self, ending: &Ending<'_>, now: Instant) {
        self.finish(ending, now);
    }

    fn finish(&mut self, ending: &Ending<'_>, now: Instant) {
        self.settled = true;
        self.guard.settle(self.call, ending, self.age(now), now);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.settled {
            let now = self.guard.clock().now();
            let gone = Ending { verdict: Verdict::Abandoned, error: None, timed_out: false };
            self.finish(&gone, now);
        }
    }
}
