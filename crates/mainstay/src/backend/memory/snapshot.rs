//! Memory that plays a server: it is restarted empty, from an old dump, or as somebody else.
//! It must not know who plays; for tests and simulations.

use std::sync::{PoisonError, atomic::Ordering};

use bytes::Bytes;

use super::{Memory, SHARDS, control::Control, shard_of};
use crate::{backend::semantics::locks::LockState, entry::Key};

/// Everything that a memory backend held at one moment.
#[derive(Clone, Debug)]
pub struct MemorySnapshot {
    entries: Vec<Taken>,
    control: Control,
    locks: LockState,
}

#[derive(Clone, Debug)]
struct Taken {
    key: Key,
    value: Bytes,
    expires_at: Option<i64>,
    counter: u64,
}

impl Memory {
    /// What it holds now, as a server would dump it.
    pub fn snapshot(&self) -> MemorySnapshot {
        let control = self.lock_control().clone();
        let locks = self.lock_locks().clone();
        let mut entries = Vec::new();
        for index in 0..SHARDS {
            self.lock(index).walk(0, usize::MAX, |held| {
                entries.push(Taken {
                    key: held.key.clone(),
                    value: held.value.clone(),
                    expires_at: held.expires_at,
                    counter: held.version().counter,
                });
                true
            });
        }
        MemorySnapshot { entries, control, locks }
    }

    /// Forgets everything and holds what was dumped then. Versions go on rising.
    pub fn restore(&self, snapshot: &MemorySnapshot) {
        self.clear();
        for taken in &snapshot.entries {
            let mut shard = self.lock(shard_of(&taken.key));
            shard.put(&taken.key, taken.value.clone(), taken.expires_at, taken.counter);
        }
        *self.lock_control() = snapshot.control.clone();
        *self.lock_locks() = snapshot.locks.clone();
        self.followers.all_changed();
    }

    /// As whom it answers the beacon from now on.
    pub fn set_identity(&self, identity: impl Into<String>) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity.into();
    }

    /// Ends every feed, as a lost connection would.
    pub fn end_feeds(&self) {
        self.followers.end("the feed has broken");
    }

    /// Whether it says that marks can be evicted.
    pub fn set_evicts(&self, evicts: bool) {
        self.evicts.store(evicts, Ordering::Relaxed);
    }

    /// Takes one entry away, as memory pressure would.
    pub fn evict(&self, key: &Key) {
        let mut shard = self.lock(shard_of(key));
        shard.remove(key);
        self.followers.changed(key);
    }
}
