//! What moves a breaker besides calls: probes, health, a person.
//! It must not know how the calls judge.

use std::time::Duration;

use super::{Breaker, Cause, State, Transition};
use crate::{clock::Instant, status::BreakerCommand};

impl Breaker {
    /// A probe out of band succeeded: `probes` in a row close an open breaker. After a second trip without a stable
    /// close in between they do so only when the open time is over: then probes succeed where calls do not.
    pub fn on_probe_success(&mut self, now: Instant) -> Option<Transition> {
        let passed = self.would_close_on_probe(now);
        match &mut self.state {
            State::Open { good_probes: good, .. } | State::HalfOpen { successes: good, .. } => {
                *good = good.saturating_add(1);
            }
            State::Closed { .. }
            | State::Isolated { .. }
            | State::ForcedOpen { .. }
            | State::ForcedClosed { .. } => {}
        }
        passed.then(|| self.close(now, Cause::ProbesPassed))
    }

    /// Whether one more good probe would close it.
    pub fn would_close_on_probe(&self, now: Instant) -> bool {
        let enough = self.config.probes;
        match self.state {
            State::Open { until, good_probes } if !self.held => {
                good_probes + 1 >= enough && (self.trips <= 1 || now >= until)
            }
            State::HalfOpen { successes, .. } => successes + 1 >= enough,
            State::Open { .. }
            | State::Closed { .. }
            | State::Isolated { .. }
            | State::ForcedOpen { .. }
            | State::ForcedClosed { .. } => false,
        }
    }

    /// A probe out of band failed.
    pub fn on_probe_failure(&mut self) {
        match &mut self.state {
            State::Open { good_probes: good, .. } | State::HalfOpen { successes: good, .. } => {
                *good = 0;
            }
            State::Closed { .. }
            | State::Isolated { .. }
            | State::ForcedOpen { .. }
            | State::ForcedClosed { .. } => {}
        }
    }

    /// Health says down: opens, and stays open until `release`.
    pub fn hold(&mut self, now: Instant, unit: f64) -> Option<Transition> {
        self.held = true;
        match self.state {
            State::Closed { .. } | State::HalfOpen { .. } => {
                Some(self.open(now, Cause::HealthDown, unit))
            }
            State::Open { .. }
            | State::Isolated { .. }
            | State::ForcedOpen { .. }
            | State::ForcedClosed { .. } => None,
        }
    }

    /// Health says that it serves again: closes, unless an operator forced it.
    pub fn release(&mut self, now: Instant) -> Option<Transition> {
        self.held = false;
        match self.state {
            State::Open { .. } | State::HalfOpen { .. } | State::Isolated { .. } => {
                Some(self.close(now, Cause::ProbesPassed))
            }
            State::Closed { .. } | State::ForcedOpen { .. } | State::ForcedClosed { .. } => None,
        }
    }

    /// A person must act: refuses for this long, from now on. Forced states stay.
    pub fn isolate(&mut self, now: Instant, cause: Cause, time: Duration) -> Option<Transition> {
        if self.is_forced() {
            return None;
        }
        let isolated = State::Isolated { until: now + time };
        if matches!(self.state, State::Isolated { .. }) && self.cause == cause {
            self.state = isolated;
            return None;
        }
        self.trips = self.trips.saturating_add(1);
        Some(self.enter(now, isolated, cause))
    }

    /// An operator's command. `None`: nothing changed. `Auto` also says of an isolated backend that the cause is gone.
    pub fn force(
        &mut self,
        command: BreakerCommand,
        reason: &str,
        now: Instant,
        unit: f64,
    ) -> Option<Transition> {
        let cause = Cause::Forced(reason.to_owned());
        match command {
            BreakerCommand::ForceOpen(time) => {
                Some(self.enter(now, State::ForcedOpen { until: now + time }, cause))
            }
            BreakerCommand::ForceClosed(time) => {
                self.forget();
                Some(self.enter(now, State::ForcedClosed { until: now + time }, cause))
            }
            BreakerCommand::Auto if self.is_forced() => Some(self.end_force(now, unit)),
            BreakerCommand::Auto if self.is_isolated() && !self.held => {
                Some(self.try_out(now, Cause::Trial))
            }
            BreakerCommand::Auto => None,
        }
    }

    fn is_isolated(&self) -> bool {
        matches!(self.state, State::Isolated { .. })
    }
}
