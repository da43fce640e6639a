//! How long calls take: percentiles of late, and a decaying mean.
//! It must not know what is slow.

use std::time::Duration;

use crate::clock::Instant;

/// How long one generation of the percentiles lasts.
const GENERATION: Duration = Duration::from_secs(10);
/// Buckets: microseconds one by one to 16, then eight to each doubling, to over a minute (12.5 % apart).
const BUCKETS: usize = 200;
/// A generation with fewer calls says nothing about the usual latency.
const SAMPLES_MIN: u64 = 20;
#[derive(Clone, Debug)]
struct Generation {
    counts: Vec<u32>,
    total: u64,
}

impl Generation {
    fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }
}

/// Latencies of one backend. Pure: the time is an argument; recording costs an increment.
#[derive(Clone, Debug)]
pub struct Latency {
    now: Generation,
    before: Generation,
    turned: Option<Instant>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { now: Generation::new(), before: Generation::new(), turned: None }
    }
}

impl Latency {
    /// Adds one answered call.
    pub fn record(&mut self, now: Instant, took: Duration) {
        self.turn(now);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.now.counts[bucket_of(micros)] += 1;
        self.now.total += 1;
    }

    /// The latency that this share of the calls of late did not exceed (rounded up by at most 12.5 %); `None` without
    /// calls in the last two generations.
    pub fn quantile(&mut self, now: Instant, share: f64) -> Option<Duration> {
        self.turn(now);
        quantile_of(&[&self.now, &self.before], share)
    }

    /// The usual latency: by the generation before this one, so that a backend that has just become slow is not its
    /// own excuse; by all there is as long as there is little.
    pub fn usual(&mut self, now: Instant, share: f64) -> Option<Duration> {
        self.turn(now);
        if self.before.total >= SAMPLES_MIN {
            return quantile_of(&[&self.before], share);
        }
        quantile_of(&[&self.now, &self.before], share)
    }

    fn turn(&mut self, now: Instant) {
        let turned = *self.turned.get_or_insert(now);
        let passed = now.saturating_duration_since(turned);
        if passed < GENERATION {
            return;
        }
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.clear();
        if passed >= 2 * GENERATION {
            self.before.clear();
        }
        self.turned = Some(now);
    }
}

fn quantile_of(generations: &[&Generation], share: f64) -> Option<Duration> {
    let total: u64 = generations.iter().map(|generation| generation.total).sum();
    if total == 0 {
        return None;
    }
    let mut below = 0;
    for bucket in 0..BUCKETS {
        let calls: u32 = generations.iter().map(|generation| generation.counts[bucket]).sum();
        below += u64::from(calls);
        if below as f64 >= share * total as f64 {
            return Some(Duration::from_micros(upper_bound(bucket)));
        }
    }
    Some(Duration::from_micros(upper_bound(BUCKETS - 1)))
}

fn bucket_of(micros: u64) -> usize {
    if micros < 16 {
        return usize::try_from(micros).unwrap_or(0);
    }
    let octave = micros.ilog2();
    let eighth = (micros >> (octave - 3)) & 7;
    let index = 16 + u64::from(octave - 4) * 8 + eighth;
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn upper_bound(bucket: usize) -> u64 {
    if bucket < 16 {
        return bucket as u64 + 1;
    }
    let (octave, eighth) = ((bucket - 16) / 8 + 4, (bucket - 16) % 8);
    (8 + eighth as u64 + 1) << (octave - 3)
}

/// A mean that halves the weight of what it has seen with each `half_life`. Pure: the time is an argument.
#[derive(Clone, Debug)]
pub struct Ewma {
    half_life: Duration,
    sum: f64,
    weight: f64,
    at: Option<Instant>,
}

impl Ewma {
    /// Nothing seen yet.
    pub fn new(half_life: Duration) -> Self {
        Self { half_life, sum: 0.0, weight: 0.0, at: None }
    }

    /// Adds a value.
    pub fn record(&mut self, now: Instant, value: f64) {
        self.fade(now);
        self.sum += value;
        self.weight += 1.0;
    }

    /// The mean; `None` when less than `weight_min` values' worth is left.
    pub fn mean(&mut self, now: Instant, weight_min: f64) -> Option<f64> {
        self.fade(now);
        (self.weight >= weight_min && self.weight > 0.0).then(|| self.sum / self.weight)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.half_life);
    }

    fn fade(&mut self, now: Instant) {
        let at = *self.at.get_or_insert(now);
        let passed = now.saturating_duration_since(at);
        // Below a millisecond the weight stays the same to a tenth of a thousandth: spare the exponential.
        if passed < Duration::from_millis(1) {
            return;
        }
        let kept = (-passed.as_secs_f64() / self.half_life.as_secs_f64()).exp2();
        self.sum *= kept;
        self.weight *= kept;
        self.at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn old_generations_are_forgotten() {
        let start = Clock::system().now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut latency = Latency::default();
        for _ in 0..100 {
            latency.record(at(0), Duration::from_millis(1));
        }
        latency.record(at(11), Duration::from_millis(500));
        // The generation before says 1 ms, however slow this one is.
        assert!(latency.usual(at(11), 0.95).expect("calls") < Duration::from_millis(2));
        assert!(latency.quantile(at(11), 1.0).expect("calls") >= Duration::from_millis(500));
        assert!(latency.usual(at(22), 0.95).expect("calls") >= Duration::from_millis(500));
        assert_eq!(latency.quantile(at(60), 0.5), None);
    }

    #[test]
    fn the_mean_fades() {
        let start = Clock::system().now();
        let mut mean = Ewma::new(Duration::from_secs(10));
        assert_eq!(mean.mean(start, 0.0), None);
        for _ in 0..8 {
            mean.record(start, 1.0);
        }
        let later = start + Duration::from_secs(20);
        mean.record(later, 0.0);
        mean.record(later, 0.0);
        let half = mean.mean(later, 4.0).expect("four values' worth");
        assert!((half - 0.5).abs() < 1e-9, "{half}");
        assert_eq!(mean.mean(later + Duration::from_secs(10), 4.0), None);
    }

    proptest! {
        #[test]
        fn quantiles_are_the_true_ones_rounded_up(micros in prop::collection::vec(1u64..60_000_000, 1..300), share in 0.01f64..1.0) {
            let now = Clock::system().now();
            let mut latency = Latency::default();
            for value in &micros {
                latency.record(now, Duration::from_micros(*value));
            }
            let mut sorted = micros;
            sorted.sort_unstable();
            let rank = sorted.iter().enumerate().position(|(index, _)| (index + 1) as f64 >= share * sorted.len() as f64);
            let truth = Duration::from_micros(sorted[rank.expect("share is at most 1")]);
            let found = latency.quantile(now, share).expect("calls");
            prop_assert!(found >= truth && found <= truth.mul_f64(1.126) + Duration::from_micros(1), "{found:?} {truth:?}");
        }
    }
}
