//! Durations counted by bounds, since start.
//! It must not know what took so long.

use std::time::Duration;

use crate::status::LatencySnapshot;

/// Upper bounds for calls to backends, in microseconds.
pub(crate) const CALLS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// Upper bounds for recoveries, in microseconds: around the target of 30 s.
pub(crate) const RECOVERIES: &[u64] = &[
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// Counts by upper bound.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above all of them.
    counts: Vec<u64>,
    sum: Duration,
}

impl Histogram {
    /// Nothing counted yet.
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: Duration::ZERO }
    }

    /// Adds one.
    pub(crate) fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[self.bounds.partition_point(|bound| *bound < micros)] += 1;
        self.sum = self.sum.saturating_add(took);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The mean of all that these have counted.
    pub(crate) fn mean_of(all: &[&Self]) -> Option<Duration> {
        let count: u64 = all.iter().map(|each| each.count()).sum();
        let sum: Duration = all.iter().map(|each| each.sum).sum();
        (count > 0).then(|| sum.div_f64(count as f64))
    }

    /// Cumulative counts.
    pub(crate) fn snapshot(&self) -> LatencySnapshot {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (bound, calls) in self.bounds.iter().zip(&self.counts) {
            count += calls;
            buckets.push((Duration::from_micros(*bound).as_secs_f64(), count));
        }
        LatencySnapshot { buckets, count: self.count(), sum_seconds: self.sum.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_is_below_it_and_the_largest_are_counted_too() {
        let mut histogram = Histogram::new(&[1_000, 10_000]);
        assert_eq!(Histogram::mean_of(&[&histogram]), None);
        for micros in [1_000, 1_001, 20_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.buckets, [(0.001, 1), (0.01, 2)]);
        let mean = Histogram::mean_of(&[&histogram, &Histogram::new(RECOVERIES)]);
        assert_eq!((snapshot.count, mean), (3, Some(Duration::from_nanos(7_333_667))));
    }
}
