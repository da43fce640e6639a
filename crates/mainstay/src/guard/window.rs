//! What the calls of late came to: a sliding window of counts.
//! It must not know what the counts lead to.

use std::time::Duration;

use crate::clock::Instant;

/// Counts of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All calls.
    pub calls: u64,
    /// Those that failed by the backend's fault.
    pub failures: u64,
    /// Those over the slow threshold, and refusals for overload.
    pub slow: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
    }

    fn take_away(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// A window over the last `span`, forgotten bucket by bucket. Pure: the time is an argument.
#[derive(Clone, Debug)]
pub struct Window {
    width: Duration,
    buckets: Vec<Tally>,
    /// The bucket that is being filled, and when it began.
    head: usize,
    began: Option<Instant>,
    total: Tally,
}

impl Window {
    /// The buckets of the breaker's window.
    pub const BUCKETS: usize = 40;

    /// An empty window over `span`, kept in `buckets` parts.
    pub fn new(span: Duration, buckets: usize) -> Self {
        let count = u32::try_from(buckets.max(1)).unwrap_or(u32::MAX);
        let width = (span / count).max(Duration::from_millis(1));
        Self {
            width,
            buckets: vec![Tally::default(); buckets.max(1)],
            head: 0,
            began: None,
            total: Tally::default(),
        }
    }

    /// Adds one call.
    pub fn record(&mut self, now: Instant, failed: bool, slow: bool) {
        self.turn(now);
        let one = Tally { calls: 1, failures: failed.into(), slow: slow.into() };
        self.buckets[self.head].add(one);
        self.total.add(one);
    }

    /// The counts of the window that ends now.
    pub fn total(&mut self, now: Instant) -> Tally {
        self.turn(now);
        self.total
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.fill(Tally::default());
        self.total = Tally::default();
        self.began = None;
    }

    /// Drops the buckets that have left the window. A `now` from before the head (threads read the clock before they
    /// take the lock) counts for the head.
    fn turn(&mut self, now: Instant) {
        let Some(began) = self.began else {
            self.began = Some(now);
            return;
        };
        let passed = now.saturating_duration_since(began);
        if passed < self.width {
            return;
        }
        let steps = passed.as_nanos() / self.width.as_nanos();
        let length = self.buckets.len();
        let Some(steps) = usize::try_from(steps).ok().filter(|steps| *steps < length) else {
            self.clear();
            self.began = Some(now);
            return;
        };
        for _ in 0..steps {
            self.head = (self.head + 1) % length;
            self.total.take_away(std::mem::take(&mut self.buckets[self.head]));
        }
        self.began = Some(began + self.width * u32::try_from(steps).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn forgets_what_has_left_the_window() {
        let start = Clock::system().now();
        let mut window = Window::new(Duration::from_secs(10), Window::BUCKETS);
        window.record(start, true, false);
        window.record(start + Duration::from_secs(5), false, true);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(window.total(at(9)), Tally { calls: 2, failures: 1, slow: 1 });
        assert_eq!(window.total(at(11)), Tally { calls: 1, failures: 0, slow: 1 });
        assert_eq!(window.total(at(16)), Tally::default());
    }

    proptest! {
        /// Against a list of all calls: nothing younger than the window less one bucket is forgotten, nothing older
        /// than the window is kept; times may run back a little.
        #[test]
        fn agrees_with_a_list(steps in prop::collection::vec((0i64..900, any::<bool>(), any::<bool>()), 1..200)) {
            let start = Clock::system().now() + Duration::from_secs(10);
            let mut window = Window::new(Duration::from_secs(4), 40);
            let (mut calls, mut at) = (Vec::new(), start);
            for (step, failed, slow) in steps {
                // Every ninth step goes back by a millisecond.
                at = if step % 9 == 0 { at - Duration::from_millis(1) } else { at + Duration::from_millis(step.unsigned_abs()) };
                window.record(at, failed, slow);
                calls.push((at, failed));
                let total = window.total(at);
                let younger = |limit: u64| {
                    let since = at - Duration::from_millis(limit);
                    let young = calls.iter().filter(|(time, _)| *time > since);
                    (young.clone().count() as u64, young.filter(|(_, failed)| *failed).count() as u64)
                };
                let (least, least_failed) = younger(3800);
                let (most, most_failed) = younger(4200);
                prop_assert!(least <= total.calls && total.calls <= most, "{least} {total:?} {most}");
                prop_assert!(least_failed <= total.failures && total.failures <= most_failed);
                prop_assert!(total.failures <= total.calls && total.slow <= total.calls);
            }
        }
    }
}
