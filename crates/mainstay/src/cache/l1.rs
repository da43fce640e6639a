//! The memory of this process before one cache, bounded by bytes: what is kept, who may keep something, what is hot.
//! It must not know IO, caches or records; time is an argument.
//!
//! A reader takes a *seat* before it asks; whatever is told of its key meanwhile takes the seat away, and with it the
//! right to keep the answer. Seats stand beside the values: the placeholders of `quick_cache` make other readers wait, and
//! an eviction must not take one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;
use quick_cache::{OptionsBuilder, sync::Cache};

pub(crate) use self::shape::Kept;
use self::shape::{Evicted, Name, Seed, Weight};
use super::{era::Era, hot};
use crate::{
    clock::Instant,
    entropy::Entropy,
    entry::{Key, Version},
    live::LiveDuration,
    status::L1Status,
};

mod shape;
#[cfg(test)]
mod tests;

/// Enough that two readers seldom meet; one shard holds the longest value several times.
const SHARDS: usize = 16;

/// A value of more than this part of all is not kept.
const VALUE_SHARE: u64 = 64;

/// Readers of one shard that may have seats at once; more read without keeping.
const SEATS_MAX: usize = 1024;

/// An entry's size that the tables are laid out for, bytes.
const USUAL: u64 = 512;

/// What this process keeps.
pub(crate) struct L1 {
    kept: Cache<Name, Arc<Kept>, Weight, Seed, Evicted>,
    seats: Vec<Mutex<BTreeMap<Key, Taken>>>,
    era: ArcSwapOption<Era>,
    eras: AtomicU32,
    numbers: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    evicted: Evicted,
    hot: Mutex<Vec<Key>>,
    /// Why nothing is served; empty while something may be.
    reason: Mutex<String>,
    follows: bool,
    max: AtomicU64,
    ttl_max: LiveDuration,
}

/// A seat that is taken.
#[derive(Debug)]
struct Taken {
    by: u64,
    /// The newest version that others have read meanwhile.
    floor: Option<Version>,
}

/// The right to keep what is read of one key. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    l1: Arc<L1>,
    key: Key,
    number: u64,
    era: Arc<Era>,
    begun: Instant,
}

/// Own writes under way: their keys are not kept over them.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    l1: &'a L1,
    keys: &'a [Key],
}

impl L1 {
    /// An empty one. `follows`: it stands before a cache, and counts only while that tells of changes.
    pub(crate) fn new(max: u64, ttl_max: Duration, entropy: &Entropy, follows: bool) -> Self {
        let evicted = Evicted::default();
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(usize::try_from(max / USUAL).unwrap_or(usize::MAX))
            .weight_capacity(max)
            .build();
        let seed = Seed::new(entropy);
        let kept = match options {
            Ok(options) => Cache::with_options(options, Weight, seed, evicted.clone()),
            // Every option is given; this is the same without a say in the shards.
            Err(_) => Cache::with(1 << 16, max, Weight, seed, evicted.clone()),
        };
        let alone = (!follows).then(|| Arc::new(Era::new(Era::ALONE, None)));
        Self {
            kept,
            seats: (0..SHARDS).map(|_| Mutex::default()).collect(),
            era: ArcSwapOption::new(alone),
            eras: AtomicU32::new(Era::ALONE),
            numbers: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evicted,
            hot: Mutex::default(),
            reason: Mutex::new(String::from(if follows { "not followed yet" } else { "" })),
            follows,
            max: AtomicU64::new(max),
            ttl_max: LiveDuration::new(ttl_max),
        }
    }

    /// Another bound in bytes, which what is over it leaves at once, and another longest life for what is kept from now on.
    pub(crate) fn set_bounds(&self, max: u64, ttl_max: Duration) {
        self.kept.set_capacity(max);
        self.max.store(max, Relaxed);
        self.ttl_max.set(ttl_max);
    }

    /// The era in which something may be kept and served.
    pub(crate) fn era(&self) -> Option<Arc<Era>> {
        self.era.load_full()
    }

    /// The same, borrowed for one look.
    pub(crate) fn current(&self) -> Guard<Option<Arc<Era>>> {
        self.era.load()
    }

    /// A feed has begun: from now on copies of this generation may be kept.
    pub(super) fn open(&self, generation: u64) -> Arc<Era> {
        let number = self.eras.fetch_add(1, Relaxed).wrapping_add(1);
        let era = Arc::new(Era::new(number, Some(generation)));
        self.era.store(Some(Arc::clone(&era)));
        self.set_reason(String::new());
        era
    }

    /// The feed has a gap: nothing of before counts any more. The hottest keys are remembered.
    pub(super) fn close(&self, reason: String) {
        let open = self.era.swap(None).is_some();
        self.set_reason(reason);
        if !open {
            return;
        }
        // First, so that nobody keeps what it had begun to read.
        self.seats.iter().for_each(|seats| lock(seats).clear());
        let kept = self.kept.drain().map(|(name, kept)| (kept.hits(), name));
        let heard = kept.filter(|(hits, _)| *hits > 0).map(|(hits, name)| (hits, name.into_key()));
        let heard = heard.collect();
        self.kept.clear();
        let mut hot = lock(&self.hot);
        let before = std::mem::take(&mut *hot);
        *hot = hot::merged(heard, before);
    }

    /// The hottest keys of late, once.
    pub(super) fn take_hot(&self) -> Vec<Key> {
        std::mem::take(&mut *lock(&self.hot))
    }

    /// What is kept of a key in this era, and has not expired.
    pub(crate) fn get(&self, key: &Key, era: &Era, now: Instant) -> Option<Arc<Kept>> {
        self.get_of(key, era.number, now)
    }

    /// The same where nothing is followed: there is one era.
    pub(crate) fn get_alone(&self, key: &Key, now: Instant) -> Option<Arc<Kept>> {
        self.get_of(key, Era::ALONE, now)
    }

    fn get_of(&self, key: &Key, era: u32, now: Instant) -> Option<Arc<Kept>> {
        let kept = self.kept.get(key)?;
        if !kept.counts(era, now) {
            self.kept.remove_if(key, |found| Arc::ptr_eq(found, &kept));
            return None;
        }
        Some(kept)
    }

    /// A read was answered from here, or not.
    pub(crate) fn count(&self, kept: Option<&Kept>) {
        match kept {
            Some(kept) => {
                kept.hit();
                self.hits.fetch_add(1, Relaxed);
            }
            None => {
                self.misses.fetch_add(1, Relaxed);
            }
        }
    }

    /// A seat for a reader that is about to ask; `None`: another reader has it.
    pub(crate) fn seat(self: &Arc<Self>, key: &Key, era: &Arc<Era>, now: Instant) -> Option<Seat> {
        let number = self.number();
        let mut seats = self.seats_of(key);
        if seats.len() >= SEATS_MAX || seats.contains_key(key) {
            return None;
        }
        seats.insert(key.clone(), Taken { by: number, floor: None });
        drop(seats);
        let (l1, key, era) = (Arc::clone(self), key.clone(), Arc::clone(era));
        Some(Seat { l1, key, number, era, begun: now })
    }

    /// The key may have changed: nothing of it counts any more, nor what is being read.
    pub(crate) fn forget(&self, key: &Key) {
        let mut seats = self.seats_of(key);
        seats.remove(key);
        self.kept.remove(key);
    }

    /// Forgets those of which this is true, and whatever is being read: that could be one of them.
    pub(crate) fn forget_where(&self, these: impl Fn(&[u8], &Bytes) -> bool) {
        self.seats.iter().for_each(|seats| lock(seats).clear());
        self.kept.retain(|name, kept| !these(name.as_bytes(), kept.value()));
    }

    /// This process has read this version elsewhere: nothing older is served from here afterwards.
    pub(crate) fn witness(&self, key: &Key, version: Version) {
        let mut seats = self.seats_of(key);
        if let Some(taken) = seats.get_mut(key) {
            taken.floor = taken.floor.max(Some(version));
        }
        if self.kept.peek(key).is_some_and(|kept| kept.version() < Some(version)) {
            self.kept.remove(key);
        }
    }

    /// Own writes of these keys begin. They end when this is dropped.
    pub(crate) fn writing<'a>(&'a self, keys: &'a [Key]) -> Writing<'a> {
        keys.iter().for_each(|key| self.forget(key));
        Writing { l1: self, keys }
    }

    pub(crate) fn status(&self) -> L1Status {
        let following = self.era.load().is_some();
        L1Status {
            entries: self.kept.len() as u64,
            bytes: self.kept.weight(),
            max: self.max.load(Relaxed),
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            evictions: self.evicted.count(),
            feed: match (self.follows, following) {
                (false, _) => "none",
                (true, true) => "following",
                (true, false) => "broken",
            },
            reason: lock(&self.reason).clone(),
        }
    }

    fn set_reason(&self, reason: String) {
        *lock(&self.reason) = reason;
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }

    fn seats_of(&self, key: &Key) -> MutexGuard<'_, BTreeMap<Key, Taken>> {
        lock(&self.seats[self.kept.shard_index(key) % SHARDS])
    }
}

impl Seat {
    /// Keeps what was read, if nothing has been told of the key since the seat was taken. `life`: counted from now;
    /// `max`: from the moment the read was begun.
    pub(crate) fn keep(self, kept: Kept, life: Duration, max: Option<Duration>, now: Instant) {
        let l1 = &self.l1;
        let weight = shape::weight(self.key.as_bytes().len(), &kept);
        let ends = now + life.min(l1.ttl_max.get());
        let ends = max.map_or(ends, |max| ends.min(self.begun + max));
        if weight > l1.max.load(Relaxed) / VALUE_SHARE || ends <= now {
            return;
        }
        let mut seats = l1.seats_of(&self.key);
        let mine = seats.get(&self.key).is_some_and(|taken| {
            taken.by == self.number && taken.floor.is_none_or(|floor| kept.version() >= Some(floor))
        });
        let current = l1.era.load().as_ref().is_some_and(|era| era.number == self.era.number);
        if mine && current {
            // Copied: a slice would keep a long buffer of the connection.
            let kept = kept.until(ends, self.era.number);
            l1.kept.insert(Name::of(&self.key), Arc::new(kept));
            seats.remove(&self.key);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.l1.seats_of(&self.key);
        if seats.get(&self.key).is_some_and(|taken| taken.by == self.number) {
            seats.remove(&self.key);
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.keys.iter().for_each(|key| self.l1.forget(key));
    }
}

impl std::fmt::Debug for L1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("L1").field("status", &self.status()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
