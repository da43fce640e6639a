//! Until when a lease may be believed here: counted from before it was asked for, less what clocks may differ.
//! It must not know IO, nor who granted it; time is an argument.

use std::time::Duration;

use crate::clock::{Clock, Instant};

/// Clocks that should agree may differ in rate by this much: 1 %.
pub(crate) const RHO: f64 = 0.01;

/// And by this much besides: what reading clocks and rounding costs.
const SLACK: Duration = Duration::from_millis(2);

/// No measured drift takes more of a lease than this.
const DRIFT_MAX: f64 = 0.5;

/// A point in time that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    /// How long the machine has been suspended since it was started.
    pub(crate) suspended: Duration,
}

impl Moment {
    pub(crate) fn now(clock: &Clock) -> Self {
        Self { instant: clock.now(), suspended: clock.suspended() }
    }
}

/// A lease as this process may believe it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lease {
    until: Instant,
    /// `Moment::suspended` when it was asked for.
    suspended: Duration,
}

impl Lease {
    /// Asked for at `sent`, for `ttl`; `drift` is how much faster the granter's clock was measured to run.
    pub(crate) fn new(sent: Moment, ttl: Duration, drift: f64) -> Self {
        let believed = ttl.saturating_sub(allowance(ttl, drift));
        Self { until: sent.instant + believed, suspended: sent.suspended }
    }

    /// How long it may be believed yet.
    pub(crate) fn left(&self, now: Moment) -> Duration {
        let slept = now.suspended.saturating_sub(self.suspended);
        self.until.saturating_duration_since(now.instant).saturating_sub(slept)
    }

    /// Whether it may be believed.
    pub(crate) fn is_held(&self, now: Moment) -> bool {
        !self.left(now).is_zero()
    }
}

/// How much of a lease is not believed.
pub(crate) fn allowance(ttl: Duration, drift: f64) -> Duration {
    ttl.mul_f64((2.0 * drift).clamp(RHO, DRIFT_MAX)) + SLACK
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment(clock: &Clock, after_ms: u64, suspended_ms: u64) -> Moment {
        let instant = clock.now() + Duration::from_millis(after_ms);
        Moment { instant, suspended: Duration::from_millis(suspended_ms) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_counts_from_before_it_was_asked_for() {
        let clock = Clock::starting_at(0);
        let lease = Lease::new(moment(&clock, 0, 0), Duration::from_secs(10), 0.0);
        assert!(lease.is_held(moment(&clock, 9_897, 0)));
        assert!(!lease.is_held(moment(&clock, 9_898, 0)), "1 % and 2 ms less");
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_slept_past_it_has_lost_it() {
        let clock = Clock::starting_at(0);
        let lease = Lease::new(moment(&clock, 0, 500), Duration::from_secs(10), 0.0);
        assert!(lease.is_held(moment(&clock, 1_000, 5_000)));
        assert!(!lease.is_held(moment(&clock, 1_000, 9_500)));
    }

    proptest! {
        /// Whatever the granter's clock does within the bound, it ends the lease no earlier than this process does.
        #[test]
        fn the_granter_never_ends_it_first(
            ttl_ms in 1_u64..100_000,
            delay_ms in 0_u64..1_000,
            rate in 1.0_f64..1.01,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _inside = runtime.enter();
            let clock = Clock::starting_at(0);
            let (sent, ttl) = (moment(&clock, 0, 0), Duration::from_millis(ttl_ms));
            let lease = Lease::new(sent, ttl, 0.0);
            // It granted when the request came, and counts by its own clock.
            let ends = sent.instant + Duration::from_millis(delay_ms) + ttl.div_f64(rate);
            let end = Moment { instant: ends, suspended: Duration::ZERO };
            prop_assert!(!lease.is_held(end));
        }
    }
}
