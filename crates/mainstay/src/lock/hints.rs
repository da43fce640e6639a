//! Hints that a lock has become free in another process: one subscription for each backend that tells, while somebody waits.
//! It must not know what a lock is. A hint that is lost costs a pause (`wait`), and one too many a look.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::Core;
use crate::{
    backend::Told,
    clock::{Clock, Instant},
    entropy::Entropy,
    entry::Key,
    error::{ErrorKind, Result},
    guard::backoff,
    node::Node,
    op::{LockOp, Waiter},
};

/// How long a subscription outlives the last who waited.
const LINGER: Duration = Duration::from_secs(5);

/// Time to subscribe.
const STEP: Duration = Duration::from_secs(2);

/// After so many locks that were found free, and of none of which anything was told, this is said.
const UNTOLD: u32 = 3;

/// Pauses after a subscription has broken.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Who of this process waits for locks of others, and what tells of them.
#[derive(Debug)]
pub(crate) struct Hints {
    /// The number of this process: it stands in the lock while it waits.
    process: u128,
    state: Mutex<State>,
    lines: Vec<Line>,
}

/// The subscription at one backend.
#[derive(Debug, Default)]
struct Line {
    stands: AtomicBool,
    /// Something was told over it. That it stands proves nothing: a pooler drops LISTEN without a word.
    heard: AtomicBool,
    /// Locks that became free without a word.
    untold: AtomicU32,
    /// This engine tells nobody.
    is_mute: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// By the hash of a name: whom to wake, and how many listen.
    ears: BTreeMap<u64, (Arc<Notify>, usize)>,
    /// Per backend: whether its subscription is kept.
    kept: Vec<bool>,
    /// Since when nobody waits.
    idle_since: Option<Instant>,
}

/// One that waits. Given up when it is dropped.
#[derive(Debug)]
pub(super) struct Ear {
    hints: Arc<Hints>,
    clock: Clock,
    nodes: Vec<usize>,
    hashes: Vec<u64>,
    notify: Arc<Notify>,
    /// Whether a subscription stood from the beginning on.
    told: bool,
}

impl Hints {
    pub(super) fn new(process: u128, nodes: usize) -> Self {
        let state = State { ears: BTreeMap::new(), kept: vec![false; nodes], idle_since: None };
        let lines = (0..nodes).map(|_| Line::default()).collect();
        Self { process, state: Mutex::new(state), lines }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is noted of one that waits for so long, `left` of it yet; one that does not wait is not noted.
    pub(super) fn waiter(&self, wait: Duration, left: Duration) -> Option<Waiter> {
        let waits = !wait.is_zero();
        waits.then(|| Waiter { process: self.process, waited: wait.saturating_sub(left) })
    }

    /// Listens for a lock. Whoever looks at it after this misses no hint.
    pub(super) fn ear(core: &Core, name: &Key) -> Ear {
        let (hints, parts) = (&core.hints, &core.parts);
        let (nodes, names) = core.mode.as_ref().map(|mode| mode.tells_of(name)).unwrap_or_default();
        let hashes: Vec<u64> = names.iter().map(Key::stable_hash).collect();
        let mut state = hints.lock();
        let first = hashes.first().copied().unwrap_or_default();
        let notify = state.ears.get(&first).map(|(notify, _)| Arc::clone(notify));
        let notify = notify.unwrap_or_default();
        for hash in &hashes {
            state.ears.entry(*hash).or_insert_with(|| (Arc::clone(&notify), 0)).1 += 1;
        }
        for id in &nodes {
            let mute = hints.lines[*id].is_mute.load(Relaxed);
            if !mute && !std::mem::replace(&mut state.kept[*id], true) {
                let (hints, node) = (Arc::clone(hints), Arc::clone(&parts.nodes[*id]));
                let (clock, entropy) = (parts.clock.clone(), parts.entropy.clone());
                parts.tasks.spawn(async move { hints.follow(&node, &clock, &entropy).await });
            }
        }
        drop(state);
        let (hints, clock) = (Arc::clone(hints), parts.clock.clone());
        let told = nodes.iter().any(|id| hints.lines[*id].stands.load(Relaxed));
        Ear { hints, clock, nodes, hashes, notify, told }
    }

    /// Keeps a subscription until nobody has waited for a while.
    async fn follow(&self, node: &Node, clock: &Clock, entropy: &Entropy) {
        let line = &self.lines[node.id()];
        let mut failures = 0_u32;
        loop {
            let ended = self.hear(node, clock).await;
            line.stands.store(false, Relaxed);
            if line.heard.swap(false, Relaxed) {
                failures = 0;
            }
            // Whoever paused for long because he would be told, looks.
            self.wake(|_| true);
            match ended {
                Ok(()) => return,
                Err(error) => {
                    let backend = &**node.name();
                    if error.kind() == ErrorKind::Unsupported {
                        tracing::info!(backend, %error, "waits for locks look from time to time");
                        line.is_mute.store(true, Relaxed);
                        return;
                    }
                    tracing::debug!(backend, %error, "releases of locks are not told for now");
                }
            }
            if self.ends(node.id(), clock.now()) {
                return;
            }
            let pause = (PAUSE_MIN * 2_u32.pow(failures)).min(PAUSE_MAX);
            failures = (failures + 1).min(8);
            tokio::time::sleep(backoff::spread(pause, 0.2, entropy.unit())).await;
        }
    }

    /// Listens until nobody has waited for a while.
    async fn hear(&self, node: &Node, clock: &Clock) -> Result<()> {
        let backend = node.backend();
        let mut feed = backend.listen(LockOp::FREED, clock.deadline_in(STEP)).await?;
        self.lines[node.id()].stands.store(true, Relaxed);
        // What became free before is not told.
        self.wake(|_| true);
        let own = format!("{:032x}", self.process);
        loop {
            match feed.next().await? {
                Told::Changed(told) => {
                    self.lines[node.id()].heard.store(true, Relaxed);
                    for hash in told.iter().filter_map(|told| concerns(told, &own)) {
                        self.wake(|waits| waits == hash);
                    }
                }
                Told::All => self.wake(|_| true),
                Told::UpTo(_) => {}
            }
            if self.ends(node.id(), clock.now()) {
                return Ok(());
            }
        }
    }

    /// Whether the subscription is given up, because nobody has waited for a while.
    fn ends(&self, id: usize, now: Instant) -> bool {
        let mut state = self.lock();
        let idle = state.idle_since.is_some_and(|since| now >= since + LINGER);
        let ends = state.ears.is_empty() && idle;
        if ends {
            state.kept[id] = false;
        }
        ends
    }

    fn wake(&self, which: impl Fn(u64) -> bool) {
        let state = self.lock();
        state
            .ears
            .iter()
            .filter(|(hash, _)| which(**hash))
            .for_each(|(_, (ear, _))| ear.notify_one());
    }
}

/// The hash of the name that was told of, if it concerns this process.
fn concerns(told: &Key, own: &str) -> Option<u64> {
    let (hash, whom) = std::str::from_utf8(told.as_bytes()).ok()?.split_at_checked(16)?;
    let concerns = whom.is_empty() || whom == own;
    u64::from_str_radix(hash, 16).ok().filter(|_| concerns)
}

impl Ear {
    /// Whether a release would be heard, as far as that can be known: whichever of them grants.
    pub(super) fn hears(&self) -> bool {
        let heard = |id: &usize| self.hints.lines[*id].heard.load(Relaxed);
        !self.nodes.is_empty() && self.nodes.iter().all(heard)
    }

    /// The lock was granted, after a hint or without one.
    pub(super) fn served(&self, woken: bool) {
        if woken || !self.told || self.hears() {
            return;
        }
        for id in &self.nodes {
            if self.hints.lines[*id].untold.fetch_add(1, Relaxed) + 1 == UNTOLD {
                tracing::info!(
                    "no release of a lock has been told of so far: behind a transaction pooler none is"
                );
            }
        }
    }

    /// Ends when the lock may have become free since the last time.
    pub(super) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut state = self.hints.lock();
        for hash in &self.hashes {
            if let Some((_, listeners)) = state.ears.get_mut(hash) {
                *listeners -= 1;
                if *listeners == 0 {
                    state.ears.remove(hash);
                }
            }
        }
        if state.ears.is_empty() {
            state.idle_since = Some(self.clock.now());
        }
    }
}
