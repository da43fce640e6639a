//! One cache before one record, as this process sees it: the last look, the keys it has written around the cache, and
//! what wakes the tasks that tend it.
//! It must not know IO.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::Notify;

use super::{audit::Sample, phase::Lifecycle, verdict::Watch, view::View};
use crate::{
    clock::{Clock, Deadline, Instant},
    config::ConsistencyConfig,
    entry::Key,
    live::LiveDuration,
    route::NodeId,
};

/// Keys written around the cache since the last look that are remembered one by one.
const AROUND_MAX: usize = 100_000;

/// All reads.
const WHOLE: u32 = 1000;

/// One cache before one record.
#[derive(Debug)]
pub(crate) struct Domain {
    /// Holds copies.
    pub(crate) cache: NodeId,
    /// The truth.
    pub(crate) record: NodeId,
    /// The cache's configured name: how the record calls it.
    pub(crate) name: Arc<str>,
    pub(crate) config: ConsistencyConfig,
    /// Time between two audits; zero: none.
    pub(crate) audit: LiveDuration,
    /// The longest that the record works on one statement for this process.
    pub(crate) statement: Duration,
    pub(crate) counts: Counts,
    /// What the audit looks at.
    pub(crate) served: Sample,
    view: ArcSwapOption<View>,
    watch: Mutex<Watch>,
    lifecycle: Mutex<Lifecycle>,
    around: Around,
    evicts: AtomicBool,
    /// The share of reads that the cache takes, in `WHOLE`s.
    share: AtomicU32,
    /// Why copies are not read now; empty while they are.
    reason: Mutex<String>,
    renew: Notify,
    drain: Notify,
    /// Looks that have begun.
    begun: AtomicU64,
    /// The number of the last that has ended.
    ended: AtomicU64,
    /// Wakes who waits for that, in the order in which they came.
    looked: Notify,
}

/// What has happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Reads that found a copy and could serve it.
    pub(crate) hits: AtomicU64,
    /// Reads that asked the cache and had to ask the record.
    pub(crate) misses: AtomicU64,
    /// Writes that went around the cache.
    pub(crate) around: AtomicU64,
    /// Keys that this process has drained.
    pub(crate) drained: AtomicU64,
    /// Whole-cache readmissions that this process carried out.
    pub(crate) readmissions: AtomicU64,
    /// Copies that the audit has compared with the record.
    pub(crate) audited: AtomicU64,
    /// Copies that were older than the record though nothing said so.
    pub(crate) inconsistent: AtomicU64,
}

impl Counts {
    pub(crate) fn add(counter: &AtomicU64, more: usize) {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }
}

/// Keys that this process wrote around the cache after the look that its lease came from.
#[derive(Debug, Default)]
struct Around {
    /// Read without the lock: there are none nearly always.
    len: AtomicU64,
    keys: Mutex<BTreeMap<Key, Instant>>,
}

impl Domain {
    pub(crate) fn new(
        cache: NodeId,
        record: NodeId,
        name: Arc<str>,
        config: ConsistencyConfig,
        statement: Duration,
        now: Instant,
    ) -> Self {
        Self {
            cache,
            record,
            name,
            audit: LiveDuration::new(config.audit),
            config,
            statement,
            counts: Counts::default(),
            served: Sample::default(),
            view: ArcSwapOption::empty(),
            watch: Mutex::default(),
            lifecycle: Mutex::new(Lifecycle::new(now)),
            around: Around::default(),
            evicts: AtomicBool::new(false),
            share: AtomicU32::new(WHOLE),
            reason: Mutex::new("not looked at yet".to_owned()),
            renew: Notify::new(),
            drain: Notify::new(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            looked: Notify::new(),
        }
    }

    /// How long a strict write around the cache waits; the longest possible while nothing is known yet.
    pub(crate) fn known_for(&self) -> Duration {
        let unknown = || ConsistencyConfig::LEASE_MAX * 2 + self.statement;
        self.view().map_or_else(unknown, |view| view.known_for(self.statement))
    }

    /// The last look.
    pub(crate) fn view(&self) -> Option<Arc<View>> {
        self.view.load_full()
    }

    /// The same, borrowed for one look.
    pub(crate) fn last_look(&self) -> Guard<Option<Arc<View>>> {
        self.view.load()
    }

    /// Whether the last look allows any reading at all.
    pub(crate) fn may_read(&self, clock: &Clock) -> bool {
        self.view.load().as_ref().is_some_and(|view| view.may_read(clock.now(), clock.suspended()))
    }

    /// A new look. `asked`: when the record was asked; what was written around the cache before, it knows.
    pub(crate) fn see(&self, view: View, asked: Instant) {
        self.view.store(Some(Arc::new(view)));
        let mut keys = self.around.lock();
        keys.retain(|_, written| *written >= asked);
        self.around.publish(&keys);
    }

    /// Ends the lease at once.
    pub(crate) fn revoke(&self) {
        if let Some(view) = &*self.view.load() {
            view.revoke();
        }
    }

    /// These keys are about to be written around the cache: this process does not read their copies until a look knows.
    pub(crate) fn note_around(&self, keys: &[Key], now: Instant) {
        let mut noted = self.around.lock();
        for key in keys {
            match noted.get_mut(key) {
                Some(at) => *at = now,
                None => drop(noted.insert(key.kept(), now)),
            }
        }
        if noted.len() > AROUND_MAX {
            noted.clear();
            self.revoke();
        }
        self.around.publish(&noted);
    }

    /// The same, committed: what was asked before must not count as knowing it.
    pub(crate) fn renote_around(&self, keys: &[Key], now: Instant) {
        self.note_around(keys, now);
        Counts::add(&self.counts.around, 1);
    }

    /// Whether this process has written the key around the cache since its last look.
    pub(crate) fn is_around(&self, key: &Key) -> bool {
        self.around.len.load(Ordering::Acquire) > 0 && self.around.lock().contains_key(key)
    }

    /// Hits and misses since the start.
    pub(crate) fn reads(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.counts.hits), of(&self.counts.misses))
    }

    /// Whether marks can be evicted.
    pub(crate) fn evicts(&self) -> bool {
        self.evicts.load(Ordering::Relaxed)
    }

    /// Whether that is news.
    pub(crate) fn set_evicts(&self, evicts: bool) -> bool {
        self.evicts.swap(evicts, Ordering::Relaxed) != evicts
    }

    /// Whether this read is in the share of reads that a cache takes while it warms up.
    pub(crate) fn takes(&self, unit: impl FnOnce() -> f64) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        share >= WHOLE || unit() * f64::from(WHOLE) < f64::from(share)
    }

    /// The share, from the lifecycle.
    pub(crate) fn set_share(&self, share: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and WHOLE"
        )]
        let share = (share.clamp(0.0, 1.0) * f64::from(WHOLE)) as u32;
        self.share.store(share, Ordering::Relaxed);
    }

    pub(crate) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lifecycle(&self) -> MutexGuard<'_, Lifecycle> {
        self.lifecycle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why copies are not read now; empty while they are.
    pub(crate) fn reason(&self) -> String {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_reason(&self, reason: impl Into<String>) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason.into();
    }

    /// Asks for a look soon.
    pub(crate) fn want_look(&self) {
        self.renew.notify_one();
    }

    /// Waits until a look is asked for.
    pub(crate) async fn look_wanted(&self) {
        self.renew.notified().await;
    }

    /// A look begins; its number.
    pub(crate) fn begin_look(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// It has ended.
    pub(crate) fn end_look(&self, number: u64) {
        self.ended.store(number, Ordering::Release);
        self.looked.notify_waiters();
    }

    /// Waits for a look that begins after this call; at most until the deadline. Late is no harm: the caller goes by
    /// what there is.
    pub(crate) async fn look_again(&self, deadline: Deadline) {
        let enough = self.begun.load(Ordering::Acquire) + 1;
        loop {
            // Hears of every look that ends from here on.
            let looked = self.looked.notified();
            if self.ended.load(Ordering::Acquire) >= enough {
                return;
            }
            self.renew.notify_one();
            if tokio::time::timeout_at(deadline.instant(), looked).await.is_err() {
                return;
            }
        }
    }

    /// Says when a look has ended.
    pub(crate) fn looks(&self) -> Looks<'_> {
        Looks { domain: self, seen: self.ended.load(Ordering::Acquire) }
    }

    /// Waits until copies may be read.
    pub(crate) async fn first_lease(&self, clock: &Clock) {
        loop {
            let looked = self.looked.notified();
            if self.may_read(clock) {
                return;
            }
            self.want_look();
            looked.await;
        }
    }

    /// There are dirty keys.
    pub(crate) fn want_drain(&self) {
        self.drain.notify_one();
    }

    /// Waits until there are.
    pub(crate) async fn drain_wanted(&self) {
        self.drain.notified().await;
    }
}

/// The looks that end from some moment on.
#[derive(Debug)]
pub(crate) struct Looks<'a> {
    domain: &'a Domain,
    seen: u64,
}

impl Looks<'_> {
    /// Waits for one that has not been seen. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        loop {
            let looked = self.domain.looked.notified();
            let ended = self.domain.ended.load(Ordering::Acquire);
            if ended != self.seen {
                self.seen = ended;
                return;
            }
            looked.await;
        }
    }
}

impl Around {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Instant>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, keys: &BTreeMap<Key, Instant>) {
        self.len.store(keys.len() as u64, Ordering::Release);
    }
}
