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
mod gate;
pub mod inflight;
pub mod inject;
pub mod latency;
mod passage;
pub mod permit;
mod report;
mod requests;
mod shards;
mod ticker;
pub mod trip;
mod wake;
pub mod window;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use tokio::sync::Notify;

pub(crate) use self::call::call_until_late;
pub use self::call::{call, call_unguarded};
use self::{
    adaptive::Adaptive,
    breaker::Breaker,
    bulkhead::Bulkhead,
    core::{After, Core},
    inject::{FaultKind, Injected, Place},
    report::Report,
    shards::Shards,
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
    event::{Actor, Events},
    live::{LiveDuration, LiveFlag},
    status::{BreakerCommand, BreakerState},
};

/// An adaptive limit goes no lower.
const LIMIT_MIN: usize = 2;

/// The guard of one backend: one lock, held for short computations only and never across an await. Calls that begin and
/// end well go without it, see `shards`.
#[derive(Debug)]
pub struct Guard {
    name: Arc<str>,
    clock: Clock,
    entropy: Entropy,
    events: Events,
    timeout: LiveDuration,
    core: Mutex<Core>,
    shards: Shards,
    bulkhead: Bulkhead,
    /// Whether the limit of the bulkhead follows the latency, and how.
    adapts: LiveFlag,
    adaptive: Mutex<Adaptive>,
    /// How often the breaker has opened on calls in flight.
    cuts: AtomicU64,
    /// Whether somebody looks at the clock for the calls in flight.
    watched: AtomicBool,
    /// How often a look at the clock has found that the time of calls in flight is over.
    overs: AtomicU64,
    /// Wakes the ticker with the first call in flight, and with one that is late sooner than it would look.
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
    /// The fault that a drill has injected.
    injected: Place,
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
        let now = clock.now();
        let core = Core::new(config, now, entropy.unit());
        Self {
            timeout: LiveDuration::new(config.timeout()),
            bulkhead: Bulkhead::new(config.inflight_max(), config.queue_max, config.queue_wait),
            adapts: LiveFlag::new(config.adaptive_limit),
            adaptive: Mutex::new(Adaptive::new(LIMIT_MIN, config.inflight_max())),
            late_nanos: AtomicU64::new(nanos(core.late())),
            core: Mutex::new(core),
            shards: Shards::new(now),
            cuts: AtomicU64::new(0),
            overs: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            busy: Notify::new(),
            wake: Wake::default(),
            closed: AtomicBool::new(true),
            spoiled: AtomicU64::new(0),
            readmitted: AtomicU64::new(0),
            readmits: AtomicBool::new(false),
            injected: Place::default(),
            name,
            clock,
            entropy,
            events,
        }
    }

    /// Takes over settings; calls in flight go on under those that they began with. What the breaker has counted stays,
    /// unless its window is another.
    pub(crate) fn reconfigure(&self, config: &BackendConfig) {
        let now = self.clock.now();
        self.timeout.set(config.timeout());
        self.change(|core| {
            core.reconfigure(config, now);
            ((), After::default())
        });
        // Under the lock: a call that ends meanwhile would put the limit of before in the place of this one.
        let mut adaptive = self.adaptive.lock().unwrap_or_else(PoisonError::into_inner);
        *adaptive = Adaptive::new(LIMIT_MIN, config.inflight_max());
        self.adapts.set(config.adaptive_limit);
        self.bulkhead.reconfigure(config.inflight_max(), config.queue_max, config.queue_wait);
    }

    /// Time for one attempt.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.get()
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
    pub fn force(&self, command: BreakerCommand, reason: &str, actor: &Actor) {
        let now = self.clock.now();
        self.change(|core| {
            let transition = core.breaker.force(command, reason, now, core.unit);
            core.forced_by = Some(actor.clone());
            let busy = core.look_at_the_end_of_force(now);
            ((), After { transition, busy, actor: actor.clone(), ..After::default() })
        });
        self.wake.want(Wants::RETRY);
    }

    /// Why the breaker would refuse a call now.
    pub(crate) fn refused(&self, now: Instant) -> Option<Refused> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        self.peek().breaker.refusal(now)
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
        match &self.peek().last_failure {
            Some(last) => format!("{text}, last \"{}\"", last.message),
            None => text,
        }
    }

    /// Notes an error of a probe or a connection attempt, for people.
    pub(crate) fn note_failure(&self, error: &Error) {
        let now = self.clock.now();
        self.peek().note_failure(error, now);
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

    fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The fault in force.
    pub(crate) fn injected(&self, now: Instant) -> Option<Arc<Injected>> {
        self.injected.get(now)
    }

    pub(crate) fn inject(&self, injected: Arc<Injected>) {
        self.injected.put(injected);
    }

    /// False: it was lifted before.
    pub(crate) fn lift(&self, injected: &Arc<Injected>) -> bool {
        self.injected.take(injected)
    }

    /// What a drill makes of a probe, an attempt to connect, or a call that passes the breaker by.
    pub(crate) fn injected_on_probe(&self) -> Option<FaultKind> {
        self.injected.on_probe(self.clock.now())
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
        // Before a cut is counted: whoever has seen it must not pass any more.
        self.show(&core);
        let After { transition, wants, mut wakes, busy, actor } = after;
        let report = transition.map(|transition| {
            core.unit = self.entropy.unit();
            self.mirror(&core.breaker);
            if transition.cuts {
                self.cuts.fetch_add(1, Ordering::Release);
                wakes.extend(self.shards.wakers());
            }
            core.report(transition, actor, self.clock.now())
        });
        drop(core);
        if busy {
            self.busy.notify_one();
        }
        wakes.into_iter().for_each(Waker::wake);
        self.wake.want(wants);
        if let Some(report) = report {
            self.finish(report);
        }
        answer
    }

    fn mirror(&self, breaker: &Breaker) {
        let closed = breaker.state() == BreakerState::Closed;
        if !closed {
            self.spoil();
        }
        self.closed.store(closed, Ordering::Release);
    }

    fn finish(&self, report: Report) {
        if report.transition.to != BreakerState::Closed {
            self.wake.want(Wants::PROBE);
        }
        self.publish(report);
    }

    /// Shows what is under the lock to those who go without it.
    fn show(&self, core: &Core) {
        let late = nanos(core.late());
        // Written seldom: views read this line with each operation.
        if self.late_nanos.load(Ordering::Relaxed) != late {
            self.late_nanos.store(late, Ordering::Relaxed);
        }
        self.shards.show(core.known());
    }

    /// The core, which has heard of every call that has ended.
    fn lock(&self) -> MutexGuard<'_, Core> {
        let mut core = self.peek();
        let begun = self.shards.take(|ended| core.note_ended(ended));
        core.budget.note_requests(begun);
        self.show(&core);
        core
    }

    /// The core as it is, for what no call that ended well can have changed.
    fn peek(&self) -> MutexGuard<'_, Core> {
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
