//! The calls in flight: when they began, and whom to wake when one is late or given up.
//! It must not know what they are.

use std::{task::Waker, time::Duration};

use crate::clock::Instant;

/// The place of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

/// One call.
#[derive(Clone, Debug)]
struct Entry {
    began: Instant,
    epoch: u64,
    waker: Waker,
    /// When its task is to be woken: its caller wants to hear that it is late, or its time is over. Each once.
    alarms: Alarms,
}

/// When the task of a call is woken although there is no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// It is late.
    pub late: Option<Instant>,
    /// Its time is over.
    pub limit: Option<Instant>,
}

/// What a look at the clock has shown.
#[derive(Debug, Default)]
pub struct Due {
    /// Who is to be woken.
    pub wakes: Vec<Waker>,
    /// Whether the time of one of them is over.
    pub over: bool,
    /// The next alarm.
    pub next: Option<Instant>,
}

impl Alarms {
    /// The first of them.
    pub fn first(self) -> Option<Instant> {
        self.late.into_iter().chain(self.limit).min()
    }

    /// Takes out those that are due: whether any was, and whether that was the limit.
    fn take_due(&mut self, now: Instant) -> (bool, bool) {
        let late = self.late.take_if(|late| *late <= now).is_some();
        let over = self.limit.take_if(|limit| *limit <= now).is_some();
        (late || over, over)
    }
}

/// A table of the calls in flight with constant cost to enter and leave. As large as the most calls there were at once.
#[derive(Clone, Debug, Default)]
pub struct Inflight {
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
}

impl Inflight {
    /// Enters a call that began now, under the breaker's epoch. `waker` is woken by its alarms.
    pub fn enter(&mut self, now: Instant, epoch: u64, alarms: Alarms, waker: &Waker) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[index] = Some(Entry { began: now, epoch, waker: waker.clone(), alarms });
        Slot(index)
    }

    /// Takes it out.
    pub fn leave(&mut self, slot: Slot) {
        if self.slots[slot.0].take().is_some() {
            self.free.push(slot.0);
        }
    }

    /// The call is polled by another task from now on.
    pub fn rewake(&mut self, slot: Slot, waker: &Waker) {
        if let Some(entry) = &mut self.slots[slot.0] {
            entry.waker.clone_from(waker);
        }
    }

    /// How many are in flight.
    pub fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many of this epoch are at least this old.
    pub fn overdue(&self, now: Instant, age: Duration, epoch: u64) -> u64 {
        let late = |began: Instant| now.saturating_duration_since(began) >= age;
        let of_epoch = self.slots.iter().flatten().filter(|entry| entry.epoch == epoch);
        of_epoch.filter(|entry| late(entry.began)).count() as u64
    }

    /// Everybody who waits for a call.
    pub fn wakers(&self) -> Vec<Waker> {
        self.slots.iter().flatten().map(|entry| entry.waker.clone()).collect()
    }

    /// Looks at the clock for all of them.
    pub fn due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        for entry in self.slots.iter_mut().flatten() {
            let (rings, over) = entry.alarms.take_due(now);
            if rings {
                due.wakes.push(entry.waker.clone());
            }
            due.over |= over;
            due.next = due.next.into_iter().chain(entry.alarms.first()).min();
        }
        due
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
        let mut enter = |at, epoch| calls.enter(at, epoch, Alarms::default(), Waker::noop());
        let first = enter(at(0), 1);
        let _second = enter(at(100), 1);
        let _other_epoch = enter(at(0), 2);
        let age = Duration::from_millis(200);
        assert_eq!(calls.overdue(at(199), age, 1), 0);
        assert_eq!(calls.overdue(at(200), age, 1), 1);
        assert_eq!(calls.overdue(at(300), age, 1), 2);
        calls.leave(first);
        calls.leave(first);
        assert_eq!((calls.count(), calls.overdue(at(300), age, 1)), (2, 1));
        assert_eq!(calls.enter(at(300), 1, Alarms::default(), Waker::noop()), first);
        assert_eq!((calls.count(), calls.wakers().len()), (3, 3));
    }

    #[test]
    fn each_alarm_rings_once_and_the_next_is_known() {
        let start = Clock::system().now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut calls = Inflight::default();
        for (late, limit) in [(None, None), (Some(5), Some(30)), (Some(9), None)] {
            let alarms = Alarms { late: late.map(at), limit: limit.map(at) };
            calls.enter(start, 1, alarms, Waker::noop());
        }
        let mut due = |ms| {
            let due = calls.due(at(ms));
            (due.wakes.len(), due.over, due.next)
        };
        assert_eq!(due(4), (0, false, Some(at(5))));
        assert_eq!(due(5), (1, false, Some(at(9))));
        assert_eq!(due(20), (1, false, Some(at(30))));
        assert_eq!(due(30), (1, true, None));
        assert_eq!(due(90), (0, false, None));
    }
}
