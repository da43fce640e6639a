//! A backend at run time: with its guard, its health and its place in the configuration.
//! It must not know routes, plans, caches or other nodes.

mod inject;
mod report;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};

use crate::{
    backend::{Backend, Capabilities, Scope},
    clock::{Clock, Instant},
    config::{BackendConfig, HealthConfig, HedgeConfig, RetryConfig},
    entropy::Entropy,
    error::{Error, ErrorKind, Result},
    event::{Actor, Details, EventKind, Events},
    guard::{Guard, Wants},
    health::{self, lifecycle::Lifecycle, state::HealthState},
    live::{Live, LiveDuration, LiveFlag},
    status::{Availability, BreakerCommand, Health, NodeView},
    task::Tasks,
    trace::Peer,
};

/// Makes a backend fit to serve again: finds out whose copies it holds, moves up what others took for it, discards
/// volatile writes. Answers how many keys it dealt with. It reaches the backend with `guard::call_unguarded`; it is repeated until it succeeds.
pub type Readmit = Arc<dyn Fn() -> BoxFuture<'static, Result<u64>> + Send + Sync>;

/// A configured engine with its guard and health.
pub struct Node {
    id: usize,
    name: Arc<str>,
    backend: Arc<dyn Backend>,
    capabilities: Capabilities,
    guard: Guard,
    clock: Clock,
    entropy: Entropy,
    events: Events,
    timing: Live<Timing>,
    hedge: Hedging,
    vitals: Mutex<Vitals>,
    /// A copy of the health under the lock, for views.
    health: AtomicU8,
    drained: AtomicBool,
    /// When it is put back by itself, while it is out of use for a time.
    drained_until: Mutex<Option<Instant>>,
    drain_changed: Notify,
    /// Whether it has ever served.
    served: AtomicBool,
    first_attempt: watch::Sender<bool>,
    peer: Peer,
    readmit: OnceLock<Readmit>,
}

/// What the supervisor and the road go by.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    pub(crate) health: HealthConfig,
    pub(crate) connect_timeout: Duration,
    retry: RetryConfig,
    ttl_max: Option<Duration>,
}

impl Timing {
    fn of(config: &BackendConfig) -> Self {
        Self {
            health: config.health.clone(),
            connect_timeout: config.connect_timeout,
            retry: config.retry.clone(),
            ttl_max: config.ttl_max,
        }
    }
}

/// How reads are hedged: each looks.
#[derive(Debug)]
struct Hedging {
    enabled: LiveFlag,
    after_min: LiveDuration,
    patience: LiveDuration,
}

impl Hedging {
    fn of(config: &HedgeConfig) -> Self {
        Self {
            enabled: LiveFlag::new(config.enabled),
            after_min: LiveDuration::new(config.after_min),
            patience: LiveDuration::new(config.patience),
        }
    }
}

/// What the supervisor knows.
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) health: HealthState,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What the last deep probe could not do.
    pub(crate) problem: Option<String>,
    /// When the next probe is due, while a connection stands.
    pub(crate) next_probe: Instant,
    pub(crate) probed: Option<Instant>,
    pub(crate) probes: u64,
}

impl Node {
    /// A node that has not been started. A backend of this process (memory) serves at once; any other is down until
    /// `start` has connected it.
    pub fn new(
        id: usize,
        name: impl Into<Arc<str>>,
        backend: Arc<dyn Backend>,
        config: &BackendConfig,
        clock: Clock,
        entropy: Entropy,
        events: Events,
    ) -> Self {
        let (name, capabilities, now) = (name.into(), backend.capabilities(), clock.now());
        let local = capabilities.scope == Scope::Process;
        let guard =
            Guard::new(Arc::clone(&name), config, clock.clone(), entropy.clone(), events.clone());
        let vitals = Vitals {
            health: HealthState::new(&config.health, local, now),
            lifecycle: Lifecycle::new(config.reconnect.clone(), local, now),
            facts: Vec::new(),
            problem: None,
            next_probe: now,
            probed: None,
            probes: 0,
        };
        Self {
            id,
            name,
            capabilities,
            guard,
            clock,
            entropy,
            events,
            timing: Live::new(Timing::of(config)),
            hedge: Hedging::of(&config.hedge),
            health: AtomicU8::new(code(vitals.health.health())),
            vitals: Mutex::new(vitals),
            drained: AtomicBool::new(false),
            drained_until: Mutex::new(None),
            drain_changed: Notify::new(),
            served: AtomicBool::new(local),
            first_attempt: watch::Sender::new(false),
            peer: Peer::of(backend.engine(), &config.url),
            readmit: OnceLock::new(),
            backend,
        }
    }

    /// Its index among the nodes of the storage.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Its configured name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whom its calls go to, for traces.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The engine behind it. Calls go through `guard::call`.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// What the engine can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Sets the hook that makes the node true again after an outage; once, before `start`. Until it has first
    /// succeeded, and from any refusal on until it has succeeded again, the view is not `readable`.
    pub fn set_readmit(&self, readmit: Readmit) {
        if self.readmit.set(readmit).is_ok() {
            self.guard.set_readmits();
        }
    }

    /// Starts the tasks that connect, probe, reconnect, watch calls in flight and purge.
    pub fn start(self: &Arc<Self>, tasks: &Tasks) {
        let node = Arc::clone(self);
        tasks.spawn(async move { node.guard.watch_inflight().await });
        if self.is_local() {
            tasks.spawn(health::keep_local(Arc::clone(self)));
        } else {
            tasks.spawn(health::supervise(Arc::clone(self)));
            tasks.spawn(health::keep_tidy(Arc::clone(self)));
        }
    }

    /// Ends when the first connection attempt has ended, well or not.
    pub async fn first_attempt(&self) {
        // The sender is ours: waiting cannot fail.
        let _ = self.first_attempt.subscribe().wait_for(|ended| *ended).await;
    }

    /// What routing needs to know. An unavailable node that has a readmission hook needs it after this: whoever asks
    /// will pass it by.
    pub fn view(&self, now: Instant) -> NodeView {
        let (availability, retry_in) = match self.refused(now) {
            None => (Availability::Available, None),
            Some((kind, retry_in)) => {
                self.guard.spoil();
                (Availability::Refuses(kind), retry_in)
            }
        };
        NodeView {
            id: self.id,
            availability,
            health: self.health(),
            readable: self.guard.is_readable(),
            retry_in,
        }
    }

    /// Why it takes no calls now, as an error, with the last failure's text.
    pub fn refusal(&self, now: Instant) -> Error {
        if let Err(error) = self.admit() {
            return error;
        }
        match self.guard.refused(now) {
            Some(refused) => self.with_hint(self.guard.refusal(&refused), now),
            None => Error::new(ErrorKind::BreakerOpen, "refused a moment ago").at(&self.name),
        }
    }

    /// How an operation is retried on this node.
    pub fn retry(&self) -> RetryConfig {
        self.timing.get().retry.clone()
    }

    /// How a read is hedged away from this node.
    pub fn hedge(&self) -> HedgeConfig {
        HedgeConfig {
            enabled: self.hedge.enabled.get(),
            after_min: self.hedge.after_min.get(),
            patience: self.hedge.patience.get(),
        }
    }

    /// Time for one attempt.
    pub fn timeout(&self) -> Duration {
        self.guard.timeout()
    }

    /// The longest life of a record there.
    pub fn ttl_max(&self) -> Option<Duration> {
        self.timing.get().ttl_max
    }

    /// When a read that has not been answered should also go to the next backend.
    pub fn hedge_after(&self) -> Duration {
        self.guard.late()
    }

    /// Takes one retry or hedge out of the budget, if there is one.
    pub fn try_spend_budget(&self, now: Instant) -> bool {
        self.guard.try_spend_budget(now)
    }

    /// What it holds is in doubt: its copies are not `readable` until the readmission hook has run. Nothing without a hook.
    pub fn spoil(&self) {
        self.guard.spoil();
        self.guard.wake().want(Wants::PROBE);
    }

    /// An operator's command to the breaker.
    pub fn force(&self, command: BreakerCommand, reason: &str, actor: &Actor) {
        self.guard.force(command, reason, actor);
    }

    /// Takes the node out of use for so long. What is returned puts it back then, unless somebody has done so before, or
    /// has said another time.
    pub(crate) fn drain_for(
        self: &Arc<Self>,
        time: Duration,
        reason: &str,
        actor: &Actor,
    ) -> impl Future<Output = ()> + Send + use<> {
        if self.is_drained() {
            // Said again, with another end.
            self.tell_of_drain(true, reason, actor);
        }
        self.drain(true, reason, actor);
        let until = self.clock.now() + time;
        *self.drained_until() = Some(until);
        let node = Arc::clone(self);
        async move {
            let changed = async {
                while *node.drained_until() == Some(until) {
                    node.drain_changed.notified().await;
                }
            };
            let over = tokio::time::timeout(time, changed).await.is_err();
            // A change in the same moment may not have been heard.
            if over && *node.drained_until() == Some(until) {
                node.drain(false, "its time out of use is over", &Actor::SYSTEM);
            }
        }
    }

    fn tell_of_drain(&self, drained: bool, reason: &str, actor: &Actor) {
        let details = Details { actor: actor.clone(), ..Details::default() };
        self.publish_with(EventKind::Drain { drained }, reason, details);
    }

    /// Takes the node out of use until it is put back, or puts it back.
    pub fn drain(&self, drained: bool, reason: &str, actor: &Actor) {
        *self.drained_until() = None;
        self.drain_changed.notify_waiters();
        if self.drained.swap(drained, Ordering::AcqRel) == drained {
            return;
        }
        self.guard.spoil();
        self.tell_of_drain(drained, reason, actor);
        self.guard.wake().want(Wants::RETRY);
    }

    fn drained_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.drained_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it is out of use yet; `None`: it is in use, or out of it until it is put back.
    pub(crate) fn drained_for(&self, now: Instant) -> Option<Duration> {
        let until = *self.drained_until();
        until.map(|until| until.saturating_duration_since(now))
    }

    /// Whether an operator took it out of use.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire)
    }

    /// Its health.
    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Acquire) {
            0 => Health::Up,
            1 => Health::Degraded,
            _ => Health::Down,
        }
    }

    /// Refuses what the breaker does not know of: drained, or never served.
    pub(crate) fn admit(&self) -> Result<()> {
        let out = |text: String| Error::new(ErrorKind::OutOfUse, text).at(&self.name);
        if self.is_drained() {
            self.guard.spoil();
            return Err(out("out of use: drained by an operator".to_owned()));
        }
        if self.served.load(Ordering::Acquire) {
            return Ok(());
        }
        self.guard.spoil();
        let error = out(self.guard.with_last_failure("not connected yet".to_owned()));
        Err(self.with_hint(error, self.clock.now()))
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn entropy(&self) -> &Entropy {
        &self.entropy
    }

    pub(crate) fn timing(&self) -> Arc<Timing> {
        self.timing.full()
    }

    /// Takes over settings; the connection, the breaker's state and the health stay as they are. `value_max`: the longest
    /// value in bytes.
    pub(crate) fn reconfigure(&self, config: &BackendConfig, value_max: usize) {
        self.backend.reconfigure(config, value_max);
        self.guard.reconfigure(config);
        self.timing.set(Timing::of(config));
        self.hedge.enabled.set(config.hedge.enabled);
        self.hedge.after_min.set(config.hedge.after_min);
        self.hedge.patience.set(config.hedge.patience);
        {
            let mut vitals = self.vitals();
            vitals.health.reconfigure(&config.health);
            vitals.lifecycle.reconfigure(config.reconnect.clone());
        }
        // A shorter interval counts from now on, not from the next probe on.
        self.guard.wake().want(Wants::PROBE);
    }

    pub(crate) fn vitals(&self) -> MutexGuard<'_, Vitals> {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn readmit(&self) -> Option<&Readmit> {
        self.readmit.get()
    }

    pub(crate) fn publish(&self, kind: EventKind, reason: impl Into<String>) {
        self.events.publish(Some(&self.name), kind, reason);
    }

    pub(crate) fn publish_with(
        &self,
        kind: EventKind,
        reason: impl Into<String>,
        details: Details,
    ) {
        self.events.publish_with(Some(&self.name), kind, reason, details);
    }

    /// The supervisor's verdict, for views.
    pub(crate) fn set_health(&self, health: Health) {
        self.health.store(code(health), Ordering::Release);
        if health != Health::Down {
            self.served.store(true, Ordering::Release);
        }
    }

    pub(crate) fn end_first_attempt(&self) {
        self.first_attempt.send_replace(true);
    }

    pub(crate) fn is_local(&self) -> bool {
        self.capabilities.scope == Scope::Process
    }

    pub(crate) fn refused(&self, now: Instant) -> Option<(ErrorKind, Option<Duration>)> {
        if self.is_drained() {
            return Some((ErrorKind::OutOfUse, None));
        }
        if !self.served.load(Ordering::Acquire) {
            return Some((ErrorKind::OutOfUse, self.next_look(now)));
        }
        let refused = self.guard.refused(now)?;
        Some((refused.kind, refused.retry_in.or_else(|| self.next_look(now))))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Node");
        shown.field("id", &self.id).field("name", &self.name).field("health", &self.health());
        shown.field("drained", &self.is_drained()).finish_non_exhaustive()
    }
}

fn code(health: Health) -> u8 {
    match health {
        Health::Up => 0,
        Health::Degraded => 1,
        Health::Down => 2,
    }
}
