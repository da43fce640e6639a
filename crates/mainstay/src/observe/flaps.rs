//! Whether a backend goes out of service and comes back too often. Pure: the time is an argument.
//! It must not know what a backend is.

use std::{collections::VecDeque, time::Duration};

/// More are not counted.
const TIMES_MAX: usize = 1000;

/// One backend. It flaps when it left more than `max` times within `window`; no longer when at most half of `max` are left
/// in it. The two thresholds are Nagios's idea: with one alone the warning itself would flap.
#[derive(Clone, Debug)]
pub(crate) struct Flaps {
    max: u32,
    window_ms: i64,
    times_ms: VecDeque<i64>,
    active: bool,
}

impl Flaps {
    /// Has not left yet.
    pub(crate) fn new(max: u32, window: Duration) -> Self {
        let mut flaps = Self { max, window_ms: 0, times_ms: VecDeque::new(), active: false };
        flaps.reconfigure(max, window);
        flaps
    }

    /// Takes over settings; the next look judges by them.
    pub(crate) fn reconfigure(&mut self, max: u32, window: Duration) {
        self.max = max;
        self.window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
    }

    /// It has gone out of service.
    pub(crate) fn left(&mut self, at_ms: i64) {
        if self.times_ms.len() == TIMES_MAX {
            self.times_ms.pop_front();
        }
        self.times_ms.push_back(at_ms);
    }

    /// What has changed: whether it flaps now.
    pub(crate) fn look(&mut self, now_ms: i64) -> Option<bool> {
        while self.times_ms.front().is_some_and(|at| now_ms.saturating_sub(*at) > self.window_ms) {
            self.times_ms.pop_front();
        }
        let (switches, max) = (self.switches(), u64::from(self.max));
        let flaps = if self.active { switches > max / 2 } else { switches > max };
        (flaps != std::mem::replace(&mut self.active, flaps)).then_some(flaps)
    }

    /// Whether it flaps, as of the last look.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// How often it left within the window, as of the last look.
    pub(crate) fn switches(&self) -> u64 {
        self.times_ms.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_begins_above_the_bound_and_ends_at_half_of_it() {
        let mut flaps = Flaps::new(5, Duration::from_secs(300));
        for second in 0..5 {
            flaps.left(second * 10_000);
            assert_eq!(flaps.look(second * 10_000), None);
        }
        flaps.left(60_000);
        assert_eq!(flaps.look(60_000), Some(true));
        assert_eq!((flaps.look(61_000), flaps.switches()), (None, 6));
        assert_eq!(flaps.look(325_000), None, "three are left");
        assert_eq!(flaps.look(331_000), Some(false));
        assert!(!flaps.is_active());
    }

    proptest! {
        /// It always ends by itself, and is told as often as it is taken back.
        #[test]
        fn it_ends_by_itself(gaps in prop::collection::vec(0i64..200_000, 0..200), max in 1u32..8) {
            let mut flaps = Flaps::new(max, Duration::from_secs(300));
            let (mut now, mut told) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                flaps.left(now);
                told.extend(flaps.look(now));
            }
            told.extend(flaps.look(now + 300_001));
            prop_assert!(!flaps.is_active() && flaps.switches() == 0);
            for (at, begins) in told.iter().enumerate() {
                prop_assert_eq!(*begins, at % 2 == 0);
            }
        }
    }
}
