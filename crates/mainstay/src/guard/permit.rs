//! The right to one call while it is being made; settles itself when its future is dropped.
//! It must not know what the call does.

use std::time::Duration;

use super::{Guard, breaker::Ticket, classify::Verdict, core::Ending, inflight::Slot};
use crate::clock::Instant;

/// One call in flight. Dropping it settles it as abandoned, which gives a half-open place back.
#[derive(Debug)]
pub struct Permit<'a> {
    guard: &'a Guard,
    ticket: Ticket,
    slot: Slot,
    began: Instant,
    settled: bool,
}

impl<'a> Permit<'a> {
    pub(super) fn new(guard: &'a Guard, ticket: Ticket, slot: Slot, began: Instant) -> Self {
        Self { guard, ticket, slot, began, settled: false }
    }

    /// How long the call has lasted.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    pub(super) fn settle(mut self, ending: &Ending<'_>, now: Instant) {
        self.finish(ending, now);
    }

    fn finish(&mut self, ending: &Ending<'_>, now: Instant) {
        self.settled = true;
        let took = self.age(now);
        self.guard.settle(self.ticket, self.slot, ending, took, now);
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
