//! A cap on events per second: a bucket of tokens that fills evenly.
//! It must not know what is counted; time is an argument.

use std::time::Duration;

use crate::clock::Instant;

/// So many a second, and at most a second's worth at once.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    tokens: f64,
    at: Option<Instant>,
}

impl Bucket {
    /// A full one. `rate`: per second, above 0.
    pub(super) fn new(rate: u32) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, tokens: rate, at: None }
    }

    /// Takes one; or how long it takes until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.tokens = (self.tokens + since.as_secs_f64() * self.rate).min(self.rate);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Clock;

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_a_burst_and_the_wait_is_enough(
            rate in 1_u32..50,
            steps in proptest::collection::vec(0_u64..300, 1..200),
        ) {
            let mut bucket = Bucket::new(rate);
            let start = Clock::system().now();
            let (mut now, mut taken) = (start, 0_u32);
            for step in steps {
                now += Duration::from_millis(step);
                match bucket.take(now) {
                    Ok(()) => taken += 1,
                    Err(wait) => {
                        now += wait + Duration::from_micros(1);
                        prop_assert!(bucket.take(now).is_ok());
                        taken += 1;
                    }
                }
            }
            let most = f64::from(rate) * (1.0 + (now - start).as_secs_f64());
            prop_assert!(f64::from(taken) <= most + 1e-6, "{taken} of {most}");
        }
    }
}
