//! Whether calls may pass to a backend: closed, open, half-open, isolated.
//! It must not know the calls, the clock, or who publishes its transitions; time and randomness are arguments.

mod apart;
mod outside;
mod report;

use std::time::Duration;

use super::{
    backoff,
    classify::Verdict,
    trip::{Cause, Refused, Transition},
    window::{Tally, Window},
};
use crate::{clock::Instant, config::BreakerConfig, status::BreakerState};

/// Refused credentials in a row that isolate the backend.
pub const FORBIDDEN_MAX: u32 = 3;
/// How long a backend that needs a person stays isolated before it is tried again.
pub const ISOLATION: Duration = Duration::from_secs(60);
/// Parts of the short window in which a hang shows.
const RECENT_BUCKETS: usize = 8;

/// The right to make one call. Settled exactly once; the epoch makes a straggler from before a transition harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
}

impl Ticket {
    /// For a call that passes a breaker of this epoch without asking, see `Breaker::pass`.
    pub(super) fn of(epoch: u64) -> Self {
        Self { epoch }
    }

    /// The breaker's epoch when it was given.
    pub fn epoch(self) -> u64 {
        self.epoch
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32, forbidden: u32 },
    Open { until: Instant, good_probes: u32 },
    HalfOpen { expires: Instant, out: u32, successes: u32 },
    Isolated { until: Instant },
    ForcedOpen { until: Instant },
    ForcedClosed { until: Instant },
}

/// The breaker of one backend.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
    since: Instant,
    cause: Cause,
    /// Rises with each transition.
    epoch: u64,
    /// Trips since the last stable close; they double the open time.
    trips: u32,
    /// Health says down: it stays open until `release`.
    held: bool,
    slow_over: Duration,
    late_over: Duration,
    window: Window,
    /// Only the last `slow_over`: ten seconds of good calls must not hide that none is answered any more.
    recent: Window,
}

impl Breaker {
    /// Closed.
    pub fn new(config: BreakerConfig, now: Instant) -> Self {
        let slow_min = config.slow_min.unwrap_or(BreakerConfig::SLOW_MIN);
        Self {
            state: State::Closed { failures: 0, forbidden: 0 },
            since: now,
            cause: Cause::Start,
            epoch: 0,
            trips: 0,
            held: false,
            slow_over: slow_min,
            late_over: slow_min,
            window: Window::new(config.window, Window::BUCKETS),
            recent: Window::new(slow_min, RECENT_BUCKETS),
            config,
        }
    }

    /// Takes over settings. The state stays, and what was counted, unless the window is another; what is usual has to be said
    /// anew.
    pub fn reconfigure(&mut self, config: BreakerConfig, now: Instant) {
        if config.window != self.config.window {
            self.window = Window::new(config.window, Window::BUCKETS);
        }
        self.config = config;
        // An open time, or a trial, that would last longer than it may now.
        match &mut self.state {
            State::Open { until, .. } => {
                let longest = backoff::spread(self.config.open_max, 0.2, 1.0);
                *until = (*until).min(now + longest);
            }
            State::HalfOpen { expires, .. } => {
                *expires = (*expires).min(now + self.config.half_open_max);
            }
            State::Closed { .. }
            | State::Isolated { .. }
            | State::ForcedOpen { .. }
            | State::ForcedClosed { .. } => {}
        }
    }

    /// Says what is usual: a call over 1.3 × `p95` (but at least `slow_min`) is slow; a call that its caller gave up
    /// after `late` counts as slow too, since callers who hedge never wait for the slow threshold.
    pub fn set_pace(&mut self, p95: Option<Duration>, late: Duration) {
        let slow_min = self.config.slow_min.unwrap_or(BreakerConfig::SLOW_MIN);
        let slow_over = p95.map_or(slow_min, |p95| p95.mul_f64(1.3).max(slow_min));
        self.late_over = late.min(slow_over);
        if slow_over != self.slow_over {
            self.slow_over = slow_over;
            self.recent = Window::new(slow_over, RECENT_BUCKETS);
        }
    }

    /// A call over this is slow.
    pub fn slow_over(&self) -> Duration {
        self.slow_over
    }

    /// The state.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } | State::ForcedClosed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Isolated { .. } | State::ForcedOpen { .. } => BreakerState::Isolated,
        }
    }

    /// Whether an operator forced it.
    pub fn is_forced(&self) -> bool {
        matches!(self.state, State::ForcedOpen { .. } | State::ForcedClosed { .. })
    }

    /// The epoch: rises with each transition.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Does what time does: open becomes half-open, half-open and forced states expire. Called before `acquire`.
    pub fn advance(&mut self, now: Instant, unit: f64) -> Option<Transition> {
        match self.state {
            State::Open { until, .. } | State::Isolated { until } if now >= until && !self.held => {
                Some(self.try_out(now, Cause::Trial))
            }
            State::HalfOpen { expires, .. } if now >= expires => {
                // Nobody failed, so the open time does not double.
                self.trips = self.trips.saturating_sub(1);
                Some(self.open(now, Cause::NoVerdict, unit))
            }
            State::ForcedOpen { until } | State::ForcedClosed { until } if now >= until => {
                Some(self.end_force(now, unit))
            }
            State::Closed { .. }
            | State::Open { .. }
            | State::HalfOpen { .. }
            | State::Isolated { .. }
            | State::ForcedOpen { .. }
            | State::ForcedClosed { .. } => None,
        }
    }

    /// The right to make one call.
    ///
    /// # Errors
    /// Why not, and when.
    pub fn acquire(&mut self, now: Instant) -> Result<Ticket, Refused> {
        if let Some(refused) = self.refusal(now) {
            return Err(refused);
        }
        match &mut self.state {
            State::HalfOpen { out, .. } => *out += 1,
            // The time for a trial has come, and `advance` was not called: only a caller's mistake leads here.
            State::Open { .. } | State::Isolated { .. } | State::ForcedOpen { .. } => {
                return Err(self.refused(None));
            }
            State::Closed { .. } | State::ForcedClosed { .. } => {}
        }
        Ok(Ticket { epoch: self.epoch })
    }

    /// Why a call would be refused now; `None`: it would pass.
    pub fn refusal(&self, now: Instant) -> Option<Refused> {
        let until = match &self.state {
            State::Closed { .. } | State::ForcedClosed { .. } => return None,
            State::HalfOpen { out, expires, .. } => {
                if *out < self.config.probes || now >= *expires {
                    return None;
                }
                return Some(self.refused(None));
            }
            State::Open { until, .. } | State::Isolated { until } => *until,
            State::ForcedOpen { until } => *until,
        };
        let left = until.saturating_duration_since(now);
        if left.is_zero() && !self.held {
            return None;
        }
        Some(self.refused((!left.is_zero()).then_some(left)))
    }

    /// Ends a call: what it says, and how long it took.
    pub fn settle(
        &mut self,
        ticket: Ticket,
        verdict: Verdict,
        took: Duration,
        now: Instant,
        unit: f64,
    ) -> Option<Transition> {
        if ticket.epoch != self.epoch {
            return None;
        }
        let slow = took >= self.slow_over;
        match self.state {
            State::Closed { .. } => self.settle_closed(verdict, slow, took, now, unit),
            State::HalfOpen { .. } => self.settle_trial(verdict, slow, now, unit),
            State::ForcedClosed { .. } => {
                self.note(verdict, slow, took, now);
                None
            }
            State::Open { .. } | State::Isolated { .. } | State::ForcedOpen { .. } => None,
        }
    }

    /// Looks at the calls in flight: `overdue` of this epoch are older than `slow_over`.
    pub fn look_at_inflight(
        &mut self,
        overdue: u64,
        now: Instant,
        unit: f64,
    ) -> Option<Transition> {
        match self.state {
            State::Closed { .. } if overdue > 0 => self.judge_slow(overdue, now, unit),
            State::HalfOpen { .. } if overdue > 0 => Some(self.open(now, Cause::TrialFailed, unit)),
            State::Closed { .. }
            | State::HalfOpen { .. }
            | State::Open { .. }
            | State::Isolated { .. }
            | State::ForcedOpen { .. }
            | State::ForcedClosed { .. } => None,
        }
    }

    fn settle_closed(
        &mut self,
        verdict: Verdict,
        slow: bool,
        took: Duration,
        now: Instant,
        unit: f64,
    ) -> Option<Transition> {
        self.note(verdict, slow, took, now);
        let State::Closed { failures, forbidden } = &mut self.state else { return None };
        match verdict {
            Verdict::Success | Verdict::Refused => (*failures, *forbidden) = (0, 0),
            Verdict::Failure => (*failures, *forbidden) = (*failures + 1, 0),
            Verdict::Forbidden => (*failures, *forbidden) = (*failures + 1, *forbidden + 1),
            Verdict::Corrupt => return self.isolate(now, Cause::Corrupt, ISOLATION),
            Verdict::Overload | Verdict::Abandoned => return self.judge_slow(0, now, unit),
        }
        let (failures, forbidden) = (*failures, *forbidden);
        if forbidden >= FORBIDDEN_MAX {
            return self.isolate(now, Cause::Forbidden, ISOLATION);
        }
        if failures >= self.config.failures {
            return Some(self.open(now, Cause::Failures(failures), unit));
        }
        if failures > 0 {
            let Tally { calls, failures, .. } = self.window.total(now);
            if self.reaches(failures, calls, self.config.failure_rate) {
                return Some(self.open(now, Cause::FailureRate { failures, calls }, unit));
            }
        }
        if slow { self.judge_slow(0, now, unit) } else { None }
    }

    fn settle_trial(
        &mut self,
        verdict: Verdict,
        slow: bool,
        now: Instant,
        unit: f64,
    ) -> Option<Transition> {
        let enough = self.config.probes;
        let State::HalfOpen { out, successes, .. } = &mut self.state else { return None };
        *out = out.saturating_sub(1);
        match verdict {
            Verdict::Success | Verdict::Refused if !slow => {
                *successes += 1;
                (*successes >= enough).then(|| self.close(now, Cause::TrialsPassed))
            }
            Verdict::Success | Verdict::Refused | Verdict::Failure | Verdict::Overload => {
                Some(self.open(now, Cause::TrialFailed, unit))
            }
            Verdict::Forbidden => self.isolate(now, Cause::Forbidden, ISOLATION),
            Verdict::Corrupt => self.isolate(now, Cause::Corrupt, ISOLATION),
            Verdict::Abandoned => None,
        }
    }

    fn note(&mut self, verdict: Verdict, slow: bool, took: Duration, now: Instant) {
        let (failed, slow) = match verdict {
            Verdict::Success | Verdict::Refused => (false, slow),
            Verdict::Failure | Verdict::Forbidden | Verdict::Corrupt => (true, slow),
            Verdict::Overload => (false, true),
            Verdict::Abandoned => {
                if took >= self.late_over {
                    self.recent.record(now, false, true);
                }
                return;
            }
        };
        self.window.record(now, failed, slow);
        self.recent.record(now, failed, slow);
    }

    /// Slow calls by the window, and by the last `slow_over` alone, each with the overdue ones in flight.
    fn judge_slow(&mut self, overdue: u64, now: Instant, unit: f64) -> Option<Transition> {
        for tally in [self.recent.total(now), self.window.total(now)] {
            let (slow, calls) = (tally.slow + overdue, tally.calls + overdue);
            if self.reaches(slow, calls, self.config.slow_rate) {
                let cause = Cause::Slow { slow, calls, over: self.slow_over };
                return Some(self.open(now, cause, unit));
            }
        }
        None
    }

    fn reaches(&self, count: u64, calls: u64, rate: f64) -> bool {
        calls >= u64::from(self.config.calls_min) && count as f64 >= rate * calls as f64
    }

    fn open(&mut self, now: Instant, cause: Cause, unit: f64) -> Transition {
        let stable = now.saturating_duration_since(self.since) >= self.config.window;
        let was_closed = matches!(self.state, State::Closed { .. } | State::ForcedClosed { .. });
        self.trips = if was_closed && stable { 1 } else { self.trips.saturating_add(1) };
        let time = backoff::doubled(self.config.open, self.config.open_max, self.trips.max(1) - 1);
        let until = now + backoff::spread(time, 0.2, unit);
        self.enter(now, State::Open { until, good_probes: 0 }, cause)
    }

    fn close(&mut self, now: Instant, cause: Cause) -> Transition {
        self.forget();
        self.enter(now, State::Closed { failures: 0, forbidden: 0 }, cause)
    }

    fn try_out(&mut self, now: Instant, cause: Cause) -> Transition {
        let expires = now + self.config.half_open_max;
        self.enter(now, State::HalfOpen { expires, out: 0, successes: 0 }, cause)
    }

    fn end_force(&mut self, now: Instant, unit: f64) -> Transition {
        if self.held {
            return self.open(now, Cause::HealthDown, unit);
        }
        match self.state {
            State::ForcedOpen { .. } => self.try_out(now, Cause::ForceEnded),
            State::ForcedClosed { .. }
            | State::Closed { .. }
            | State::Open { .. }
            | State::HalfOpen { .. }
            | State::Isolated { .. } => self.close(now, Cause::ForceEnded),
        }
    }

    fn forget(&mut self) {
        self.window.clear();
        self.recent.clear();
    }

    fn refused(&self, retry_in: Option<Duration>) -> Refused {
        Refused { kind: self.cause.refusal(), cause: self.cause.clone(), retry_in }
    }

    fn enter(&mut self, now: Instant, state: State, cause: Cause) -> Transition {
        let from = self.state();
        self.state = state;
        self.since = now;
        self.epoch += 1;
        self.cause = cause.clone();
        // An operator's command, and a rate at which many calls still succeed, let the calls in flight end.
        let cuts = matches!(
            cause,
            Cause::Failures(_) | Cause::Slow { .. } | Cause::TrialFailed | Cause::HealthDown
        );
        Transition { from, to: self.state(), cause, cuts }
    }
}

#[cfg(test)]
mod tests;
