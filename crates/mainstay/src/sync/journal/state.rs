//! What waits and what is dead, in memory: for reads, for the one who applies, for the journal's own bounds.
//! It must not know files; whoever changes it has put the change on the disk before.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    JournalLimits,
    entry::{DeadLetter, JournalEntry},
    overlay::{Overlaid, Overlay},
};
use crate::{entry::Key, live::Live};

/// Shared by the journal's handle and its writer.
#[derive(Debug)]
pub(super) struct Shared {
    /// Read without the lock: nothing waits nearly always.
    depth: AtomicU64,
    /// Bytes of all files of the journal.
    pub(super) disk_bytes: AtomicU64,
    /// How much is taken before more is refused.
    pub(super) limits: Live<JournalLimits>,
    state: Mutex<State>,
}

/// What waits and what is dead.
#[derive(Debug, Default)]
pub(super) struct State {
    pending: BTreeMap<u64, Pending>,
    overlay: Overlay,
    pub(super) dead: BTreeMap<u64, DeadLetter>,
}

/// An entry that waits, and the segment it stands in.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) entry: Arc<JournalEntry>,
    pub(super) segment: u64,
}

impl Shared {
    pub(super) fn new(limits: JournalLimits) -> Self {
        Self {
            depth: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(0),
            limits: Live::new(limits),
            state: Mutex::default(),
        }
    }

    pub(super) fn depth(&self) -> u64 {
        self.depth.load(Ordering::Acquire)
    }

    /// What waits for this key.
    pub(super) fn overlaid(&self, key: &Key) -> Option<Overlaid> {
        if self.depth() == 0 { None } else { self.lock().overlay.get(key) }
    }

    /// Looks at the state.
    pub(super) fn with<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// These wait from now on.
    pub(super) fn add(&self, entries: Vec<JournalEntry>, segment: u64) {
        let mut state = self.lock();
        for entry in entries {
            state.overlay.add(&entry);
            state.pending.insert(entry.seq, Pending { entry: Arc::new(entry), segment });
        }
        self.publish(&state);
    }

    /// The record has this one. Returns the segment it stood in.
    pub(super) fn applied(&self, seq: u64) -> Option<u64> {
        let mut state = self.lock();
        let Pending { entry, segment } = state.pending.remove(&seq)?;
        state.overlay.applied(&entry);
        self.publish(&state);
        Some(segment)
    }

    /// This one is dead.
    pub(super) fn died(&self, letter: DeadLetter) -> Option<u64> {
        let mut guard = self.lock();
        let State { pending, overlay, dead } = &mut *guard;
        let Pending { entry, segment } = pending.remove(&letter.entry.seq)?;
        overlay.discarded(&entry, |seq| pending.get(&seq).map(|other| &*other.entry));
        dead.insert(entry.seq, letter);
        self.publish(&guard);
        Some(segment)
    }

    /// A dead letter is of no use any more.
    pub(super) fn discarded(&self, seq: u64) {
        self.lock().dead.remove(&seq);
    }

    /// What was found at the opening.
    pub(super) fn load_dead(&self, letters: Vec<DeadLetter>) {
        self.lock().dead.extend(letters.into_iter().map(|letter| (letter.entry.seq, letter)));
    }

    fn publish(&self, state: &State) {
        self.depth.store(state.pending.len() as u64, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    pub(super) fn pending(&self, seq: u64) -> Option<&Pending> {
        self.pending.get(&seq)
    }

    pub(super) fn oldest(&self) -> Option<&JournalEntry> {
        self.pending.first_key_value().map(|(_, pending)| &*pending.entry)
    }

    pub(super) fn page(&self, after: Option<u64>, max: usize) -> Vec<JournalEntry> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries =
            self.pending.range((from, Bound::Unbounded)).map(|(_, pending)| &pending.entry);
        entries.take(max).map(|entry| JournalEntry::clone(entry)).collect()
    }
}
