//! One shard: records in numbered places, an index by key, an order by expiry, a clock hand for eviction.
//! It must not know the other shards, versions' meaning, or what time it is.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use crate::{
    backend::semantics::Stored,
    entry::{Key, Version},
};

/// Bytes that a record is charged beyond its key and value: its place, its index entry, its expiry entry, and the
/// headers of two allocations.
pub const OVERHEAD: u64 = 192;

/// Records that the clock hand passes over before it takes the one under it in any case.
const SECOND_CHANCES: usize = 64;

/// One record.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) key: Key,
    pub(super) value: Bytes,
    pub(super) expires_at: Option<i64>,
    counter: u64,
    /// Whether it was used since the clock hand passed.
    used: bool,
}

impl Held {
    pub(super) fn expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    pub(super) fn version(&self) -> Version {
        Version { epoch: 1, counter: self.counter }
    }

    fn cost(&self) -> u64 {
        cost(self.key.as_bytes().len(), self.value.len())
    }
}

fn cost(key: usize, value: usize) -> u64 {
    (key as u64).saturating_add(value as u64).saturating_add(OVERHEAD)
}

/// A record keeps its place as long as it exists: that is what makes a place number a scan cursor.
#[derive(Debug)]
pub(super) struct Shard {
    index: HashMap<Key, usize>,
    places: Vec<Option<Held>>,
    free: Vec<usize>,
    due: BTreeSet<(i64, usize)>,
    hand: usize,
    /// Shared by all shards.
    bytes: Arc<AtomicU64>,
}

impl Shard {
    pub(super) fn new(bytes: Arc<AtomicU64>) -> Self {
        Self {
            index: HashMap::new(),
            places: Vec::new(),
            free: Vec::new(),
            due: BTreeSet::new(),
            hand: 0,
            bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The live record, marked as used. The time is asked for only where an expiry is in question.
    pub(super) fn find(&mut self, key: &Key, now: impl FnOnce() -> i64) -> Option<&Held> {
        let place = *self.index.get(key)?;
        let expires = self.places[place].as_ref().is_some_and(|held| held.expires_at.is_some());
        if expires && self.places[place].as_ref().is_some_and(|held| held.expired(now())) {
            self.take(place);
            return None;
        }
        let held = self.places[place].as_mut()?;
        held.used = true;
        Some(held)
    }

    pub(super) fn load(&mut self, key: &Key, now: i64) -> Option<Stored> {
        self.find(key, || now).map(|held| Stored {
            value: held.value.clone(),
            expires_at: held.expires_at,
            version: held.version(),
        })
    }

    pub(super) fn put(&mut self, key: &Key, value: Bytes, expires_at: Option<i64>, counter: u64) {
        // A value that came over a connection is a slice of that connection's buffer, and would hold all of it.
        let value = Bytes::copy_from_slice(&value);
        let place = match self.index.get(key) {
            Some(place) => *place,
            None => self.new_place(),
        };
        // A new record has to earn its second chance: if all had one, the hand would take a hot one as soon as any.
        let (key, used) = match self.places[place].take() {
            Some(old) => {
                self.forget(&old, place);
                (old.key, true)
            }
            None => {
                let key = key.kept();
                self.index.insert(key.clone(), place);
                (key, false)
            }
        };
        self.bytes.fetch_add(cost(key.as_bytes().len(), value.len()), Ordering::Relaxed);
        self.due.extend(expires_at.map(|at| (at, place)));
        self.places[place] = Some(Held { key, value, expires_at, counter, used });
    }

    pub(super) fn expire(&mut self, key: &Key, expires_at: Option<i64>, counter: u64) {
        let Some(place) = self.index.get(key).copied() else { return };
        let Some(held) = self.places[place].as_mut() else { return };
        if let Some(at) = held.expires_at {
            self.due.remove(&(at, place));
        }
        self.due.extend(expires_at.map(|at| (at, place)));
        held.expires_at = expires_at;
        held.counter = counter;
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(place) = self.index.get(key).copied() {
            self.take(place);
        }
    }

    /// Takes away up to `limit` expired records, the longest expired first.
    pub(super) fn take_due(&mut self, now: i64, limit: usize) -> usize {
        let mut taken = 0;
        while taken < limit
            && let Some((at, place)) = self.due.first().copied()
            && at <= now
        {
            self.take(place);
            taken += 1;
        }
        taken
    }

    /// Takes away the first record that was not used since the hand last passed. False: there is none at all.
    pub(super) fn evict(&mut self) -> bool {
        if self.index.is_empty() {
            return false;
        }
        let mut spared = 0;
        loop {
            let place = self.hand % self.places.len();
            self.hand = place + 1;
            match &mut self.places[place] {
                Some(held) if held.used && spared < SECOND_CHANCES => {
                    held.used = false;
                    spared += 1;
                }
                Some(_) => {
                    self.take(place);
                    return true;
                }
                None => {}
            }
        }
    }

    /// Empties the shard; returns how many records were live.
    pub(super) fn clear(&mut self, now: i64) -> usize {
        let live = self.live(now);
        let freed: u64 = self.places.iter().flatten().map(Held::cost).sum();
        *self = Self::new(Arc::clone(&self.bytes));
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
        live
    }

    /// How many records are live, without looking at each.
    pub(super) fn live(&self, now: i64) -> usize {
        self.index.len() - self.due.range(..=(now, usize::MAX)).count()
    }

    /// Shows the records in up to `steps` places from `from` on, until `each` says false; returns where to go on,
    /// `None` at the end.
    pub(super) fn walk(
        &self,
        from: usize,
        steps: usize,
        mut each: impl FnMut(&Held) -> bool,
    ) -> Option<usize> {
        let end = from.saturating_add(steps).min(self.places.len());
        let places = self.places.get(from..end)?.iter();
        let mut shown = places.zip(from + 1..);
        let stopped = shown.find(|(place, _)| place.as_ref().is_some_and(|held| !each(held)));
        let next = stopped.map_or(end, |(_, next)| next);
        (next < self.places.len()).then_some(next)
    }

    fn new_place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        })
    }

    fn take(&mut self, place: usize) {
        let Some(held) = self.places[place].take() else { return };
        self.forget(&held, place);
        self.index.remove(&held.key);
        self.free.push(place);
    }

    /// Takes a record out of the books, all but the index.
    fn forget(&mut self, held: &Held, place: usize) {
        self.bytes.fetch_sub(held.cost(), Ordering::Relaxed);
        if let Some(at) = held.expires_at {
            self.due.remove(&(at, place));
        }
    }
}
