//! The course of one backend: in service, out of it, on its way back. Pure: the time is an argument.
//! It must not know who publishes the events, nor who counts.

use std::time::Duration;

use crate::event::EventKind;

/// What an event of a backend meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// It served, and does not any more.
    Left,
    /// An outage that was seen to begin has ended.
    Back {
        /// How long it did not serve.
        outage: Duration,
        /// The part of it from the first sign of life on: a connection, a trial call.
        recovery: Duration,
    },
}

/// Whether it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Full,
    /// Trial calls pass.
    Tried,
    Out,
    /// A person has taken it aside: no outage.
    Aside,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    began_ms: i64,
    sign_ms: Option<i64>,
}

/// One backend, as its events tell. Nothing is known before the first: a process begins without connections, and that is
/// no outage.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    down: bool,
    breaker: &'static str,
    forced: bool,
    drained: bool,
    /// Whether it has served since it last left.
    served: bool,
    outage: Option<Outage>,
}

impl Default for Course {
    fn default() -> Self {
        let (down, forced, drained, served) = (false, false, false, false);
        Self { down, breaker: "closed", forced, drained, served, outage: None }
    }
}

impl Course {
    /// A backend that serves from the beginning: it needs no connection.
    pub(crate) fn serving() -> Self {
        Self { served: true, ..Self::default() }
    }

    /// Takes an event of this backend; `forced`: an operator's command led to it.
    pub(crate) fn on(&mut self, kind: &EventKind, forced: bool, at_ms: i64) -> Option<Moved> {
        match *kind {
            EventKind::Health { to, .. } => self.down = to == "down",
            EventKind::Breaker { to, .. } => {
                self.breaker = to;
                self.forced = forced && to == "isolated";
                match to {
                    "half_open" => self.sign(at_ms),
                    "open" => self.no_sign(),
                    _ => {}
                }
            }
            EventKind::Drain { drained } => self.drained = drained,
            EventKind::Connection { connected: true, .. } => self.sign(at_ms),
            EventKind::Connection { connected: false, .. } => self.no_sign(),
            _ => return None,
        }
        let changes = !matches!(kind, EventKind::Connection { .. });
        if changes { self.judge(at_ms) } else { None }
    }

    fn judge(&mut self, at_ms: i64) -> Option<Moved> {
        match self.service() {
            Service::Aside => {
                (self.served, self.outage) = (false, None);
                None
            }
            Service::Tried => None,
            Service::Out => {
                let left = std::mem::take(&mut self.served);
                if left {
                    self.outage = Some(Outage { began_ms: at_ms, sign_ms: None });
                }
                left.then_some(Moved::Left)
            }
            Service::Full => {
                self.served = true;
                let Outage { began_ms, sign_ms } = self.outage.take()?;
                let outage = between(began_ms, at_ms);
                // Without a sign in between all of it was recovery.
                let recovery = between(sign_ms.unwrap_or(began_ms), at_ms);
                Some(Moved::Back { outage, recovery })
            }
        }
    }

    fn service(&self) -> Service {
        match self.breaker {
            _ if self.drained || self.forced => Service::Aside,
            _ if self.down => Service::Out,
            "open" | "isolated" => Service::Out,
            "half_open" => Service::Tried,
            _ => Service::Full,
        }
    }

    fn sign(&mut self, at_ms: i64) {
        if let Some(outage) = &mut self.outage {
            outage.sign_ms.get_or_insert(at_ms);
        }
    }

    fn no_sign(&mut self) {
        if let Some(outage) = &mut self.outage {
            outage.sign_ms = None;
        }
    }
}

fn between(from_ms: i64, to_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn health(to: &'static str) -> EventKind {
        EventKind::Health { from: "?", to }
    }

    fn breaker(to: &'static str) -> EventKind {
        EventKind::Breaker { from: "?", to }
    }

    fn connection(connected: bool) -> EventKind {
        EventKind::Connection { connected, attempt: 1 }
    }

    fn run(events: &[(i64, EventKind)]) -> Vec<(i64, Moved)> {
        let mut course = Course::default();
        let moved = |(at, kind): &(i64, EventKind)| Some((*at, course.on(kind, false, *at)?));
        events.iter().filter_map(moved).collect()
    }

    fn back(outage: u64, recovery: u64) -> Moved {
        let ms = Duration::from_millis;
        Moved::Back { outage: ms(outage), recovery: ms(recovery) }
    }

    #[test]
    fn a_start_without_a_connection_is_no_outage() {
        let events =
            [(0, connection(false)), (5, health("down")), (9, connection(true)), (9, health("up"))];
        assert_eq!(run(&events), []);
    }

    #[test]
    fn a_recovery_begins_with_the_last_first_sign_of_life() {
        let events = [
            (0, health("up")),
            (100, breaker("open")),
            (110, health("down")),
            (1000, connection(true)),
            (1100, connection(false)),
            (5000, connection(true)),
            (5200, breaker("half_open")),
            (5300, breaker("closed")),
            (5400, health("up")),
        ];
        assert_eq!(run(&events), [(100, Moved::Left), (5400, back(5300, 400))]);
        let unsigned = [(0, health("up")), (10, health("down")), (30, health("degraded"))];
        assert_eq!(run(&unsigned), [(10, Moved::Left), (30, back(20, 20))]);
    }

    #[test]
    fn trial_calls_that_fail_are_the_same_outage() {
        let events = [
            (0, breaker("closed")),
            (10, breaker("open")),
            (20, breaker("half_open")),
            (30, breaker("open")),
            (40, breaker("half_open")),
            (50, breaker("closed")),
        ];
        assert_eq!(run(&events), [(10, Moved::Left), (50, back(40, 10))]);
    }

    #[test]
    fn what_a_person_took_aside_is_no_outage() {
        let drained =
            [(0, health("up")), (1, EventKind::Drain { drained: true }), (2, health("down"))];
        assert_eq!(run(&drained), []);
        let mut course = Course::default();
        course.on(&health("up"), false, 0);
        assert_eq!(course.on(&breaker("isolated"), true, 5), None);
        assert_eq!(course.on(&breaker("half_open"), true, 6), None);
        assert_eq!(course.on(&breaker("closed"), false, 7), None);
        // Refused credentials isolate as well, and that is one.
        assert_eq!(course.on(&breaker("isolated"), false, 8), Some(Moved::Left));
        assert_eq!(course.on(&breaker("closed"), false, 9), Some(back(1, 1)));
    }

    proptest! {
        /// It leaves and comes back in turns, and a recovery is never longer than its outage.
        #[test]
        fn leaving_and_coming_back_take_turns(steps in prop::collection::vec((0u8..9, 0i64..1000, any::<bool>()), 0..300)) {
            let mut course = Course::default();
            let (mut at, mut out) = (0, false);
            for (step, later, forced) in steps {
                at += later;
                let kind = match step {
                    0 => health("up"),
                    1 => health("degraded"),
                    2 => health("down"),
                    3 => breaker("closed"),
                    4 => breaker("open"),
                    5 => breaker("half_open"),
                    6 => breaker("isolated"),
                    7 => EventKind::Drain { drained: forced },
                    _ => connection(forced),
                };
                match course.on(&kind, forced, at) {
                    Some(Moved::Left) => out = true,
                    Some(Moved::Back { outage, recovery }) => {
                        prop_assert!(out && recovery <= outage);
                        out = false;
                    }
                    None => {}
                }
            }
        }
    }
}
