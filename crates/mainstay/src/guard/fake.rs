//! A backend that does what a test says.
//! It must not know the guard or the supervisor.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;

use crate::{
    backend::{Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope},
    clock::{Clock, Deadline},
    config::BackendConfig,
    entropy::Entropy,
    error::{Effect, Error, ErrorKind, Result},
    event::{EventKind, Events},
    node::Node,
    op::Op,
    reply::Reply,
    task::Tasks,
};

/// What a part of the fake does.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// Answers at once.
    Serve,
    /// Answers after this long.
    Slow(Duration),
    /// Fails at once.
    Fail(ErrorKind, &'static str),
    /// Never answers.
    Hang,
}

/// The scripted backend. Each part has its mode; a mode holds from the next call on, and hanging calls stay hung.
#[derive(Debug)]
pub(crate) struct Fake {
    connect: Mutex<Mode>,
    execute: Mutex<Mode>,
    ping: Mutex<Mode>,
    write: Mutex<Mode>,
    scope: Scope,
    /// The next probe goes over a new connection.
    pub(crate) cut: AtomicBool,
    pub(crate) connects: AtomicU64,
    pub(crate) executes: AtomicU64,
    pub(crate) probes: AtomicU64,
    pub(crate) purges: AtomicU64,
    pub(crate) inflight: AtomicUsize,
}

struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    pub(crate) fn new(scope: Scope) -> Arc<Self> {
        let serve = || Mutex::new(Mode::Serve);
        let none = || AtomicU64::new(0);
        Arc::new(Self {
            connect: serve(),
            execute: serve(),
            ping: serve(),
            write: serve(),
            scope,
            cut: AtomicBool::new(false),
            connects: none(),
            executes: none(),
            probes: none(),
            purges: none(),
            inflight: AtomicUsize::new(0),
        })
    }

    /// Everything.
    pub(crate) fn set(&self, mode: &Mode) {
        for part in [&self.connect, &self.execute, &self.ping, &self.write] {
            *part.lock().expect("no panic inside") = mode.clone();
        }
    }

    pub(crate) fn set_connect(&self, mode: Mode) {
        *self.connect.lock().expect("no panic inside") = mode;
    }

    pub(crate) fn set_execute(&self, mode: Mode) {
        *self.execute.lock().expect("no panic inside") = mode;
    }

    /// Both depths of probe.
    pub(crate) fn set_probe(&self, mode: Mode) {
        *self.ping.lock().expect("no panic inside") = mode.clone();
        *self.write.lock().expect("no panic inside") = mode;
    }

    /// The deep probe only.
    pub(crate) fn set_write_probe(&self, mode: Mode) {
        *self.write.lock().expect("no panic inside") = mode;
    }

    pub(crate) fn kill(&self) {
        self.set(&Mode::Fail(ErrorKind::Disconnected, "Connection refused"));
    }
}

async fn act(part: &Mutex<Mode>) -> Result<()> {
    let mode = part.lock().expect("no panic inside").clone();
    match mode {
        Mode::Serve => Ok(()),
        Mode::Slow(time) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
        Mode::Fail(kind, text) => Err(Error::new(kind, text).with_effect(Effect::None)),
        Mode::Hang => std::future::pending().await,
    }
}

impl Backend for Fake {
    fn engine(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            scope: self.scope,
            durability: Durability::Volatile,
            versions: false,
            atomic_many: true,
            copies: false,
            control: false,
            locks: false,
            value_max: 1 << 20,
        }
    }

    fn connect(&self, _deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        self.connects.fetch_add(1, Ordering::SeqCst);
        Box::pin(act(&self.connect))
    }

    fn execute<'a>(&'a self, _op: &'a Op, _deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        self.executes.fetch_add(1, Ordering::SeqCst);
        self.inflight.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(&self.inflight);
        Box::pin(async move {
            let _inside = inside;
            act(&self.execute).await.map(|()| Reply::Integer(1))
        })
    }

    fn probe(&self, depth: ProbeDepth, _deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        self.probes.fetch_add(1, Ordering::SeqCst);
        let part = match depth {
            ProbeDepth::Ping => &self.ping,
            ProbeDepth::WriteRead => &self.write,
        };
        Box::pin(async move {
            act(part).await?;
            let facts = vec![("version", "1".to_owned())];
            Ok(ProbeReport { facts, reconnected: self.cut.swap(false, Ordering::SeqCst) })
        })
    }

    fn purge(&self, _limit: usize, _deadline: Deadline) -> BoxFuture<'_, Result<usize>> {
        self.purges.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(0) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A node over a fake, with all that it needs. Built inside a runtime on paused time.
pub(crate) struct Stand {
    pub(crate) fake: Arc<Fake>,
    pub(crate) node: Arc<Node>,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
    pub(crate) tasks: Tasks,
}

impl Stand {
    /// Not started.
    pub(crate) fn new(config: &BackendConfig) -> Self {
        Self::with_scope(config, Scope::Shared)
    }

    pub(crate) fn with_scope(config: &BackendConfig, scope: Scope) -> Self {
        Self::with(config, scope, Clock::starting_at(0))
    }

    pub(crate) fn with(config: &BackendConfig, scope: Scope, clock: Clock) -> Self {
        let fake = Fake::new(scope);
        let events = Events::new(clock.clone());
        let node = Node::new(
            0,
            "redis",
            Arc::clone(&fake) as Arc<dyn Backend>,
            config,
            clock.clone(),
            Entropy::seeded(7),
            events.clone(),
        );
        Self { fake, node: Arc::new(node), clock, events, tasks: Tasks::new() }
    }

    /// Started, and connected.
    pub(crate) async fn started(config: &BackendConfig) -> Self {
        let stand = Self::new(config);
        stand.node.start(&stand.tasks);
        stand.node.first_attempt().await;
        stand
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.clock.deadline_in(Duration::from_secs(60))
    }

    /// Waits until it holds, at most a virtual hour; how long that took.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let began = self.clock.now();
        while !holds(self) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let waited = self.clock.now() - began;
            assert!(waited < Duration::from_secs(3600), "never {what}: {:?}", self.status());
        }
        self.clock.now() - began
    }

    pub(crate) fn status(&self) -> crate::status::BackendStatus {
        self.node.status(self.clock.now())
    }

    /// The kinds of all events so far.
    pub(crate) fn kinds(&self) -> Vec<EventKind> {
        self.events.since(0).iter().map(|event| event.kind.clone()).collect()
    }
}
