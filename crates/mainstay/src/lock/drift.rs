//! How much faster a granter's clock runs than this process's, as far as its answers show.
//! It must not know IO, nor what is done about it.

use std::time::Duration;

use crate::clock::Instant;

/// Shorter than this says little about a rate.
const BASE_MIN: Duration = Duration::from_secs(1);

/// After this long the comparison begins anew: a clock that was set once does not count for ever.
const WINDOW: Duration = Duration::from_secs(60);

/// One answer: when it was asked for, when it came, and what time it was there in between.
#[derive(Clone, Copy, Debug)]
struct Sample {
    asked: Instant,
    theirs_us: i64,
}

/// What the answers of one granter show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drift {
    anchor: Option<Sample>,
    /// Of this window and of the one before.
    excess: f64,
    before: f64,
}

impl Drift {
    /// An answer came at `heard`.
    pub(crate) fn note(&mut self, asked: Instant, heard: Instant, theirs_us: i64) {
        let sample = Sample { asked, theirs_us };
        let Some(anchor) = self.anchor else {
            self.anchor = Some(sample);
            return;
        };
        // At most this long has passed here between the two looks at their clock.
        let ours = heard.saturating_duration_since(anchor.asked);
        let theirs = theirs_us.saturating_sub(anchor.theirs_us);
        let theirs = Duration::from_micros(u64::try_from(theirs).unwrap_or(0));
        let ahead = theirs.saturating_sub(ours).as_secs_f64();
        self.excess = self.excess.max(ahead / ours.max(BASE_MIN).as_secs_f64());
        if ours >= WINDOW {
            (self.anchor, self.before, self.excess) = (Some(sample), self.excess, 0.0);
        }
    }

    /// How much faster their clock ran, as a share; 0 when it did not.
    pub(crate) fn rate(&self) -> f64 {
        self.excess.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(base: Instant, ms: u64) -> Instant {
        base + Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_agrees_within_the_round_trip_shows_nothing() {
        let base = crate::Clock::starting_at(0).now();
        let mut drift = Drift::default();
        for second in 0..200_u64 {
            let (asked, heard) = (after(base, second * 1000), after(base, second * 1000 + 10));
            drift.note(asked, heard, i64::try_from(second * 1_000_000 + second % 10_000).unwrap());
        }
        assert!(drift.rate() < 1e-3, "{}", drift.rate());
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_clock_is_noticed_and_forgotten_once_it_agrees_again() {
        let base = crate::Clock::starting_at(0).now();
        let mut drift = Drift::default();
        let mut theirs = 0;
        for second in 0..50_u64 {
            drift.note(after(base, second * 1000), after(base, second * 1000 + 1), theirs);
            theirs += 1_100_000;
        }
        assert!((0.09..0.11).contains(&drift.rate()), "{}", drift.rate());
        for second in 50..200_u64 {
            drift.note(after(base, second * 1000), after(base, second * 1000 + 1), theirs);
            theirs += 1_000_000;
        }
        assert!(drift.rate() < 1e-3, "{}", drift.rate());
    }
}
