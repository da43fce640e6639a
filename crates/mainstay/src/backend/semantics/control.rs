//! The control state that a record keeps for its caches, and what each `RecordOp` does to it, as a pure state machine.
//! It must not know how rows are stored or locked. Memory runs this; SQL has it as statements and is held to it by the
//! conformance suite.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use crate::{
    entry::{Key, Version},
    op::{Base, Control, DirtyRow, LeaseRow, Op, OpClass, Terms, Under},
    reply::Reply,
};

#[cfg(test)]
mod tests;

/// Not a cache, and no backend can have this name: its dirty keys are those that a record took for a better backend of a
/// failover route. The dirty rows of a journaled write are not made for it.
pub const OVERFLOW: &str = "/overflow";

/// Everything that a record keeps beside its values. `now_us` is the record's clock, Unix microseconds.
#[derive(Clone, Debug, Default)]
pub struct ControlState {
    caches: BTreeMap<Arc<str>, Cache>,
    journals: BTreeMap<u128, Applications>,
}

#[derive(Clone, Debug)]
struct Cache {
    control: Control,
    raised_us: i64,
    degraded_us: i64,
    /// Rises with each write around the cache; a dirty row carries the number of the last one.
    number: u64,
    dirty: BTreeMap<Key, Dirty>,
}

#[derive(Clone, Copy, Debug)]
struct Dirty {
    number: u64,
    since_us: i64,
    open_until_us: i64,
}

/// What a journal has applied.
#[derive(Clone, Debug, Default)]
struct Applications {
    seq: u64,
    /// The versions that its own writes gave: a later one of them is based on those.
    versions: BTreeMap<Key, Version>,
}

/// Whether a guarded write may be performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Now, in the same transaction.
    Go,
    /// Not any more.
    Overtaken,
    /// Not yet; the dirty rows that were made stay.
    Wait(Duration),
}

/// Whether a journaled write may be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applicable {
    /// Now.
    Go,
    /// It was.
    Already,
    /// Somebody else wrote this key since.
    Conflict(Key),
}

impl ControlState {
    /// `RecordOp::Lease`.
    pub fn lease(
        &mut self,
        cache: &Arc<str>,
        terms: Terms,
        id: u64,
        dirty_max: usize,
        now_us: i64,
    ) -> LeaseRow {
        let cache = self.caches.entry(Arc::clone(cache)).or_insert_with(|| Cache::new(id, terms));
        let dirty: Vec<Key> = cache.dirty.keys().take(dirty_max).cloned().collect();
        let more = cache.dirty.len() > dirty.len();
        let age = u64::try_from(now_us.saturating_sub(cache.raised_us)).unwrap_or(0);
        let control = Control { beacon_age: Duration::from_micros(age), ..cache.control.clone() };
        LeaseRow { control, dirty, more, now_us }
    }

    /// `RecordOp::Commit`, before the write. `keys` are those of the write. Without a control row there is no cache to
    /// protect.
    pub fn may_commit(
        &mut self,
        cache: &str,
        under: Under,
        keys: &[Key],
        now_us: i64,
    ) -> Permission {
        let Some(cache) = self.caches.get_mut(cache) else {
            return match under {
                Under::Mark { .. } => Permission::Overtaken,
                Under::Around { .. } => Permission::Go,
            };
        };
        match under {
            Under::Mark { epoch, deadline_us } => {
                let stands = cache.control.active && cache.control.epoch == epoch;
                if stands && now_us < deadline_us { Permission::Go } else { Permission::Overtaken }
            }
            Under::Around { known_for, open_for } if cache.control.active => {
                cache.around(keys, known_for, open_for, now_us)
            }
            Under::Around { known_for, .. } => wait_for(known_for, cache.degraded_us, now_us),
        }
    }

    /// `RecordOp::Dirty`.
    pub fn dirty(&self, cache: &str, from: Option<&Key>, limit: usize) -> Vec<DirtyRow> {
        let Some(cache) = self.caches.get(cache) else { return Vec::new() };
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        let rows = cache.dirty.range((from, Bound::Unbounded)).take(limit);
        rows.map(|(key, row)| DirtyRow { key: key.clone(), number: row.number }).collect()
    }

    /// `RecordOp::Drained`; how many went.
    pub fn drained(&mut self, cache: &str, rows: &[DirtyRow], now_us: i64) -> usize {
        let Some(cache) = self.caches.get_mut(cache) else { return 0 };
        let before = cache.dirty.len();
        for row in rows {
            let stands =
                |dirty: &Dirty| dirty.number == row.number && dirty.open_until_us <= now_us;
            if cache.dirty.get(&row.key).is_some_and(stands) {
                cache.dirty.remove(&row.key);
            }
        }
        before - cache.dirty.len()
    }

    /// `RecordOp::Degrade`; whether this call did it.
    pub fn degrade(&mut self, cache: &str, epoch: u64, reason: &str, now_us: i64) -> bool {
        match self.at(cache, epoch, true) {
            Some(cache) => {
                (cache.control.active, cache.control.epoch) = (false, epoch + 1);
                reason.clone_into(&mut cache.control.reason);
                cache.degraded_us = now_us;
                true
            }
            None => false,
        }
    }

    /// `RecordOp::Readmit`; whether this call did it.
    pub fn readmit(
        &mut self,
        cache: &str,
        epoch: u64,
        identity: &str,
        beacon: u64,
        now_us: i64,
    ) -> bool {
        let Some(cache) = self.at(cache, epoch, false) else { return false };
        let control = &mut cache.control;
        (control.active, control.epoch) = (true, epoch + 1);
        control.generation += 1;
        control.reason.clear();
        identity.clone_into(&mut control.identity);
        (control.beacon, cache.raised_us) = (beacon, now_us);
        cache.dirty.clear();
        true
    }

    /// `RecordOp::Raised`; whether it rose.
    pub fn raised(&mut self, cache: &str, epoch: u64, beacon: u64, now_us: i64) -> bool {
        match self.at(cache, epoch, true).filter(|cache| cache.control.beacon < beacon) {
            Some(cache) => {
                (cache.control.beacon, cache.raised_us) = (beacon, now_us);
                true
            }
            None => false,
        }
    }

    /// `RecordOp::Apply`, before the write. `row` gives the version and the time (Unix microseconds, the record's clock) of
    /// the last write to a key, deletes included.
    pub fn may_apply(
        &self,
        journal: u128,
        seq: u64,
        base: Base,
        keys: &[Key],
        row: impl Fn(&Key) -> Option<(Version, i64)>,
    ) -> Applicable {
        let own = self.journals.get(&journal);
        if own.is_some_and(|own| seq <= own.seq) {
            return Applicable::Already;
        }
        let foreign = |key: &&Key| {
            let Some((version, written_us)) = row(key) else { return false };
            let by_itself = own.and_then(|own| own.versions.get(*key)) == Some(&version);
            let seen = base.version == Some(version);
            let before = base.known_until_us.is_some_and(|until| written_us <= until);
            !(by_itself || seen || before)
        };
        match keys.iter().find(foreign) {
            Some(key) => Applicable::Conflict(key.clone()),
            None => Applicable::Go,
        }
    }

    /// `RecordOp::Apply`, after the write, in the same transaction: what it gave, and the keys are dirty everywhere.
    pub fn applied(
        &mut self,
        journal: u128,
        seq: u64,
        keys: &[Key],
        versions: impl IntoIterator<Item = (Key, Version)>,
        now_us: i64,
    ) {
        let own = self.journals.entry(journal).or_default();
        own.seq = seq;
        own.versions.extend(versions);
        for (name, cache) in &mut self.caches {
            if cache.control.active && **name != *OVERFLOW {
                cache.around(keys, None, Duration::ZERO, now_us);
            }
        }
    }

    /// The keys that are dirty for a cache.
    pub fn dirty_keys(&self, cache: &str) -> BTreeSet<Key> {
        self.caches
            .get(cache)
            .map(|cache| cache.dirty.keys().cloned().collect())
            .unwrap_or_default()
    }

    fn at(&mut self, cache: &str, epoch: u64, active: bool) -> Option<&mut Cache> {
        let stands =
            |cache: &&mut Cache| cache.control.epoch == epoch && cache.control.active == active;
        self.caches.get_mut(cache).filter(stands)
    }
}

impl Cache {
    /// Degraded since ever: whoever readmits it first need not wait for anybody.
    fn new(id: u64, terms: Terms) -> Self {
        let control = Control {
            id,
            active: false,
            epoch: 0,
            generation: 0,
            identity: String::new(),
            beacon: 0,
            beacon_age: Duration::ZERO,
            reason: "never used".to_owned(),
            terms,
        };
        Self { control, raised_us: 0, degraded_us: 0, number: 0, dirty: BTreeMap::new() }
    }

    /// Makes the keys dirty; they may be written once all of them have been so for long enough.
    fn around(
        &mut self,
        keys: &[Key],
        known_for: Option<Duration>,
        open_for: Duration,
        now_us: i64,
    ) -> Permission {
        let mut youngest = i64::MIN;
        for key in keys {
            self.number += 1;
            let number = self.number;
            let new = Dirty { number, since_us: now_us, open_until_us: now_us };
            let row = self.dirty.entry(key.entered(&self.dirty)).or_insert(new);
            row.number = number;
            youngest = youngest.max(row.since_us);
        }
        let permission = wait_for(known_for, youngest, now_us);
        if let Permission::Wait(_) = permission {
            let open_until_us = now_us.saturating_add(micros(open_for));
            for key in keys {
                if let Some(row) = self.dirty.get_mut(key) {
                    row.open_until_us = row.open_until_us.max(open_until_us);
                }
            }
        }
        permission
    }
}

/// What a write around a cache may do, when its keys have been dirty, or the cache degraded, since `since_us`.
pub fn wait_for(known_for: Option<Duration>, since_us: i64, now_us: i64) -> Permission {
    let Some(known_for) = known_for else { return Permission::Go };
    let known = u64::try_from(now_us.saturating_sub(since_us)).unwrap_or(0);
    match known_for.checked_sub(Duration::from_micros(known)) {
        Some(left) if !left.is_zero() => Permission::Wait(left),
        _ => Permission::Go,
    }
}

/// Whether a write around a cache leaves its dirty rows: what was refused changed nothing elsewhere either, but what is
/// deleted is deleted everywhere.
pub fn leaves_rows(write: &Op, reply: &Reply) -> bool {
    let deletes = matches!(write, Op::Delete { .. } | Op::DeleteMany { .. });
    match reply {
        Reply::Written(written) => {
            written.applied || (deletes && write.class() == OpClass::LastWriterWins)
        }
        _ => true,
    }
}

/// Microseconds as a column holds them.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
