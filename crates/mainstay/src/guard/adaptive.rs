//! A limit on the calls in flight that follows the backend's latency: it grows by one while calls are as quick as they
//! usually are, and shrinks by a tenth when they are late (additive increase, multiplicative decrease, as TCP has it).
//! It must not know the bulkhead, nor read the clock.

use std::time::Duration;

use super::classify::Verdict;
use crate::clock::Instant;

/// A call is late when it takes this many times what is usual, ...
const LATE: f64 = 2.0;
/// ... and this much longer: below it, latency says nothing of load.
const LATE_BY: Duration = Duration::from_millis(5);
/// What one cut leaves.
const CUT: f64 = 0.9;
/// Between two cuts: calls that were under way at the last one say nothing new.
const CUT_EVERY: Duration = Duration::from_millis(100);
/// How fast the usual latency follows quicker calls, and slower ones.
const DOWN: f64 = 0.1;
const UP: f64 = 0.01;

/// The limit of one backend.
#[derive(Clone, Debug)]
pub struct Adaptive {
    least: f64,
    most: f64,
    limit: f64,
    /// Seconds that a call usually takes; none before the first one.
    usual: Option<f64>,
    cut_at: Option<Instant>,
}

impl Adaptive {
    /// Between `least` and `most`, at first `most`: a backend at ease is not held back.
    pub fn new(least: usize, most: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let [least, most] = [least.max(1), most.max(1)].map(|limit| limit as f64);
        Self { least: least.min(most), most, limit: most, usual: None, cut_at: None }
    }

    /// A call has ended; the limit from now on. `inflight`: calls that were under way with it.
    pub fn note(
        &mut self,
        verdict: Verdict,
        took: Duration,
        inflight: usize,
        now: Instant,
    ) -> usize {
        match verdict {
            Verdict::Abandoned => {}
            Verdict::Overload => self.cut(now),
            // So few calls are not why it is slow: it has become slower for good.
            Verdict::Success if self.is_late(took) && self.limit <= self.least => {
                self.learn(took, false);
            }
            Verdict::Success | Verdict::Refused if self.is_late(took) => self.cut(now),
            Verdict::Success => {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                let used = inflight as f64 * 2.0 >= self.limit;
                self.learn(took, used);
                if used {
                    self.limit = (self.limit + 1.0 / self.limit).min(self.most);
                }
            }
            // The breaker's business: how many are in flight is not why.
            Verdict::Refused | Verdict::Failure | Verdict::Forbidden | Verdict::Corrupt => {}
        }
        self.limit()
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and what was given"
        )]
        let limit = self.limit as usize;
        limit
    }

    fn is_late(&self, took: Duration) -> bool {
        let Some(usual) = self.usual else { return false };
        let took = took.as_secs_f64();
        took > usual * LATE && took > usual + LATE_BY.as_secs_f64()
    }

    /// Slower calls say something of the backend itself only when it is at ease.
    fn learn(&mut self, took: Duration, used: bool) {
        let took = took.as_secs_f64();
        let usual = self.usual.get_or_insert(took);
        if took < *usual {
            *usual += (took - *usual) * DOWN;
        } else if !used {
            *usual += (took - *usual) * UP;
        }
    }

    fn cut(&mut self, now: Instant) {
        if self.cut_at.is_some_and(|at| now.saturating_duration_since(at) < CUT_EVERY) {
            return;
        }
        self.cut_at = Some(now);
        self.limit = (self.limit * CUT).max(self.least);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A backend that bears so many calls at once; beyond that each waits its turn.
    fn settles_at(bears: usize) -> usize {
        let mut adaptive = Adaptive::new(1, 100);
        let mut now = Clock::system().now() + Duration::from_secs(3600);
        for _ in 0..50 {
            adaptive.note(Verdict::Success, ms(10), 1, now);
        }
        for _ in 0..20_000 {
            let inflight = adaptive.limit();
            let rounds = inflight.div_ceil(bears);
            now += ms(5);
            adaptive.note(Verdict::Success, ms(10) * u32::try_from(rounds).unwrap(), inflight, now);
        }
        adaptive.limit()
    }

    #[test]
    fn it_settles_near_what_the_backend_bears() {
        for bears in [4, 10, 30] {
            let limit = settles_at(bears);
            assert!(limit >= bears && limit <= bears * 2 + 1, "{bears}: {limit}");
        }
        assert_eq!(settles_at(1000), 100, "at ease it is the most");
    }

    #[test]
    fn a_backend_that_is_slower_for_good_is_not_held_down_for_ever() {
        let mut adaptive = Adaptive::new(2, 50);
        let mut now = Clock::system().now() + Duration::from_secs(3600);
        adaptive.note(Verdict::Success, ms(10), 1, now);
        let mut lowest = 50;
        for _ in 0..20_000 {
            now += ms(5);
            lowest = lowest.min(adaptive.note(Verdict::Success, ms(100), adaptive.limit(), now));
        }
        assert_eq!((lowest, adaptive.limit()), (2, 50));
    }

    #[test]
    fn refusals_for_want_of_room_cut_it_and_failures_do_not() {
        let now = Clock::system().now() + Duration::from_secs(3600);
        let mut adaptive = Adaptive::new(2, 100);
        assert_eq!(adaptive.note(Verdict::Failure, ms(1), 50, now), 100);
        assert_eq!(adaptive.note(Verdict::Overload, ms(1), 50, now), 90);
        assert_eq!(adaptive.note(Verdict::Overload, ms(1), 50, now + ms(1)), 90, "once a while");
        for turn in 1..100 {
            adaptive.note(Verdict::Overload, ms(1), 50, now + CUT_EVERY * turn);
        }
        assert_eq!(adaptive.limit(), 2);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(
            least in 1_usize..20,
            most in 1_usize..200,
            calls in prop::collection::vec((0_u64..500, any::<bool>(), 0_usize..300), 0..500),
        ) {
            let mut adaptive = Adaptive::new(least, most);
            let mut now = Clock::system().now() + Duration::from_secs(3600);
            for (took, well, inflight) in calls {
                now += ms(took);
                let verdict = if well { Verdict::Success } else { Verdict::Overload };
                let limit = adaptive.note(verdict, ms(took), inflight, now);
                prop_assert!(limit >= least.min(most) && limit <= most, "{limit}");
            }
        }
    }
}
