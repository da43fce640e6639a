//! How many retries and hedges may be added to the load of a backend.
//! It must not know which of the two is asked for.

use crate::{clock::Instant, config::RetryConfig};

/// How many unused allowances are kept at most, beyond one second of the fixed ones.
const SAVED_MAX: f64 = 100.0;

/// A bucket of allowances: each request adds a share of one, each second adds a fixed number. Pure: the time is an
/// argument.
#[derive(Clone, Debug)]
pub struct Budget {
    share: f64,
    per_second: f64,
    left: f64,
    at: Option<Instant>,
}

impl Budget {
    /// A bucket with one second's allowances in it.
    pub fn new(config: &RetryConfig) -> Self {
        let per_second = f64::from(config.budget_min);
        Self { share: config.budget, per_second, left: per_second, at: None }
    }

    /// Takes over settings; what is left stays, as far as it may.
    pub fn reconfigure(&mut self, config: &RetryConfig) {
        (self.share, self.per_second) = (config.budget, f64::from(config.budget_min));
        self.left = self.left.min(self.most());
    }

    /// Notes so many requests.
    pub fn note_requests(&mut self, count: u32) {
        self.left = (self.left + self.share * f64::from(count)).min(self.most());
    }

    /// Takes one allowance, if there is one.
    pub fn try_spend(&mut self, now: Instant) -> bool {
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        self.left = (self.left + passed * self.per_second).min(self.most());
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }

    fn most(&self) -> f64 {
        self.per_second + SAVED_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_hang_at_full_load_is_retried_for_a_share_only() {
        let now = Clock::system().now();
        let mut budget = Budget::new(&RetryConfig::default());
        let mut spent = 0u32;
        for request in 0..10_000u32 {
            budget.note_requests(1);
            spent += u32::from(budget.try_spend(now + Duration::from_micros(100) * request));
        }
        // A fifth of the requests, plus ten a second, plus the second that was saved.
        assert!((2000..=2025).contains(&spent), "{spent}");
    }

    #[test]
    fn nothing_is_allowed_when_both_shares_are_zero() {
        let now = Clock::system().now();
        let mut budget =
            Budget::new(&RetryConfig { budget: 0.0, budget_min: 0, ..RetryConfig::default() });
        budget.note_requests(1);
        assert!(!budget.try_spend(now) && !budget.try_spend(now + Duration::from_secs(60)));
    }

    proptest! {
        #[test]
        fn never_spends_more_than_it_got(steps in prop::collection::vec((0u64..50, 0u32..5, 0u32..5), 1..200)) {
            let (start, mut at) = (Clock::system().now(), 0u64);
            let mut budget = Budget::new(&RetryConfig::default());
            let (mut requests, mut spent) = (0u32, 0u32);
            for (step, notes, spends) in steps {
                at += step;
                for _ in 0..notes { budget.note_requests(1); requests += 1; }
                for _ in 0..spends { spent += u32::from(budget.try_spend(start + Duration::from_millis(at))); }
                let got = 10.0 + f64::from(requests) * 0.2 + at as f64 / 100.0;
                prop_assert!(f64::from(spent) <= got + 0.001, "{spent} of {got}");
            }
        }
    }
}
