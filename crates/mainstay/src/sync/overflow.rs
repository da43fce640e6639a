//! What a lower backend of a failover route took for a higher one, by key, until it has been moved up or discarded.
//! It must not know how it is moved. Memory of this process: a crash forgets it, and the entries stay where they are.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::missed::KEYS_MAX;
use crate::{entry::Key, route::NodeId};

/// The keys, each with the backend that took it last.
#[derive(Debug, Default)]
pub(crate) struct Overflow(Mutex<BTreeMap<Key, NodeId>>);

impl Overflow {
    /// `by` took a write to this key. Beyond the bound the key is not remembered.
    pub(crate) fn took(&self, key: &Key, by: NodeId) {
        let mut keys = self.lock();
        if keys.len() < KEYS_MAX || keys.contains_key(key) {
            keys.insert(key.clone(), by);
        }
    }

    /// Up to `max` keys that backends other than `to` took.
    pub(crate) fn due(&self, to: NodeId, max: usize) -> Vec<(Key, NodeId)> {
        self.lock()
            .iter()
            .filter(|(_, by)| **by != to)
            .take(max)
            .map(|(key, by)| (key.clone(), *by))
            .collect()
    }

    /// This one was moved or discarded, unless another backend has taken it since.
    pub(crate) fn settled(&self, key: &Key, by: NodeId) {
        let mut keys = self.lock();
        if keys.get(key) == Some(&by) {
            keys.remove(key);
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, NodeId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
