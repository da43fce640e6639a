//! A backend that fails to order: another backend behind switchable faults.
//! Knows nothing of the backend that it wraps but the trait.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use mainstay::backend::{Backend, Capabilities, Feed, ProbeDepth, ProbeReport};
use mainstay::{Deadline, Effect, Entropy, Error, ErrorKind, Op, OpClass, Reply, Result};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// An error to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub kind: ErrorKind,
    /// What the error says about a write. The truth may differ: see [`Faults::before`] and [`Faults::after`].
    pub effect: Effect,
}

impl Failure {
    /// An error that says that nothing was applied.
    pub fn none(kind: ErrorKind) -> Self {
        Self { kind, effect: Effect::None }
    }

    /// An error that cannot say whether a write was applied.
    pub fn unknown(kind: ErrorKind) -> Self {
        Self { kind, effect: Effect::Unknown }
    }

    fn error(self) -> Error {
        Error::new(self.kind, "an injected fault").with_effect(self.effect)
    }
}

/// Where a call stops and waits: until the fault is lifted, or its deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hang {
    /// Nowhere.
    #[default]
    Never,
    /// Before it is applied; at the deadline it has not been.
    BeforeApply,
    /// After it has been applied: the reply is late, or lost.
    AfterApply,
}

/// Which operations are struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strikes {
    /// All.
    #[default]
    All,
    /// Reads only.
    Reads,
    /// Writes only.
    Writes,
}

/// The faults in force. The default lets everything pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Every call that is struck takes this much longer, before it is applied.
    pub delay: Duration,
    /// Answered in the place of the operation, which is not applied.
    pub before: Option<Failure>,
    /// Answered in the place of the reply, after the operation has been applied: a lost reply.
    pub after: Option<Failure>,
    /// Where calls wait.
    pub hang: Hang,
    /// Which operations are struck.
    pub strikes: Strikes,
    /// The share of those that is struck, 0 to 1; drawn from the seed.
    pub share: f64,
    /// Whether `delay`, `before` and `hang` hold for `connect` and `probe` as well.
    pub control: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            before: None,
            after: None,
            hang: Hang::Never,
            strikes: Strikes::All,
            share: 1.0,
            control: true,
        }
    }
}

impl Faults {
    /// The engine is gone: refused before anything is sent.
    pub fn down() -> Self {
        Self::failing(Failure::none(ErrorKind::Disconnected))
    }

    /// Connected, and no answer: every call ends at its deadline.
    pub fn hanging() -> Self {
        Self { hang: Hang::BeforeApply, ..Self::default() }
    }

    /// Answers this, without applying anything.
    pub fn failing(failure: Failure) -> Self {
        Self { before: Some(failure), ..Self::default() }
    }

    /// Writes are applied and their replies lost: every write ends in a broken connection.
    pub fn losing_replies() -> Self {
        let after = Some(Failure::unknown(ErrorKind::Disconnected));
        Self { after, strikes: Strikes::Writes, ..Self::default() }
    }

    /// Every call takes this much longer.
    pub fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

type Restart = Box<dyn Fn() + Send + Sync>;

/// Another backend behind switchable faults.
pub struct FaultBackend {
    inner: Arc<dyn Backend>,
    faults: watch::Sender<Faults>,
    entropy: Entropy,
    restart: Restart,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    applied: AtomicU64,
    struck: AtomicU64,
}

impl FaultBackend {
    /// Without faults until told; the seed decides which calls a share of less than 1 strikes.
    pub fn new(inner: Arc<dyn Backend>, seed: u64) -> Self {
        Self {
            inner,
            faults: watch::Sender::new(Faults::default()),
            entropy: Entropy::seeded(seed),
            restart: Box::new(|| {}),
            counts: Counts::default(),
        }
    }

    /// What [`FaultBackend::restart_empty`] does to the engine behind: for a `ModelBackend`, `forget`.
    #[must_use]
    pub fn with_restart(self, restart: impl Fn() + Send + Sync + 'static) -> Self {
        Self { restart: Box::new(restart), ..self }
    }

    /// Puts these faults in force, in the place of those before.
    pub fn set(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    /// Lifts all faults: what hangs goes on.
    pub fn heal(&self) {
        self.set(Faults::default());
    }

    /// The engine comes back without its data; the faults stay as they are.
    pub fn restart_empty(&self) {
        (self.restart)();
    }

    /// Operations that have come in.
    pub fn calls(&self) -> u64 {
        self.counts.calls.load(Ordering::Relaxed)
    }

    /// Operations that have been handed to the backend behind.
    pub fn applied(&self) -> u64 {
        self.counts.applied.load(Ordering::Relaxed)
    }

    /// Operations that a fault has struck.
    pub fn struck(&self) -> u64 {
        self.counts.struck.load(Ordering::Relaxed)
    }

    async fn run(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        let write = op.class() != OpClass::Read;
        let Some(faults) = self.strike(write) else { return self.apply(op, deadline).await };
        self.counts.struck.fetch_add(1, Ordering::Relaxed);
        self.before(&faults, write, deadline).await?;
        let reply = self.apply(op, deadline).await;
        if faults.hang == Hang::AfterApply {
            self.hang(write, deadline).await?;
        }
        match faults.after {
            Some(failure) => Err(failure.error()),
            None => reply,
        }
    }

    async fn apply(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        self.counts.applied.fetch_add(1, Ordering::Relaxed);
        self.inner.execute(op, deadline).await
    }

    /// The faults, if they strike this call.
    fn strike(&self, write: bool) -> Option<Faults> {
        let faults = self.faults.borrow().clone();
        let meant = match faults.strikes {
            Strikes::All => true,
            Strikes::Reads => !write,
            Strikes::Writes => write,
        };
        (meant && faults != Faults::default() && self.entropy.unit() < faults.share)
            .then_some(faults)
    }

    /// What happens to a call before it reaches the backend behind.
    async fn before(&self, faults: &Faults, write: bool, deadline: Deadline) -> Result<()> {
        let waited =
            tokio::time::timeout_at(deadline.instant(), tokio::time::sleep(faults.delay)).await;
        waited.map_err(|_| late(write))?;
        if faults.hang == Hang::BeforeApply {
            self.hang(write, deadline).await?;
        }
        faults.before.map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Waits until nothing hangs any more, or for the deadline.
    async fn hang(&self, write: bool, deadline: Deadline) -> Result<()> {
        let mut faults = self.faults.subscribe();
        let lifted = faults.wait_for(|faults| faults.hang == Hang::Never);
        match tokio::time::timeout_at(deadline.instant(), lifted).await {
            Ok(_) => Ok(()),
            Err(_) => Err(late(write)),
        }
    }

    async fn control(&self, deadline: Deadline) -> Result<()> {
        let faults = self.faults.borrow().clone();
        if faults.control { self.before(&faults, false, deadline).await } else { Ok(()) }
    }
}

/// What an adapter answers at the deadline: it cannot know whether a write that was sent has been applied.
fn late(write: bool) -> Error {
    let effect = if write { Effect::Unknown } else { Effect::None };
    Error::new(ErrorKind::Timeout, "an injected delay").with_effect(effect)
}

impl fmt::Debug for FaultBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultBackend")
            .field("inner", &self.inner)
            .field("faults", &*self.faults.borrow())
            .finish()
    }
}

impl Backend for FaultBackend {
    fn engine(&self) -> &'static str {
        self.inner.engine()
    }

    fn capabilities(&self) -> Capabilities {
        // A fault may hang.
        self.inner.capabilities()
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.control(deadline).await?;
            self.inner.connect(deadline).await
        })
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.run(op, deadline))
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async move {
            self.control(deadline).await?;
            self.inner.probe(depth, deadline).await
        })
    }

    fn purge(&self, limit: usize, deadline: Deadline) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move {
            self.control(deadline).await?;
            self.inner.purge(limit, deadline).await
        })
    }

    fn follow(&self, prefix: Bytes, deadline: Deadline) -> BoxFuture<'_, Result<Box<dyn Feed>>> {
        Box::pin(async move {
            self.control(deadline).await?;
            self.inner.follow(prefix, deadline).await
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
