//! What a breaker says of itself.
//! It must not change it.

use std::time::Duration;

use super::{Breaker, State, Tally};
use crate::{clock::Instant, status::BreakerStatus};

impl Breaker {
    /// When it will let calls through again, when it is open or isolated.
    pub fn retry_in(&self, now: Instant) -> Option<Duration> {
        match &self.state {
            State::Open { until, .. } | State::Isolated { until } | State::ForcedOpen { until } => {
                Some(until.saturating_duration_since(now))
            }
            State::Closed { .. } | State::HalfOpen { .. } | State::ForcedClosed { .. } => None,
        }
    }

    /// How long a forced state lasts yet.
    pub fn forced_for(&self, now: Instant) -> Option<Duration> {
        match &self.state {
            State::ForcedOpen { until } | State::ForcedClosed { until } => {
                Some(until.saturating_duration_since(now))
            }
            State::Closed { .. }
            | State::Open { .. }
            | State::HalfOpen { .. }
            | State::Isolated { .. } => None,
        }
    }

    /// For the status document.
    pub fn status(&mut self, now: Instant) -> BreakerStatus {
        let Tally { calls, failures, .. } = self.window.total(now);
        BreakerStatus {
            state: self.state(),
            forced: self.is_forced(),
            reason: self.cause.to_string(),
            since: now.saturating_duration_since(self.since),
            retry_in: self.retry_in(now),
            forced_for: self.forced_for(now),
            failures,
            calls,
        }
    }
}
