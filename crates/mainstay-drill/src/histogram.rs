//! Latencies in logarithmic steps: 16 to an octave, so that a quantile is right to about 6 %.
//! It must not know what is timed.

use std::time::Duration;

/// Steps of an octave.
const STEPS: u64 = 16;
/// From 1 µs to over an hour.
const BUCKETS: usize = 512;

/// Counts by latency. A fixed size, whatever is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.count += 1;
        self.max = self.max.max(latency);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, more)| *own += more);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest one, exactly.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The latency that this share of them did not exceed; `None` when nothing was counted.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count; saturating"
    )]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_micros(upper(found)).min(self.max))
    }
}

/// Exact below 16 µs; then 16 steps to an octave.
fn bucket(micros: u64) -> usize {
    let index = if micros < STEPS {
        micros
    } else {
        let octave = u64::from(micros.ilog2()) - 4;
        STEPS + octave * STEPS + ((micros >> octave) - STEPS)
    };
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The largest number of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (octave, step) = ((bucket - STEPS) / STEPS, (bucket - STEPS) % STEPS);
    ((STEPS + step + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn the_tail_is_seen() {
        let mut histogram = Histogram::default();
        (0..99).for_each(|_| histogram.record(Duration::from_millis(1)));
        histogram.record(Duration::from_secs(3));
        assert!(histogram.quantile(0.5).unwrap() < Duration::from_micros(1100));
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_secs(3)));
        assert_eq!((histogram.count(), histogram.max()), (100, Duration::from_secs(3)));
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_number_within_a_sixteenth(micros in 0u64..3_600_000_000) {
            let top = upper(bucket(micros));
            prop_assert!(top >= micros && top - micros <= micros / 16 + 1, "{micros} {top}");
        }

        #[test]
        fn merged_is_as_if_recorded_in_one(left in prop::collection::vec(0u64..9_000_000, 0..50),
                                           right in prop::collection::vec(0u64..9_000_000, 0..50)) {
            let of = |numbers: &[u64]| {
                let mut histogram = Histogram::default();
                numbers.iter().for_each(|n| histogram.record(Duration::from_micros(*n)));
                histogram
            };
            let mut merged = of(&left);
            merged.merge(&of(&right));
            prop_assert_eq!(merged, of(&[left, right].concat()));
        }
    }
}
