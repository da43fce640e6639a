//! What a lower backend of a failover route took for a higher one, by key, until it has been moved up or discarded.
//! It must not know how it is moved. Memory of this process: a crash forgets it, and the entries stay where they are.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{entry::Key, op::Op, route::NodeId};

/// Keys that are remembered at most: memory stays bounded.
const KEYS_MAX: usize = 100_000;

/// Keys share this many locks.
const STRIPES: usize = 64;

/// The keys, each with the backend that took it last.
#[derive(Debug)]
pub(crate) struct Overflow {
    /// Read without the lock: nothing has overflowed nearly always.
    len: AtomicU64,
    inner: Mutex<Inner>,
    /// A write to a lower backend shares its keys' locks until it is remembered; who moves a key has it alone. So what
    /// is moved is never older than what was acknowledged, and nothing newer is deleted with it.
    stripes: Vec<RwLock<()>>,
}

#[derive(Debug, Default)]
struct Inner {
    sequence: u64,
    keys: BTreeMap<Key, Taken>,
}

/// One key's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Who took it.
    pub(crate) by: NodeId,
    /// A better backend has a newer value: what `by` holds is only to be deleted.
    pub(crate) superseded: bool,
    sequence: u64,
}

impl Default for Overflow {
    fn default() -> Self {
        Self {
            len: AtomicU64::new(0),
            inner: Mutex::default(),
            stripes: (0..STRIPES).map(|_| RwLock::new(())).collect(),
        }
    }
}

impl Overflow {
    /// Whether nothing has overflowed.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// Who has this key, if not the one whose it is.
    pub(crate) fn of(&self, key: &Key) -> Option<Taken> {
        if self.is_empty() { None } else { self.lock().keys.get(key).copied() }
    }

    /// `by` took a write to this key. Beyond the bound the key is not remembered.
    pub(crate) fn took(&self, key: &Key, by: NodeId) {
        let mut inner = self.lock();
        if inner.keys.len() < KEYS_MAX || inner.keys.contains_key(key) {
            inner.sequence += 1;
            let sequence = inner.sequence;
            inner.keys.insert(key.clone(), Taken { by, superseded: false, sequence });
        }
        self.publish(&inner);
    }

    /// A better backend has a newer value than this entry's.
    pub(crate) fn supersede(&self, key: &Key, taken: &Taken) {
        let mut inner = self.lock();
        if let Some(now) = inner.keys.get_mut(key).filter(|now| now.sequence == taken.sequence) {
            now.superseded = true;
        }
    }

    /// Up to `max` keys that `from` took, after this key.
    pub(crate) fn due(&self, from: NodeId, after: Option<&Key>, max: usize) -> Vec<Key> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let inner = self.lock();
        let keys = inner.keys.range((after, Bound::Unbounded));
        keys.filter(|(_, taken)| taken.by == from).take(max).map(|(key, _)| key.clone()).collect()
    }

    /// This one was moved or discarded, unless it was taken again since.
    pub(crate) fn settled(&self, key: &Key, taken: &Taken) {
        let mut inner = self.lock();
        if inner.keys.get(key).is_some_and(|now| now.sequence == taken.sequence) {
            inner.keys.remove(key);
        }
        self.publish(&inner);
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().keys.len()
    }

    /// Held by a write to a lower backend until `took`.
    pub(crate) async fn writing(&self, op: &Op) -> Vec<RwLockReadGuard<'_, ()>> {
        let mut wanted = Vec::new();
        op.for_each_key(|key| wanted.push(stripe(key)));
        wanted.sort_unstable();
        wanted.dedup();
        let mut held = Vec::with_capacity(wanted.len());
        for stripe in wanted {
            held.push(self.stripes[stripe].read().await);
        }
        held
    }

    /// Held by who moves a key.
    pub(crate) async fn moving(&self, key: &Key) -> RwLockWriteGuard<'_, ()> {
        self.stripes[stripe(key)].write().await
    }

    fn publish(&self, inner: &Inner) {
        self.len.store(inner.keys.len() as u64, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stripe(key: &Key) -> usize {
    let bytes = key.as_bytes().iter();
    bytes.fold(17_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte)))
        % STRIPES
}
