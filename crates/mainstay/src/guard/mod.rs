//! All refusing: bulkhead, breaker permit, timeout, settling, in the one order that `call` spells out.
//! It must not know routes, plans or front doors, nor how a connection is made.

pub mod adaptive;
pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod bulkhead;
mod call;
pub mod classify;
mod core;
pub mod inflight;
pub mod latency;
pub mod permit;
pub mod trip;
mod wake;
pub mod window;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

pub use self::call::{call, call_unguarded};
use self::{
    adaptive::Adaptive,
    breaker::{Breaker, Ticket},
    bulkhead::Bulkhead,
    core::{After, Core, Ending},
    inflight::Slot,
    permit::Permit,
    trip::{Cause, Refused, Transition},
};
pub(crate) use self::{
    core::{Scores, Wants},
    wake::Wake,
};
use crate::{
    clock::{Clock, Instant},
    config::BackendConfig,
    entropy::Entropy,
    error::{Error, ErrorKind},
    event::{EventKind, Events},
    status::{BackendStatus, BreakerCommand, BreakerState, LastError},
};

/// An adaptive limit goes no lower.
const LIMIT_MIN: usize = 2;

/// How often the ticker looks while calls are in flight.
const TICK: Duration = Duration::from_millis(25);

/// The guard of one backend: one lock, held for short computations only and never across an await.
#[derive(Debug)]
pub struct Guard {
    name: Arc<str>,
    clock: Clock,
    entropy: Entropy,
    events: Events,
    timeout: Duration,
    core: Mutex<Core>,
    bulkhead: Bulkhead,
    /// Where the limit of the bulkhead follows the latency.
    adaptive: Option<Mutex<Adaptive>>,
    /// Wakes the calls in flight when the breaker opens on them.
    opened: Notify,
    /// Wakes the ticker with the first call in flight.
    busy: Notify,
    wake: Wake,
    /// Copies of what is under the lock, for views: whether the breaker is closed, and when a call is late.
    closed: AtomicBool,
    late_nanos: AtomicU64,
    /// How often writers were (or may have been) refused, and up to which of these the readmission hook has run.
    spoiled: AtomicU64,
    readmitted: AtomicU64,
    /// Whether there is a hook at all.
    readmits: AtomicBool,
}

impl Guard {
    /// A guard with a closed breaker.
    pub fn new(
        name: Arc<str>,
        config: &BackendConfig,
        clock: Clock,
        entropy: Entropy,
        events: Events,
    ) -> Self {
        let core = Core::new(config, clock.now(), entropy.unit());
        Self {
            timeout: config.timeout(),
            bulkhead: Bulkhead::new(config.inflight_max(), config.queue_max, config.queue_wait),
            adaptive: config
                .adaptive_limit
                .then(|| Mutex::new(Adaptive::new(LIMIT_MIN, config.inflight_max()))),
            late_nanos: AtomicU64::new(nanos(core.late())),
            core: Mutex::new(core),
            opened: Notify::new(),
            busy: Notify::new(),
            wake: Wake::default(),
            closed: AtomicBool::new(true),
            spoiled: AtomicU64::new(0),
            readmitted: AtomicU64::new(0),
            readmits: AtomicBool::new(false),
            name,
            clock,
            entropy,
            events,
        }
    }

    /// When a call is later than 99 % of those of late, between the hedge's `after_min` and `patience`.
    pub fn late(&self) -> Duration {
        Duration::from_nanos(self.late_nanos.load(Ordering::Relaxed))
    }

    /// Takes one retry or hedge out of the budget, if there is one.
    pub fn try_spend_budget(&self, now: Instant) -> bool {
        self.lock().budget.try_spend(now)
    }

    /// The bulkhead.
    pub fn bulkhead(&self) -> &Bulkhead {
        &self.bulkhead
    }

    /// An operator's command to the breaker.
    pub fn force(&self, command: BreakerCommand, reason: &str) {
        let now = self.clock.now();
        self.transit(|core| core.breaker.force(command, reason, now, core.unit));
        self.wake.want(Wants::RETRY);
    }

    /// Why the breaker would refuse a call now.
    pub(crate) fn refused(&self, now: Instant) -> Option<Refused> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        self.lock().breaker.refusal(now)
    }

    /// The error for a refused call, with the last failure's text.
    pub(crate) fn refusal(&self, refused: &Refused) -> Error {
        let what = match refused.kind {
            ErrorKind::BreakerOpen => "breaker open",
            _ => "isolated",
        };
        let text = self.with_last_failure(format!("{what}: {}", refused.cause));
        let error = Error::new(refused.kind, text).at(&self.name);
        match refused.retry_in {
            Some(time) => error.retry_after(time),
            None => error,
        }
    }

    /// `text, last "..."`.
    pub(crate) fn with_last_failure(&self, text: String) -> String {
        match &self.lock().last_failure {
            Some(last) => format!("{text}, last \"{}\"", last.message),
            None => text,
        }
    }

    /// Notes an error of a probe or a connection attempt, for people.
    pub(crate) fn note_failure(&self, error: &Error) {
        let now = self.clock.now();
        self.lock().note_failure(error, now);
    }

    /// Whether one more good probe would close the breaker.
    pub(crate) fn would_close_on_probe(&self, now: Instant) -> bool {
        self.lock().breaker.would_close_on_probe(now)
    }

    pub(crate) fn on_probe_success(&self) {
        let now = self.clock.now();
        self.transit(|core| core.breaker.on_probe_success(now));
    }

    pub(crate) fn on_probe_failure(&self) {
        self.lock().breaker.on_probe_failure();
    }

    /// Health says down.
    pub(crate) fn hold(&self) {
        let now = self.clock.now();
        self.transit(|core| core.breaker.hold(now, core.unit));
    }

    /// Health says that it serves again.
    pub(crate) fn release(&self) {
        let now = self.clock.now();
        self.transit(|core| {
            core.forget_scores();
            core.breaker.release(now)
        });
    }

    /// New connections are refused the credentials; the next attempt comes after this time.
    pub(crate) fn isolate(&self, time: Duration) {
        let now = self.clock.now();
        self.transit(|core| core.breaker.isolate(now, Cause::Forbidden, time));
    }

    pub(crate) fn scores(&self, now: Instant) -> Scores {
        self.lock().scores(now)
    }

    pub(crate) fn wake(&self) -> &Wake {
        &self.wake
    }

    /// Whether copies may be served, see `NodeView::readable`.
    pub(crate) fn is_readable(&self) -> bool {
        self.readmitted.load(Ordering::Acquire) == self.spoiled.load(Ordering::Acquire)
    }

    /// There is a hook: from now on a refusal makes the copies unreadable until it has run.
    pub(crate) fn set_readmits(&self) {
        self.readmits.store(true, Ordering::Release);
        self.spoil();
    }

    /// Writers may have been refused.
    pub(crate) fn spoil(&self) {
        if self.readmits.load(Ordering::Acquire) {
            self.spoiled.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// What the hook, begun now, will have dealt with.
    pub(crate) fn spoiled(&self) -> u64 {
        self.spoiled.load(Ordering::Acquire)
    }

    /// The hook that began at `spoiled` has succeeded. A refusal since then needs another run.
    pub(crate) fn set_readmitted(&self, spoiled: u64) {
        self.readmitted.store(spoiled, Ordering::Release);
    }

    /// Looks at the clock while calls are in flight, so that a hang is found before it times out. Never ends.
    pub(crate) async fn watch_inflight(&self) {
        loop {
            self.busy.notified().await;
            loop {
                tokio::time::sleep(TICK).await;
                let now = self.clock.now();
                if !self.change(|core| core.tick(now)) {
                    break;
                }
            }
        }
    }

    /// Fills in what the guard knows.
    pub(crate) fn fill_status(&self, status: &mut BackendStatus, now: Instant) {
        let mut core = self.lock();
        status.breaker = core.breaker.status(now);
        status.calls = core.counts.clone();
        status.calls.shed = self.bulkhead.shed();
        status.last_error = core.last_failure.as_ref().map(|last| LastError {
            kind: last.kind.as_str(),
            message: last.message.clone(),
            age: now.saturating_duration_since(last.at),
        });
        status.latency_p50 = core.latency.quantile(now, 0.5);
        status.latency_p99 = core.latency.quantile(now, 0.99);
        status.latency = core.latency.snapshot();
        drop(core);
        status.inflight = self.bulkhead.inflight() as u64;
        status.inflight_max = self.bulkhead.limit() as u64;
        status.queued = self.bulkhead.queued() as u64;
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn begin(&self, now: Instant) -> Result<Permit<'_>, Error> {
        match self.change(|core| core.begin(now)) {
            Ok((ticket, slot)) => Ok(Permit::new(self, ticket, slot, now)),
            Err(refused) => {
                self.spoil();
                Err(self.refusal(&refused))
            }
        }
    }

    fn settle(
        &self,
        ticket: Ticket,
        slot: Slot,
        ending: &Ending<'_>,
        took: Duration,
        now: Instant,
    ) {
        self.change(|core| ((), core.settle(ticket, slot, ending, took, now)));
        if let Some(adaptive) = &self.adaptive {
            let inflight = self.bulkhead.inflight();
            let mut adaptive = adaptive.lock().unwrap_or_else(PoisonError::into_inner);
            self.bulkhead.set_limit(adaptive.note(ending.verdict, took, inflight, now));
        }
    }

    fn transit(&self, change: impl FnOnce(&mut Core) -> Option<Transition>) {
        self.change(|core| {
            let transition = change(core);
            ((), After { transition, ..After::default() })
        });
    }

    /// One change under the lock; what follows from it happens after the unlock, except for what views read.
    fn change<T>(&self, change: impl FnOnce(&mut Core) -> (T, After)) -> T {
        let mut core = self.lock();
        let (answer, after) = change(&mut core);
        let late = nanos(core.late());
        // Written seldom: views read this line with each operation.
        if self.late_nanos.load(Ordering::Relaxed) != late {
            self.late_nanos.store(late, Ordering::Relaxed);
        }
        if after.transition.is_some() {
            core.unit = self.entropy.unit();
            self.mirror(&core.breaker);
        }
        drop(core);
        self.finish(after);
        answer
    }

    fn mirror(&self, breaker: &Breaker) {
        let closed = breaker.state() == BreakerState::Closed;
        if !closed {
            self.spoil();
        }
        self.closed.store(closed, Ordering::Release);
    }

    fn finish(&self, after: After) {
        if after.busy {
            self.busy.notify_one();
        }
        self.wake.want(after.wants);
        let Some(transition) = after.transition else { return };
        if transition.cuts {
            self.opened.notify_waiters();
        }
        if transition.to != BreakerState::Closed {
            self.wake.want(Wants::PROBE);
        }
        let (from, to) = (transition.from.as_str(), transition.to.as_str());
        let reason = match transition.to {
            BreakerState::Open => self.with_last_failure(transition.cause.to_string()),
            BreakerState::Closed | BreakerState::HalfOpen | BreakerState::Isolated => {
                transition.cause.to_string()
            }
        };
        self.events.publish(Some(&self.name), EventKind::Breaker { from, to }, reason);
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
