//! A lock that is held: what it may be believed to be, and what becomes of it.
//! It must not know how it was granted, nor how it is renewed.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Claim, Core, Guarantee, LockMode,
    lease::{Lease, Moment},
    modes::lock,
    renew,
    wait::Turn,
};
use crate::{
    entry::Key,
    error::{Error, ErrorKind, Result},
    event::EventKind,
    op::Fence,
};

/// A machine that sleeps stops timers: this often the clock that does not stop is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It was held until now, and is free.
    Released,
    /// The lease had ended before: somebody else may have held it meanwhile.
    AlreadyLost,
    /// No answer came; it is tried again in the background, and ends by itself with its lease.
    Unknown,
}

/// A lock that is held while this lives and its lease lasts. Dropped, it is released in the background.
///
/// A process may be paused at any point (by its runtime, its debugger, its hypervisor) and go on after the lease has ended
/// without noticing. Hence [`check`](Self::check) before each step that others see, and the
/// [`token`](Self::token) with each write ([`SetOptions::fence`](crate::SetOptions)).
#[must_use = "a lock is released when its guard is dropped"]
pub struct LockGuard {
    held: Arc<Held>,
    mode: LockMode,
    guarantee: Guarantee,
    /// Ends the renewals: before a release, lest one that finds the lock gone asks for it anew.
    renewing: CancellationToken,
}

/// What a guard shares with its renewals.
pub(super) struct Held {
    pub(super) core: Arc<Core>,
    pub(super) claim: Claim,
    pub(super) ttl: Duration,
    state: watch::Sender<State>,
    /// The local turn; the next of this process may ask once it is given up.
    turn: Mutex<Option<Turn>>,
}

/// Whether it is held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Held(Lease),
    /// Its lease has ended.
    Lost,
    /// It was given back.
    Released,
}

impl LockGuard {
    pub(super) fn new(
        core: &Arc<Core>,
        claim: Claim,
        lease: Lease,
        ttl: Duration,
        renewing: bool,
        turn: Turn,
    ) -> Result<Self> {
        let (mode, guarantee) = (core.mode()?.word(), core.mode()?.guarantee());
        let held = Arc::new(Held {
            core: Arc::clone(core),
            claim,
            ttl,
            state: watch::Sender::new(State::Held(lease)),
            turn: Mutex::new(Some(turn)),
        });
        core.counts.held.fetch_add(1, Relaxed);
        let stop = CancellationToken::new();
        core.parts.tasks.spawn(renew::keep(Arc::clone(&held), renewing, stop.clone()));
        Ok(Self { held, mode, guarantee, renewing: stop })
    }

    /// The lock's name.
    pub fn name(&self) -> &Key {
        &self.held.claim.name
    }

    /// The fencing token: higher than that of any holder before, where the guarantee is `Fenced`. To be passed to
    /// whatever is changed under the lock, which refuses a lower one than it has seen.
    pub fn token(&self) -> u64 {
        self.held.claim.token
    }

    /// The lock and its token, for `SetOptions::fence`.
    pub fn fence(&self) -> Fence {
        Fence { lock: self.name().clone(), token: self.token() }
    }

    /// What names the grant.
    pub fn claim(&self) -> &Claim {
        &self.held.claim
    }

    /// What the lock is worth.
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// Who granted it.
    pub fn mode(&self) -> LockMode {
        self.mode
    }

    /// How long it may be believed yet, unless it is renewed; zero: it is lost.
    pub fn left(&self) -> Duration {
        self.held.left()
    }

    /// Whether it may still be believed.
    pub fn is_held(&self) -> bool {
        !self.left().is_zero()
    }

    /// To be asked before each step that others see.
    ///
    /// # Errors
    /// `Fenced` when the lease has ended: somebody else may hold the lock.
    pub fn check(&self) -> Result<()> {
        self.held.check()
    }

    pub(super) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held)
    }

    /// Ends when the lock is lost: at the end of its lease as this process counts it, not when a renewal fails. Never
    /// ends when it is released before.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let held = Arc::clone(&self.held);
        async move { held.lost().await }
    }

    /// Performs something while the lock is held.
    ///
    /// # Errors
    /// `Fenced` when the lock is lost before: then the future has been dropped.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        self.check()?;
        tokio::select! {
            biased;
            () = self.held.lost() => Err(self.held.error()),
            done = work => Ok(done),
        }
    }

    /// Releases it, and says what became of it.
    pub async fn release(self) -> Released {
        self.renewing.cancel();
        let core = &self.held.core;
        if !self.is_held() {
            self.held.lose("it was released after its lease had ended");
            return Released::AlreadyLost;
        }
        let Ok(mode) = core.mode() else { return Released::Unknown };
        // Dropped in the middle, the guard queues the release.
        let released = mode.release(&core.parts, &self.held.claim, core.deadline()).await;
        match released {
            Ok(held) => {
                self.held.settle(State::Released);
                if held { Released::Released } else { Released::AlreadyLost }
            }
            Err(_) => Released::Unknown,
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LockGuard");
        shown.field("name", self.name()).field("token", &self.token());
        shown.field("left", &self.left()).finish_non_exhaustive()
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.renewing.cancel();
        if self.held.settle(State::Released) {
            self.held.queue_release();
        }
    }
}

impl Held {
    pub(super) fn left(&self) -> Duration {
        match *self.state.borrow() {
            State::Held(lease) => lease.left(Moment::now(&self.core.parts.clock)),
            State::Lost | State::Released => Duration::ZERO,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if !self.left().is_zero() {
            return Ok(());
        }
        self.lose("it was looked at after its lease had ended");
        Err(self.error())
    }

    /// Ends when it is lost or released.
    pub(super) async fn over(&self) {
        let mut changes = self.state.subscribe();
        tokio::select! {
            biased;
            // The sender is ours: waiting cannot fail.
            _ = changes.wait_for(|state| !matches!(state, State::Held(_))) => {}
            () = self.lost() => {}
        }
    }

    /// A renewal was answered. One that comes after the end of the lease before changes nothing: the lock may have been
    /// somebody else's in between. Whether it counts.
    pub(super) fn renewed(&self, lease: Lease) -> bool {
        let now = Moment::now(&self.core.parts.clock);
        self.state.send_if_modified(|state| match state {
            State::Held(before) if before.is_held(now) => {
                *state = State::Held(lease);
                true
            }
            State::Held(_) | State::Lost | State::Released => false,
        })
    }

    /// The lease has ended, or somebody else may have the lock.
    pub(super) fn lose(&self, why: &str) {
        if !self.settle(State::Lost) {
            return;
        }
        self.core.counts.lost.fetch_add(1, Relaxed);
        let name = String::from_utf8_lossy(self.claim.name.as_bytes()).into_owned();
        let reason = format!("{name:?}, token {}: {why}", self.claim.token);
        self.core.parts.events.publish(None, EventKind::Lock { state: "lost" }, reason);
        // What the granter still has of it only keeps others waiting.
        self.queue_release();
    }

    /// Ends it, once: whether this call did.
    fn settle(&self, ending: State) -> bool {
        let ended = self.state.send_if_modified(|state| {
            let held = matches!(state, State::Held(_));
            if held {
                *state = ending;
            }
            held
        });
        if ended {
            self.core.counts.held.fetch_sub(1, Relaxed);
            drop(lock(&self.turn).take());
        }
        ended
    }

    fn queue_release(&self) {
        let until = self.core.parts.clock.now() + self.ttl;
        self.core.releaser.queue(self.claim.clone(), until);
    }

    /// Ends when it is lost.
    pub(super) async fn lost(&self) {
        let mut changes = self.state.subscribe();
        loop {
            let state = *changes.borrow_and_update();
            match state {
                State::Lost => return,
                State::Released => std::future::pending().await,
                State::Held(lease) => {
                    let left = lease.left(Moment::now(&self.core.parts.clock));
                    if left.is_zero() {
                        self.lose("its lease ended");
                        continue;
                    }
                    tokio::select! {
                        biased;
                        _ = changes.changed() => {}
                        () = tokio::time::sleep(left.min(LOOK)) => {}
                    }
                }
            }
        }
    }

    fn error(&self) -> Error {
        let name = String::from_utf8_lossy(self.claim.name.as_bytes());
        let message = format!("the lock {name:?} is lost: its lease has ended");
        Error::new(ErrorKind::Fenced, message)
    }
}
