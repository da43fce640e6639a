//! Up, degraded, down: the verdict over one backend, from its probes and scores.
//! It must not know IO, the clock, or who publishes; time is an argument and the change is returned.

use std::time::Duration;

use super::score::Passive;
use crate::{
    clock::Instant, config::HealthConfig, guard::backoff, guard::classify::ProbeOutcome,
    status::Health,
};

/// A backend that has been up this long has stopped flapping.
const CALM: Duration = Duration::from_secs(60);
/// The quarantine of the second fall within the calm time; it doubles with each further one.
const QUARANTINE: Duration = Duration::from_millis(500);
/// The longest quarantine.
const QUARANTINE_MAX: Duration = Duration::from_secs(30);

/// A change of health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub from: Health,
    /// Now.
    pub to: Health,
    /// Why.
    pub reason: String,
}

/// The health of one backend.
#[derive(Clone, Debug)]
pub struct HealthState {
    down_after: u32,
    up_after: u32,
    health: Health,
    since: Instant,
    /// Whether it has ever served: the first connection needs no confirmation.
    risen: bool,
    good: u32,
    good_since: Instant,
    bad: u32,
    falls: u32,
    rose: Option<Instant>,
}

impl HealthState {
    /// Down until it is first connected; `up`: it needs no connection.
    pub fn new(config: &HealthConfig, up: bool, now: Instant) -> Self {
        Self {
            down_after: config.down_after,
            up_after: config.up_after,
            health: if up { Health::Up } else { Health::Down },
            since: now,
            risen: up,
            good: 0,
            good_since: now,
            bad: 0,
            falls: 0,
            rose: None,
        }
    }

    /// Takes over settings; what was counted stays.
    pub fn reconfigure(&mut self, config: &HealthConfig) {
        (self.down_after, self.up_after) = (config.down_after, config.up_after);
    }

    /// The verdict.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Whether the verdict is open: failing, or not yet back.
    pub fn is_open(&self) -> bool {
        self.health == Health::Down || self.bad > 0
    }

    /// Whether one more good probe would end the outage.
    pub fn would_rise(&self, now: Instant) -> bool {
        if self.health != Health::Down {
            return false;
        }
        let good_since = if self.good == 0 { now } else { self.good_since };
        let served = now.saturating_duration_since(good_since);
        !self.risen || (self.good + 1 >= self.up_after && served >= self.quarantine())
    }

    /// How long a backend that flaps must answer its probes before it serves again.
    pub fn quarantine(&self) -> Duration {
        match self.falls {
            0 | 1 => Duration::ZERO,
            falls => backoff::doubled(QUARANTINE, QUARANTINE_MAX, falls - 2),
        }
    }

    /// A probe or a connection attempt ended. `passive` decides between up and degraded.
    pub fn on_probe(
        &mut self,
        now: Instant,
        outcome: ProbeOutcome,
        passive: &Passive,
    ) -> Option<Change> {
        match outcome {
            ProbeOutcome::Good | ProbeOutcome::Partial => self.on_good(now, passive),
            ProbeOutcome::Bad => self.on_bad(now),
        }
    }

    fn on_good(&mut self, now: Instant, passive: &Passive) -> Option<Change> {
        self.bad = 0;
        let rises = self.would_rise(now);
        if self.good == 0 {
            self.good_since = now;
        }
        self.good = self.good.saturating_add(1);
        if self.health == Health::Down && !rises {
            return None;
        }
        if rises {
            (self.risen, self.rose) = (true, Some(now));
        }
        let degraded = passive.degraded(self.health == Health::Degraded);
        match (self.health, degraded) {
            (Health::Up | Health::Down, Some(reason)) => {
                Some(self.change(now, Health::Degraded, reason))
            }
            (Health::Down, None) => Some(self.change(now, Health::Up, "probes succeed".into())),
            (Health::Degraded, None) => {
                Some(self.change(now, Health::Up, "serves well again".into()))
            }
            (Health::Up, None) | (Health::Degraded, Some(_)) => None,
        }
    }

    fn on_bad(&mut self, now: Instant) -> Option<Change> {
        self.good = 0;
        self.bad = self.bad.saturating_add(1);
        if self.health == Health::Down || self.bad < self.down_after {
            return None;
        }
        let calm = self.rose.is_none_or(|rose| now.saturating_duration_since(rose) >= CALM);
        self.falls = if calm { 1 } else { self.falls.saturating_add(1) };
        let reason = format!("{} probes failed in a row", self.bad);
        Some(self.change(now, Health::Down, reason))
    }

    fn change(&mut self, now: Instant, to: Health, reason: String) -> Change {
        let from = self.health;
        (self.health, self.since) = (to, now);
        Change { from, to, reason }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    fn well() -> Passive {
        Passive { breaker_closed: true, ..Passive::default() }
    }

    /// Good probes every 200 ms until it has risen; how long that took.
    fn rise(state: &mut HealthState, at: &mut Instant) -> Duration {
        let began = *at;
        while state.health() == Health::Down {
            state.on_probe(*at, ProbeOutcome::Good, &well());
            *at += Duration::from_millis(200);
        }
        *at - began
    }

    fn fall(state: &mut HealthState, at: Instant) {
        while state.health() != Health::Down {
            state.on_probe(at, ProbeOutcome::Bad, &well());
        }
    }

    #[test]
    fn first_up_at_once_then_down_after_two_and_up_after_three() {
        let now = Clock::system().now();
        let mut state = HealthState::new(&HealthConfig::default(), false, now);
        let first = state.on_probe(now, ProbeOutcome::Good, &well()).expect("first connection");
        assert_eq!((first.from, first.to), (Health::Down, Health::Up));
        assert_eq!(state.on_probe(now, ProbeOutcome::Bad, &well()), None);
        assert!(state.is_open());
        let down = state.on_probe(now, ProbeOutcome::Bad, &well()).expect("second failure");
        assert_eq!(down.to, Health::Down);
        for _ in 0..2 {
            assert_eq!(state.on_probe(now, ProbeOutcome::Good, &well()), None);
        }
        assert!(state.would_rise(now));
        assert!(state.on_probe(now, ProbeOutcome::Good, &well()).is_some());
        assert!(!state.is_open());
    }

    #[test]
    fn the_quarantine_grows_with_each_flap_and_is_forgotten_after_a_calm_time() {
        let mut at = Clock::system().now();
        let mut state = HealthState::new(&HealthConfig::default(), true, at);
        let mut times = Vec::new();
        for _ in 0..10 {
            fall(&mut state, at);
            times.push(rise(&mut state, &mut at));
        }
        assert!(times[0] <= Duration::from_millis(600), "{times:?}");
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
        assert!(times[9] >= QUARANTINE_MAX && times[9] <= QUARANTINE_MAX * 2, "{times:?}");
        at += CALM;
        fall(&mut state, at);
        assert_eq!(rise(&mut state, &mut at), times[0]);
    }

    #[test]
    fn passive_scores_degrade_and_restore() {
        let now = Clock::system().now();
        let mut state = HealthState::new(&HealthConfig::default(), true, now);
        let ill = Passive { error_rate: Some(0.5), ..well() };
        let change = state.on_probe(now, ProbeOutcome::Good, &ill).expect("degraded");
        assert_eq!(change.to, Health::Degraded);
        assert_eq!(state.on_probe(now, ProbeOutcome::Partial, &ill), None);
        let change = state.on_probe(now, ProbeOutcome::Good, &well()).expect("well");
        assert_eq!((change.from, change.to), (Health::Degraded, Health::Up));
    }

    proptest! {
        /// Whatever happened before, enough good probes bring it up, and enough bad ones bring it down; `would_rise`
        /// says beforehand what a good probe does.
        #[test]
        fn is_never_stuck(steps in prop::collection::vec((0u64..3000, 0u8..3), 0..300)) {
            let mut at = Clock::system().now();
            let mut state = HealthState::new(&HealthConfig::default(), false, at);
            for (pause, outcome) in steps {
                at += Duration::from_millis(pause);
                let outcome = [ProbeOutcome::Good, ProbeOutcome::Partial, ProbeOutcome::Bad][usize::from(outcome)];
                let foretold = outcome != ProbeOutcome::Bad && state.would_rise(at);
                let was_down = state.health() == Health::Down;
                let change = state.on_probe(at, outcome, &well());
                let rose = was_down && change.is_some();
                prop_assert_eq!(rose, foretold);
            }
            prop_assert!(rise(&mut state, &mut at) <= QUARANTINE_MAX + Duration::from_secs(1));
            fall(&mut state, at);
            prop_assert_eq!(state.health(), Health::Down);
        }
    }
}
