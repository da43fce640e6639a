//! Counters sampled now and then, and what they say of the last minute. Pure: time and counters are arguments.
//! It must not know who counts.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Instant,
    status::{Kpi, Target},
};

/// Samples of one window: its end may be so much older than it says.
const SAMPLES: u32 = 60;

/// What has been counted since start. None of it ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Operations.
    pub(crate) requests: u64,
    /// Those that failed, but for the caller's own mistakes.
    pub(crate) errors: u64,
    /// Those that another backend than usual served.
    pub(crate) fallbacks: u64,
    /// Reads that were answered, on routes with a cache.
    pub(crate) reads: u64,
    /// Those of them that a cache answered.
    pub(crate) hits: u64,
    /// Connection attempts that succeeded.
    pub(crate) connects: u64,
    /// Connection attempts that failed.
    pub(crate) failures: u64,
}

impl Totals {
    fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            errors: self.errors.saturating_sub(before.errors),
            fallbacks: self.fallbacks.saturating_sub(before.fallbacks),
            reads: self.reads.saturating_sub(before.reads),
            hits: self.hits.saturating_sub(before.hits),
            connects: self.connects.saturating_sub(before.connects),
            failures: self.failures.saturating_sub(before.failures),
        }
    }
}

/// `part` of `whole`; none of nothing.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part.min(whole) as f64 / whole as f64)
}

/// The samples of one window. Bounded: one for each sixtieth of it.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    length: Duration,
    samples: VecDeque<(Instant, Totals)>,
}

impl Window {
    /// Begins now, with these counts.
    pub(crate) fn new(length: Duration, now: Instant, totals: Totals) -> Self {
        Self { length, samples: VecDeque::from([(now, totals)]) }
    }

    /// Its length.
    pub(crate) fn length(&self) -> Duration {
        self.length
    }

    /// Takes a sample; as often as one likes.
    pub(crate) fn take(&mut self, now: Instant, totals: Totals) {
        let apart = self.length / SAMPLES;
        let last = self.samples.back().map(|(at, _)| *at);
        if last.is_some_and(|at| now.saturating_duration_since(at) < apart) {
            return;
        }
        self.samples.push_back((now, totals));
        // One sample that is as old as the window has to stay: the rest is counted from there.
        while self.samples.get(1).is_some_and(|(at, _)| self.is_over(*at, now)) {
            self.samples.pop_front();
        }
    }

    /// What was counted within the window up to now, and how long that is.
    pub(crate) fn count(&self, now: Instant, totals: Totals) -> (Totals, Duration) {
        let newest = self.samples.iter().rev().find(|(at, _)| self.is_over(*at, now));
        let Some((at, before)) = newest.or(self.samples.front()) else {
            return (Totals::default(), Duration::ZERO);
        };
        (totals.since(*before), now.saturating_duration_since(*at))
    }

    fn is_over(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) >= self.length
    }
}

/// Connections that stand: what counts where nobody had to connect within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Backends with a connection.
    pub(crate) connected: u64,
    /// Backends that need one.
    pub(crate) all: u64,
}

/// The share of connection attempts that succeeded.
pub(crate) fn connection_success(counted: Totals, standing: Standing) -> Kpi {
    let target = Target::Above(0.99);
    let attempts = counted.connects + counted.failures;
    if attempts > 0 {
        let note = format!("{} of {attempts} attempts", counted.connects);
        return Kpi::new(share(counted.connects, attempts), "ratio", target, note);
    }
    let Standing { connected, all } = standing;
    let note = match all {
        0 => "no backend needs a connection".to_owned(),
        _ => format!("no attempts; {connected} of {all} connected"),
    };
    Kpi::new(share(connected, all), "ratio", target, note)
}

/// The share of operations that another backend than usual served.
pub(crate) fn fallback_rate(counted: Totals) -> Kpi {
    let value = share(counted.fallbacks, counted.requests);
    Kpi::new(
        value,
        "ratio",
        Target::Below(0.05),
        of(counted.fallbacks, counted.requests, "requests"),
    )
}

/// The share of reads that a cache answered.
pub(crate) fn hit_rate(counted: Totals) -> Kpi {
    let value = share(counted.hits, counted.reads);
    Kpi::new(value, "ratio", Target::Above(0.8), of(counted.hits, counted.reads, "cached reads"))
}

/// The share of operations that failed.
pub(crate) fn error_rate(counted: Totals) -> Kpi {
    let value = share(counted.errors, counted.requests);
    Kpi::new(value, "ratio", Target::Below(0.01), of(counted.errors, counted.requests, "requests"))
}

fn of(part: u64, whole: u64, what: &str) -> String {
    if whole == 0 { format!("no {what}") } else { format!("{part} of {whole} {what}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    const LENGTH: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let start = Clock::system().now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(LENGTH, start, Totals::default());
        let bad = Totals { requests: 100, errors: 50, ..Totals::default() };
        window.take(at(1), bad);
        let (counted, covered) = window.count(at(2), bad);
        assert_eq!((counted, covered), (bad, Duration::from_secs(2)));
        assert_eq!(error_rate(counted).met, Some(false));
        let later = Totals { requests: 300, ..bad };
        for second in 2..=61 {
            window.take(at(second), later);
        }
        let (counted, covered) = window.count(at(61), later);
        assert_eq!(counted, Totals { requests: 200, ..Totals::default() });
        assert_eq!((covered, error_rate(counted).met), (LENGTH, Some(true)));
    }

    #[test]
    fn figures_without_anything_to_judge_by_are_neither_met_nor_missed() {
        let none = Totals::default();
        for figure in [fallback_rate(none), hit_rate(none), error_rate(none)] {
            assert_eq!((figure.value, figure.met), (None, None));
            assert!(figure.note.starts_with("no "), "{}", figure.note);
        }
        let standing = Standing { connected: 1, all: 2 };
        let figure = connection_success(none, standing);
        assert_eq!((figure.value, figure.met), (Some(0.5), Some(false)));
        assert_eq!(connection_success(none, Standing::default()).met, None);
        let tried = Totals { connects: 1, failures: 99, ..none };
        assert_eq!(connection_success(tried, standing).value, Some(0.01));
        // The targets are bounds that themselves are not good enough.
        let at = Totals { requests: 100, errors: 1, fallbacks: 5, reads: 10, hits: 8, ..none };
        let met = [error_rate(at).met, fallback_rate(at).met, hit_rate(at).met];
        assert_eq!(met, [Some(false); 3]);
    }

    proptest! {
        /// However often it is sampled, it counts all of the window and at most two samples' distance more, in bounded
        /// memory.
        #[test]
        fn a_window_counts_what_it_says(steps in prop::collection::vec((1u64..3000, 0u64..50), 1..400)) {
            let start = Clock::system().now();
            let mut window = Window::new(LENGTH, start, Totals::default());
            let (mut now, mut totals, mut past) = (start, Totals::default(), vec![(start, 0)]);
            for (later, requests) in steps {
                now += Duration::from_millis(later);
                totals.requests += requests;
                past.push((now, totals.requests));
                window.take(now, totals);
                let (counted, covered) = window.count(now, totals);
                let at = |age: Duration| {
                    let before = past.iter().rev().find(|(at, _)| now - *at >= age);
                    before.map_or(0, |(_, requests)| *requests)
                };
                let slack = LENGTH / SAMPLES + Duration::from_millis(3000);
                prop_assert!(counted.requests >= totals.requests - at(LENGTH));
                prop_assert!(counted.requests <= totals.requests - at(LENGTH + slack));
                prop_assert!(covered <= LENGTH + slack);
                prop_assert!(window.samples.len() <= SAMPLES as usize + 2);
            }
        }
    }
}
