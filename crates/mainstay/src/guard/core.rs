//! The state behind the guard's one lock: breaker, latencies, budget, counts.
//! It must not know IO, the clock or the lock; what is left to do afterwards is returned.

use std::{collections::BTreeMap, task::Waker, time::Duration};

use super::{
    breaker::{Breaker, Ticket},
    budget::Budget,
    classify::{self, Reaction, Verdict},
    inflight::{Alarms, Due},
    latency::{Ewma, Latency},
    permit::InFlight,
    requests::Requests,
    shards::{All, Ended, Known},
    trip::{Refused, Transition},
};
use crate::{
    clock::Instant,
    config::{BackendConfig, HedgeConfig},
    error::{Error, ErrorKind},
    event::Actor,
    status::{BreakerState, CallCounts},
};

/// Timeouts in a row after which the connection is dropped.
const TIMEOUTS_MAX: u32 = 3;
/// How often what is usual is computed anew.
const REFRESH: Duration = Duration::from_millis(250);
/// How often the ticker looks while calls are in flight.
const TICK: Duration = Duration::from_millis(25);
/// Until so many calls have succeeded, what is usual is computed with each of them.
const FEW: u64 = 20;
/// Half-life of the passive scores.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// What the supervisor is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Look now instead of at the next interval.
    pub(crate) probe: bool,
    /// Give up the connection and build a new one.
    pub(crate) reconnect: bool,
    /// Try at once, whatever the backoff says: a person has acted.
    pub(crate) retry: bool,
}

impl Wants {
    pub(crate) const PROBE: Self = Self { probe: true, reconnect: false, retry: false };
    pub(crate) const RECONNECT: Self = Self { probe: false, reconnect: true, retry: false };
    pub(crate) const RETRY: Self = Self { probe: true, reconnect: false, retry: true };
}

/// What is left to do when the lock has been given back.
#[derive(Debug, Default)]
pub(super) struct After {
    pub(super) transition: Option<Transition>,
    pub(super) wants: Wants,
    /// Who has to look at its call now.
    pub(super) wakes: Vec<Waker>,
    /// The ticker has to look earlier than it would.
    pub(super) busy: bool,
    /// Whose command it was.
    pub(super) actor: Actor,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Ending<'a> {
    pub(super) verdict: Verdict,
    pub(super) error: Option<&'a Error>,
    /// The time of one attempt passed without an answer.
    pub(super) timed_out: bool,
}

impl Ending<'_> {
    pub(super) const SUCCESS: Self =
        Self { verdict: Verdict::Success, error: None, timed_out: false };
}

#[derive(Clone, Debug)]
pub(super) struct LastFailure {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    pub(super) at: Instant,
}

/// Passive scores, from the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    /// Share of failures of late; `None` when there were too few calls.
    pub(crate) error_rate: Option<f64>,
    /// Mean latency of late.
    pub(crate) latency: Option<Duration>,
    /// What counts as slow.
    pub(crate) slow_over: Duration,
    /// Whether the breaker is closed.
    pub(crate) closed: bool,
    /// Whether it is open or half-open by its own judgement, so that probes may close it.
    pub(crate) settling: bool,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) breaker: Breaker,
    pub(super) latency: Latency,
    pub(super) budget: Budget,
    pub(super) counts: CallCounts,
    pub(super) requests: Requests,
    /// Changes of the breaker, by the states and the cause.
    pub(super) transitions: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    /// Who gave the last command to the breaker.
    pub(super) forced_by: Option<Actor>,
    pub(super) last_failure: Option<LastFailure>,
    /// Drawn after each transition, for the next.
    pub(super) unit: f64,
    hedge: HedgeConfig,
    errors: Ewma,
    seconds: Ewma,
    timeouts: u32,
    late: Duration,
    refreshed: Option<Instant>,
    /// When the ticker looks next; `None`: it rests.
    pub(super) looks: Option<Instant>,
}

/// When the ticker has to look for a call that begins now.
pub(super) fn look_for(alarms: Alarms, now: Instant) -> Instant {
    alarms.first().map_or(now + TICK, |first| first.min(now + TICK))
}

impl Core {
    pub(super) fn new(config: &BackendConfig, now: Instant, unit: f64) -> Self {
        Self {
            breaker: Breaker::new(config.breaker(), now),
            latency: Latency::default(),
            budget: Budget::new(&config.retry),
            counts: CallCounts::default(),
            requests: Requests::default(),
            transitions: BTreeMap::new(),
            forced_by: None,
            last_failure: None,
            unit,
            hedge: config.hedge.clone(),
            errors: Ewma::new(HALF_LIFE),
            seconds: Ewma::new(HALF_LIFE),
            timeouts: 0,
            late: config.hedge.patience,
            refreshed: None,
            looks: None,
        }
    }

    /// Takes over settings.
    pub(super) fn reconfigure(&mut self, config: &BackendConfig, now: Instant) {
        self.breaker.reconfigure(config.breaker(), now);
        self.budget.reconfigure(&config.retry);
        self.hedge = config.hedge.clone();
        self.refreshed = None;
        self.refresh(now);
    }

    /// Begins a call for which the ticker has to look at `look`, or refuses it.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        look: Instant,
    ) -> (Result<Ticket, Refused>, After) {
        self.budget.note_requests(1);
        let transition = self.breaker.advance(now, self.unit);
        let mut after = After { transition, ..After::default() };
        let ticket = match self.breaker.acquire(now) {
            Ok(ticket) => ticket,
            Err(refused) => {
                self.counts.refused += 1;
                return (Err(refused), after);
            }
        };
        after.busy = self.looks.is_none_or(|at| look < at);
        if after.busy {
            self.looks = Some(look);
        }
        (Ok(ticket), after)
    }

    /// A call has ended quickly and well, a moment ago.
    pub(super) fn note_ended(&mut self, ended: Ended) {
        let Ended { ticket, op, took, at } = ended;
        self.requests.record(op, Verdict::Success, took);
        self.timeouts = 0;
        self.count(&Ending::SUCCESS, took, at);
        self.breaker.note_success(ticket, took, at);
    }

    /// What those know who go without the lock. None does while what is usual is computed with each call.
    pub(super) fn known(&self) -> Known {
        Known {
            pass: self.breaker.pass().filter(|_| self.counts.success > FEW),
            slow_over: self.breaker.slow_over(),
            looks: self.looks,
        }
    }

    /// Ends a call.
    pub(super) fn settle(
        &mut self,
        call: InFlight,
        ending: &Ending<'_>,
        took: Duration,
        now: Instant,
    ) -> After {
        self.requests.record(call.op, ending.verdict, took);
        let wants = self.react(ending);
        self.count(ending, took, now);
        let transition = self.breaker.settle(call.ticket, ending.verdict, took, now, self.unit);
        After { transition, wants, ..After::default() }
    }

    /// The ticker looks when the forced state is over, also where no call comes. Whether that is earlier than it would.
    pub(super) fn look_at_the_end_of_force(&mut self, now: Instant) -> bool {
        let Some(left) = self.breaker.forced_for(now) else { return false };
        let earlier = self.looks.is_none_or(|at| now + left < at);
        if earlier {
            self.looks = Some(now + left);
        }
        earlier
    }

    /// Looks at the clock for the calls in flight; when there are none, the ticker may rest. Also: whether the time of one
    /// of those who are woken is over.
    pub(super) fn tick(&mut self, now: Instant, inflight: &mut All<'_>) -> (After, bool) {
        if inflight.count() == 0 {
            // A forced state ends by itself, also where no call comes.
            let left = self.breaker.forced_for(now);
            self.looks = left.filter(|left| !left.is_zero()).map(|left| now + left);
            let ends = left.is_some_and(|left| left.is_zero());
            let transition = if ends { self.breaker.advance(now, self.unit) } else { None };
            return (After { transition, ..After::default() }, false);
        }
        let mut transition = self.breaker.advance(now, self.unit);
        if transition.is_none() {
            let (age, epoch) = (self.breaker.slow_over(), self.breaker.epoch());
            let overdue = inflight.overdue(now, age, epoch);
            transition = self.breaker.look_at_inflight(overdue, now, self.unit);
        }
        let Due { wakes, over, next } = inflight.due(now);
        self.looks = Some(next.map_or(now + TICK, |next| next.min(now + TICK)));
        (After { transition, wakes, ..After::default() }, over)
    }

    /// Notes an error that is worth showing.
    pub(super) fn note_failure(&mut self, error: &Error, now: Instant) {
        let message = error.message().to_owned();
        self.last_failure = Some(LastFailure { kind: error.kind(), message, at: now });
    }

    /// When a call of late would be later than nearly all: the hedge's moment.
    pub(super) fn late(&self) -> Duration {
        self.late
    }

    pub(super) fn scores(&mut self, now: Instant) -> Scores {
        let weight_min = 5.0;
        let state = self.breaker.state();
        Scores {
            error_rate: self.errors.mean(now, weight_min),
            latency: self.seconds.mean(now, weight_min).map(Duration::from_secs_f64),
            slow_over: self.breaker.slow_over(),
            closed: state == BreakerState::Closed,
            settling: matches!(state, BreakerState::Open | BreakerState::HalfOpen),
        }
    }

    /// The scores of the time before an outage say nothing about the time after it.
    pub(super) fn forget_scores(&mut self) {
        self.errors.clear();
        self.seconds.clear();
        self.timeouts = 0;
    }

    fn react(&mut self, ending: &Ending<'_>) -> Wants {
        if ending.timed_out {
            self.timeouts += 1;
            if self.timeouts >= TIMEOUTS_MAX {
                self.timeouts = 0;
                return Wants::RECONNECT;
            }
            return Wants::default();
        }
        if ending.verdict != Verdict::Abandoned {
            self.timeouts = 0;
        }
        match ending.error.map(|error| classify::reaction(error.kind())) {
            None | Some(Reaction::Nothing) => Wants::default(),
            Some(Reaction::Probe) => Wants::PROBE,
            Some(Reaction::Reconnect) => Wants::RECONNECT,
        }
    }

    fn count(&mut self, ending: &Ending<'_>, took: Duration, now: Instant) {
        let failed = match ending.verdict {
            Verdict::Success => {
                self.counts.success += 1;
                false
            }
            Verdict::Failure
            | Verdict::Overload
            | Verdict::Refused
            | Verdict::Forbidden
            | Verdict::Corrupt => {
                self.counts.failure += 1;
                if let Some(error) = ending.error {
                    self.note_failure(error, now);
                }
                true
            }
            Verdict::Abandoned => {
                self.counts.abandoned += 1;
                return;
            }
        };
        self.counts.slow += u64::from(took >= self.breaker.slow_over());
        self.errors.record(now, f64::from(u8::from(failed)));
        if !failed {
            self.latency.record(now, took);
            self.seconds.record(now, took.as_secs_f64());
            self.refresh(now);
        }
    }

    /// Computes what is usual, now and then; with every call while there are few.
    fn refresh(&mut self, now: Instant) {
        let due = self.refreshed.is_none_or(|at| now.saturating_duration_since(at) >= REFRESH);
        if !due && self.counts.success > FEW {
            return;
        }
        self.refreshed = Some(now);
        let p99 = self.latency.quantile(now, 0.99).unwrap_or(self.hedge.patience);
        self.late = p99.max(self.hedge.after_min).min(self.hedge.patience);
        self.breaker.set_pace(self.latency.usual(now, 0.95), self.late);
    }
}
