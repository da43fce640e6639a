//! One kept value, what it weighs, how keys are spread, and what is counted when something has to go.
//! It must not know who reads.

use std::{
    hash::{BuildHasher, DefaultHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use quick_cache::{Lifecycle, Weighter};

use crate::{
    clock::Instant,
    entropy::Entropy,
    entry::{Key, Record, Version},
};

/// Bytes that an entry is charged beyond its key and value: its places in the tables, and three allocations.
const OVERHEAD: u64 = 192;

/// A value that this process keeps.
#[derive(Debug)]
pub(crate) struct Kept {
    value: Bytes,
    pub(super) version: Option<Version>,
    /// When the record expires.
    expires: Option<Instant>,
    /// When it was read, and how long before that it had been taken from the record.
    taken: (Instant, Duration),
    pub(super) ends: Instant,
    pub(super) era: u64,
    hits: AtomicU32,
}

impl Kept {
    /// What was read now; `age`: how long before that it was taken from the record.
    pub(crate) fn new(record: &Record, age: Duration, now: Instant) -> Self {
        Self {
            value: record.value.clone(),
            version: record.version,
            expires: record.ttl.map(|ttl| now + ttl),
            taken: (now, age),
            ends: now,
            era: 0,
            hits: AtomicU32::new(0),
        }
    }

    pub(super) fn copied(self) -> Self {
        Self { value: Bytes::copy_from_slice(&self.value), ..self }
    }

    /// As a record, its times counted from now.
    pub(crate) fn record(&self, now: Instant) -> Record {
        let left = |at: Instant| at.saturating_duration_since(now).max(Duration::from_millis(1));
        Record { value: self.value.clone(), version: self.version, ttl: self.expires.map(left) }
    }

    /// How long ago it was taken from the record.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        let (at, age) = self.taken;
        age + now.saturating_duration_since(at)
    }

    pub(crate) fn value(&self) -> &Bytes {
        &self.value
    }

    /// Not an addition that excludes others: how hot a key is need not be exact, and each hit costs less.
    pub(super) fn hit(&self) {
        self.hits.store(self.hits.load(Relaxed).saturating_add(1), Relaxed);
    }

    pub(super) fn hits(&self) -> u32 {
        self.hits.load(Relaxed)
    }
}

pub(super) fn weight(key: &Key, kept: &Kept) -> u64 {
    (key.as_bytes().len() as u64).saturating_add(kept.value.len() as u64).saturating_add(OVERHEAD)
}

/// Bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight;

impl Weighter<Key, Arc<Kept>> for Weight {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        weight(key, kept)
    }
}

/// SipHash under a secret that comes from the seed: a run repeats, and nobody can choose keys that meet. The secret has been
/// taken in already.
#[derive(Clone, Debug)]
pub(super) struct Seed(DefaultHasher);

impl Seed {
    pub(super) fn new(entropy: &Entropy) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(entropy.nonce());
        Self(hasher)
    }
}

impl BuildHasher for Seed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.clone()
    }
}

/// Counts what had to go because of the bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Evicted(Arc<AtomicU64>);

impl Evicted {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Lifecycle<Key, Arc<Kept>> for Evicted {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _key: Key, _kept: Arc<Kept>) {
        self.0.fetch_add(1, Relaxed);
    }
}
