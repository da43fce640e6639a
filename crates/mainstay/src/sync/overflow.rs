//! What a lower backend of a failover route took for a higher one, by key, until it has been moved up or discarded.
//! It must not know how it is moved. Memory of this process; what outlives it stands in rows at the backend (`sync::rows`).

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use smallvec::SmallVec;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{entry::Key, op::Op, route::NodeId};

/// Keys that are remembered at most: memory stays bounded.
const KEYS_MAX: usize = 100_000;

/// Keys share this many locks.
const STRIPES: usize = 64;

/// The keys, each with the backends that have taken it.
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
    keys: BTreeMap<(Key, NodeId), Taken>,
}

/// One key at one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Who took it.
    pub(crate) by: NodeId,
    /// A better backend has a newer value: what `by` holds is only to be deleted.
    pub(crate) superseded: bool,
    /// The number of its row at `by` as it was read last; `None`: not read since `by` took it.
    pub(crate) row: Option<u64>,
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

    /// Who has this key, beside the one whose it is.
    pub(crate) fn of(&self, key: &Key) -> SmallVec<[Taken; 2]> {
        if self.is_empty() {
            return SmallVec::new();
        }
        let ends = (key.clone(), NodeId::MIN)..=(key.clone(), NodeId::MAX);
        self.lock().keys.range(ends).map(|(_, taken)| *taken).collect()
    }

    /// What `by` has of this key.
    pub(crate) fn at(&self, key: &Key, by: NodeId) -> Option<Taken> {
        if self.is_empty() { None } else { self.lock().keys.get(&(key.clone(), by)).copied() }
    }

    /// `by` took a write to this key. False: there are too many, and it is not remembered.
    pub(crate) fn took(&self, key: &Key, by: NodeId) -> bool {
        self.put(key, by, false, None)
    }

    /// `by` has a row of this number for the key. False as of `took`.
    pub(crate) fn found(&self, key: &Key, by: NodeId, row: u64) -> bool {
        // What this process knows already is newer, or the same.
        self.at(key, by).is_some() || self.put(key, by, false, Some(row))
    }

    /// A better backend was given a newer value than whatever `by` may have. Beyond the bound that is not remembered.
    pub(crate) fn replaced(&self, key: &Key, by: NodeId) {
        if self.at(key, by).is_none() {
            self.put(key, by, true, None);
        }
    }

    fn put(&self, key: &Key, by: NodeId, superseded: bool, row: Option<u64>) -> bool {
        let mut inner = self.lock();
        let sequence = inner.sequence + 1;
        let taken = Taken { by, superseded, row, sequence };
        let room = inner.keys.len() < KEYS_MAX;
        let fits = match inner.keys.get_mut(&(key.clone(), by)) {
            Some(before) => {
                *before = taken;
                true
            }
            None if room => inner.keys.insert((key.kept(), by), taken).is_none(),
            None => false,
        };
        if fits {
            inner.sequence = sequence;
        }
        self.publish(&inner);
        fits
    }

    /// A better backend has a newer value than this entry's.
    pub(crate) fn supersede(&self, key: &Key, taken: &Taken) {
        self.change(key, taken, |now| now.superseded = true);
    }

    /// A better backend has the value of this row.
    pub(crate) fn given(&self, key: &Key, taken: &Taken, row: Option<u64>) {
        self.change(key, taken, |now| (now.superseded, now.row) = (true, row));
    }

    /// `by` has a newer value than what was given on.
    pub(crate) fn renewed(&self, key: &Key, taken: &Taken) {
        self.change(key, taken, |now| (now.superseded, now.row) = (false, None));
    }

    fn change(&self, key: &Key, taken: &Taken, change: impl FnOnce(&mut Taken)) {
        let mut inner = self.lock();
        let found = inner.keys.get_mut(&(key.clone(), taken.by));
        if let Some(now) = found.filter(|now| now.sequence == taken.sequence) {
            change(now);
        }
    }

    /// Up to `max` keys that `from` took, after this key.
    pub(crate) fn due(&self, from: NodeId, after: Option<&Key>, max: usize) -> Vec<Key> {
        let after = after.map_or(Bound::Unbounded, |key| Bound::Excluded((key.clone(), from)));
        let inner = self.lock();
        let keys = inner.keys.range((after, Bound::Unbounded));
        keys.filter(|(_, taken)| taken.by == from)
            .take(max)
            .map(|((key, _), _)| key.clone())
            .collect()
    }

    /// This one was moved or discarded, unless it was taken again since.
    pub(crate) fn settled(&self, key: &Key, taken: &Taken) {
        let mut inner = self.lock();
        let place = (key.clone(), taken.by);
        if inner.keys.get(&place).is_some_and(|now| now.sequence == taken.sequence) {
            inner.keys.remove(&place);
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_waits_keeps_no_buffer_alive_that_a_key_came_in() {
        let (overflow, buffer) = (Overflow::default(), Bytes::from(vec![b'k'; 4096]));
        assert!(overflow.took(&Key::new(buffer.slice(..3)), 1));
        assert_eq!(overflow.len(), 1);
        assert!(buffer.is_unique());
    }
}
