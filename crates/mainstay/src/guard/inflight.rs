//! When the calls in flight began.
//! It must not know what they are.

use std::time::Duration;

use crate::clock::Instant;

/// The place of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

/// A table of the calls in flight with constant cost to enter and leave. As large as the most calls there were at once.
#[derive(Clone, Debug, Default)]
pub struct Inflight {
    slots: Vec<Option<(Instant, u64)>>,
    free: Vec<usize>,
}

impl Inflight {
    /// Enters a call that began now, under the breaker's epoch.
    pub fn enter(&mut self, now: Instant, epoch: u64) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[index] = Some((now, epoch));
        Slot(index)
    }

    /// Takes it out.
    pub fn leave(&mut self, slot: Slot) {
        if self.slots[slot.0].take().is_some() {
            self.free.push(slot.0);
        }
    }

    /// How many are in flight.
    pub fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many of this epoch are at least this old.
    pub fn overdue(&self, now: Instant, age: Duration, epoch: u64) -> u64 {
        let late = |began: Instant| now.saturating_duration_since(began) >= age;
        let of_epoch = self.slots.iter().flatten().filter(|(_, entered)| *entered == epoch);
        of_epoch.filter(|(began, _)| late(*began)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn slots_are_used_again_and_ages_are_counted_by_epoch() {
        let start = Clock::system().now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut calls = Inflight::default();
        let first = calls.enter(at(0), 1);
        let _second = calls.enter(at(100), 1);
        let _other_epoch = calls.enter(at(0), 2);
        let age = Duration::from_millis(200);
        assert_eq!(calls.overdue(at(199), age, 1), 0);
        assert_eq!(calls.overdue(at(200), age, 1), 1);
        assert_eq!(calls.overdue(at(300), age, 1), 2);
        calls.leave(first);
        calls.leave(first);
        assert_eq!((calls.count(), calls.overdue(at(300), age, 1)), (2, 1));
        assert_eq!(calls.enter(at(300), 1), first);
        assert_eq!(calls.count(), 3);
    }
}
