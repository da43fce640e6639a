//! The life of one backend's connection: lost, attempted, stuck, regained.
//! It must not know IO, the clock or what a connection is; time and randomness are arguments.

use std::time::Duration;

use crate::{
    clock::Instant, config::ReconnectConfig, error::ErrorKind, guard::backoff,
    status::ReconnectStatus,
};

/// Attempts are at least this far apart: ten a second.
const SPACING: Duration = Duration::from_millis(100);
/// A connection that works is given up for the wrong node (or timeouts) at most this often.
const RENEWAL: Duration = Duration::from_secs(3);
/// Refused credentials in a row after which attempts become rare: a person must act, and accounts can be locked.
const FORBIDDEN_MAX: u32 = 3;
/// The first of the long waits; each is twice the one before. What is put right soon is noticed soon.
const FORBIDDEN_WAIT: Duration = Duration::from_secs(5);
/// The longest.
const FORBIDDEN_WAIT_MAX: Duration = Duration::from_secs(60);

/// What a failed attempt leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its number since the connection was lost, from 1.
    pub attempt: u64,
    /// Whether it is worth an event: the first five, then every tenth.
    pub publish: bool,
    /// The reconnection is stuck: everything is begun anew.
    pub stuck: bool,
    /// The credentials were refused several times: a person must act, and this is the time to the next attempt.
    pub isolate: Option<Duration>,
}

/// The connection of one backend.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    config: ReconnectConfig,
    connected: bool,
    status: ReconnectStatus,
    /// The exponent of the backoff.
    step: u32,
    since_reset: u32,
    reset_at: Instant,
    attempted: Option<Instant>,
    renewed: Option<Instant>,
    next: Instant,
    forbidden: u32,
    ever: bool,
}

impl Lifecycle {
    /// Not connected, the first attempt due now; `connected`: it needs no connection.
    pub fn new(config: ReconnectConfig, connected: bool, now: Instant) -> Self {
        Self {
            config,
            connected,
            status: ReconnectStatus { connected, ..ReconnectStatus::default() },
            step: 0,
            since_reset: 0,
            reset_at: now,
            attempted: None,
            renewed: None,
            next: now,
            forbidden: 0,
            ever: connected,
        }
    }

    /// Takes over settings; an attempt that is due stays due.
    pub fn reconfigure(&mut self, config: ReconnectConfig) {
        self.config = config;
    }

    /// Whether a connection stands.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// When the next attempt is due.
    pub fn next_attempt(&self) -> Instant {
        self.attempted.map_or(self.next, |at| self.next.max(at + SPACING))
    }

    /// A person has acted: the next attempt is due now.
    pub fn hurry(&mut self, now: Instant) {
        self.next = self.next.min(now);
    }

    /// The connection is lost. A connection that had not proved itself keeps its backoff.
    pub fn lost(&mut self, now: Instant, unit: f64) {
        self.connected = false;
        self.status.attempts = 0;
        self.since_reset = 0;
        self.reset_at = now;
        self.next = if self.step == 0 { now } else { now + self.pause(unit) };
    }

    /// A probe over the connection succeeded: the next loss begins with a short wait again.
    pub fn proved(&mut self) {
        self.step = 0;
    }

    /// Whether a connection that stands may be given up for a better one now; notes that it is.
    pub fn may_renew(&mut self, now: Instant) -> bool {
        let due = self.renewed.is_none_or(|at| now.saturating_duration_since(at) >= RENEWAL);
        if due {
            self.renewed = Some(now);
        }
        due
    }

    /// An attempt begins.
    pub fn begin(&mut self, now: Instant) {
        self.attempted = Some(now);
        self.status.attempts_total += 1;
        self.since_reset = self.since_reset.saturating_add(1);
    }

    /// The attempt failed.
    pub fn failed(&mut self, now: Instant, kind: ErrorKind, unit: f64) -> Failed {
        self.status.attempts += 1;
        self.status.failures_total += 1;
        let attempt = self.status.attempts;
        self.forbidden = if kind == ErrorKind::Forbidden { self.forbidden + 1 } else { 0 };
        let isolate = self
            .forbidden
            .checked_sub(FORBIDDEN_MAX)
            .map(|more| backoff::doubled(FORBIDDEN_WAIT, FORBIDDEN_WAIT_MAX, more));
        let stuck = self.since_reset >= self.config.stuck_after
            || now.saturating_duration_since(self.reset_at) >= self.config.stuck_time;
        if stuck {
            self.status.stuck_resets_total += 1;
            (self.since_reset, self.reset_at, self.step) = (0, now, 0);
        }
        self.next = now + isolate.unwrap_or_else(|| self.pause(unit));
        self.step = self.step.saturating_add(1);
        Failed { attempt, publish: attempt <= 5 || attempt.is_multiple_of(10), stuck, isolate }
    }

    /// The attempt succeeded; its number since the connection was lost.
    pub fn succeeded(&mut self) -> u64 {
        let attempt = self.status.attempts + 1;
        self.connected = true;
        self.status.attempts = 0;
        self.status.connects_total += 1;
        self.forbidden = 0;
        self.step = self.step.saturating_add(1);
        self.status.reconnects_total += u64::from(self.ever);
        self.ever = true;
        attempt
    }

    /// For the status document, without `next_in`.
    pub fn status(&self) -> ReconnectStatus {
        ReconnectStatus { connected: self.connected, ..self.status.clone() }
    }

    fn pause(&self, unit: f64) -> Duration {
        backoff::equal_jitter(self.config.base, self.config.max, self.step, unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn waits_double_attempts_are_counted_and_stuck_ones_begin_anew() {
        let mut now = Clock::system().now();
        let config = ReconnectConfig { stuck_after: 7, ..ReconnectConfig::default() };
        let mut life = Lifecycle::new(config, false, now);
        let mut waits = Vec::new();
        let mut stuck = Vec::new();
        for _ in 0..8 {
            now = life.next_attempt();
            life.begin(now);
            let failed = life.failed(now, ErrorKind::Disconnected, 1.0);
            waits.push((life.next_attempt() - now).as_millis());
            stuck.push(failed.stuck);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3000, 100, 200]);
        assert_eq!(stuck.iter().position(|stuck| *stuck), Some(6));
        let status = life.status();
        assert_eq!((status.attempts, status.attempts_total, status.stuck_resets_total), (8, 8, 1));
        assert_eq!(life.succeeded(), 9);
        let status = life.status();
        assert_eq!(status.reconnects_total, 0, "the first connection is no reconnection");
        assert_eq!((status.connects_total, status.failures_total), (1, 8));
    }

    #[test]
    fn no_progress_for_long_is_stuck_too() {
        let now = Clock::system().now();
        let mut life = Lifecycle::new(ReconnectConfig::default(), false, now);
        life.begin(now);
        let later = now + Duration::from_secs(61);
        assert!(life.failed(later, ErrorKind::Timeout, 0.0).stuck);
        assert!(!life.failed(later + Duration::from_secs(1), ErrorKind::Timeout, 0.0).stuck);
    }

    #[test]
    fn a_connection_that_is_lost_at_once_is_not_regained_at_once() {
        let mut now = Clock::system().now();
        let mut life = Lifecycle::new(ReconnectConfig::default(), false, now);
        life.begin(now);
        life.succeeded();
        life.lost(now, 0.0);
        assert!(life.next_attempt() > now);
        now = life.next_attempt();
        life.begin(now);
        life.succeeded();
        life.proved();
        let lost = now + Duration::from_secs(1);
        life.lost(lost, 0.0);
        assert_eq!(life.next_attempt(), lost);
    }

    #[test]
    fn refused_credentials_are_tried_ever_less_often_but_at_least_once_a_minute() {
        let now = Clock::system().now();
        let mut life = Lifecycle::new(ReconnectConfig::default(), false, now);
        assert_eq!(life.failed(now, ErrorKind::Forbidden, 0.0).isolate, None);
        assert_eq!(life.failed(now, ErrorKind::Forbidden, 0.0).isolate, None);
        for seconds in [5, 10, 20, 40, 60, 60] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(life.failed(now, ErrorKind::Forbidden, 0.0).isolate, Some(wait));
            assert_eq!(life.next_attempt() - now, wait);
        }
        life.hurry(now);
        assert_eq!(life.next_attempt(), now);
        assert_eq!(life.failed(now, ErrorKind::Disconnected, 0.0).isolate, None);
    }

    proptest! {
        /// Whatever happens, attempts are at least a tenth of a second and, with credentials accepted, at most the
        /// longest wait apart.
        #[test]
        fn attempts_neither_crowd_nor_cease(steps in prop::collection::vec((0u8..4, 0.0f64..1.0), 1..200)) {
            let mut now = Clock::system().now();
            let config = ReconnectConfig::default();
            let mut life = Lifecycle::new(config.clone(), false, now);
            let mut last: Option<Instant> = None;
            for (step, unit) in steps {
                let due = life.next_attempt();
                prop_assert!(due.saturating_duration_since(now) <= config.max);
                now = now.max(due);
                if let Some(last) = last {
                    prop_assert!(now - last >= SPACING);
                }
                last = Some(now);
                life.begin(now);
                match step {
                    0 => { life.succeeded(); life.lost(now, unit); }
                    1 => { life.succeeded(); life.proved(); life.lost(now, unit); }
                    _ => { life.failed(now, ErrorKind::Disconnected, unit); }
                }
            }
        }
    }
}
