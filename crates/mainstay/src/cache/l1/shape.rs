//! One kept value and its name, what they weigh, how names are spread, and what is counted when something has to go.
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
use quick_cache::{Equivalent, Lifecycle, Weighter};

use crate::{
    clock::Instant,
    entropy::Entropy,
    entry::{Key, Record, Version},
};

/// Bytes that an entry is charged beyond its key and value: its places in the tables, and three allocations.
const OVERHEAD: u64 = 192;

/// A value that this process keeps. There may be a million of them: times are nanoseconds after the reading, and nothing
/// takes more room than it needs.
#[derive(Debug)]
pub(crate) struct Kept {
    value: Bytes,
    read: Instant,
    /// How long before the reading it had been taken from the record.
    age: u64,
    /// When the record expires; `NEVER`: it does not.
    expires: u64,
    /// Until when it may be served.
    ends: u64,
    counter: u64,
    epoch: u32,
    era: u32,
    hits: AtomicU32,
    /// Whether `epoch` and `counter` say anything.
    versioned: bool,
}

const NEVER: u64 = u64::MAX;

impl Kept {
    /// What was read now; `age`: how long before that it was taken from the record.
    pub(crate) fn new(record: &Record, age: Duration, now: Instant) -> Self {
        let version = record.version.unwrap_or(Version { epoch: 0, counter: 0 });
        Self {
            value: record.value.clone(),
            read: now,
            age: nanos(age),
            expires: record.ttl.map_or(NEVER, nanos),
            ends: 0,
            counter: version.counter,
            epoch: version.epoch,
            era: 0,
            hits: AtomicU32::new(0),
            versioned: record.version.is_some(),
        }
    }

    /// The same in memory of its own, to be served in this era until then.
    pub(super) fn until(self, ends: Instant, era: u32) -> Self {
        let ends = nanos(ends.saturating_duration_since(self.read));
        Self { value: Bytes::copy_from_slice(&self.value), ends, era, ..self }
    }

    /// Whether it may be served now, in this era.
    pub(super) fn counts(&self, era: u32, now: Instant) -> bool {
        self.era == era && nanos(now.saturating_duration_since(self.read)) < self.ends
    }

    pub(super) fn version(&self) -> Option<Version> {
        let version = Version { epoch: self.epoch, counter: self.counter };
        self.versioned.then_some(version)
    }

    /// As a record, its times counted from now.
    pub(crate) fn record(&self, now: Instant) -> Record {
        let since = nanos(now.saturating_duration_since(self.read));
        let left = Duration::from_nanos(self.expires.saturating_sub(since));
        let ttl = (self.expires != NEVER).then_some(left.max(Duration::from_millis(1)));
        Record { value: self.value.clone(), version: self.version(), ttl }
    }

    /// How long ago it was taken from the record.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.age) + now.saturating_duration_since(self.read)
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

/// 584 years at most.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

/// A key as it is kept: in half the room of a `Key`, by which it is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(Box<[u8]>);

impl Name {
    pub(super) fn of(key: &Key) -> Self {
        Self(key.as_bytes().into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_key(self) -> Key {
        Key::new(self.0)
    }
}

impl Equivalent<Name> for Key {
    fn equivalent(&self, name: &Name) -> bool {
        *self.as_bytes() == *name.0
    }
}

/// Of a key of this length.
pub(super) fn weight(key: usize, kept: &Kept) -> u64 {
    (key as u64).saturating_add(kept.value.len() as u64).saturating_add(OVERHEAD)
}

/// Bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight;

impl Weighter<Name, Arc<Kept>> for Weight {
    fn weight(&self, name: &Name, kept: &Arc<Kept>) -> u64 {
        weight(name.0.len(), kept)
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

impl Lifecycle<Name, Arc<Kept>> for Evicted {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _name: Name, _kept: Arc<Kept>) {
        self.0.fetch_add(1, Relaxed);
    }
}
