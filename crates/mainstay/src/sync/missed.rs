//! The keys whose copies on one cache cannot be trusted by this process: a write is under way, or its invalidation has
//! not been confirmed. Also, for a failover route, the keys that a lower backend took for a higher one.
//! It must not know how a key is made true again; it only remembers which, and since which write.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{clock::Instant, entry::Key};

/// Above this many keys the whole cache is distrusted instead: memory stays bounded.
pub(crate) const KEYS_MAX: usize = 100_000;

/// A bounded set of keys, each with the number of the write that put it there last.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    /// Read without the lock: nothing is missed nearly always.
    len: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sequence: u64,
    /// More than `KEYS_MAX` keys were missed: no copy can be trusted.
    all: bool,
    /// The whole cache is being emptied: what is missed from here on is remembered by key again.
    emptying: bool,
    /// A write of unknown outcome, no longer remembered by key, may still be committed until then.
    all_not_before: Option<Instant>,
    /// Whose copies these are; empty: not known.
    identity: String,
    keys: BTreeMap<Key, Missing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    /// The last write.
    sequence: u64,
    /// Writes under way in this process.
    writers: u32,
    /// A write has ended whose invalidation is not confirmed; only the drain clears this.
    unconfirmed: bool,
    /// Not to be made true before this: a write whose outcome is unknown may still be committed until then.
    not_before: Option<Instant>,
}

/// A key to be made true again, as of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The key.
    pub(crate) key: Key,
    sequence: u64,
}

impl Missed {
    /// Whether the copy of this key may be read.
    pub(crate) fn is_true(&self, key: &Key) -> bool {
        if self.is_empty() {
            return true;
        }
        let inner = self.lock();
        !inner.all && !inner.keys.contains_key(key)
    }

    /// How many keys are missed; `KEYS_MAX` and one when the whole cache is distrusted.
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Relaxed)
    }

    /// Whether nothing is missed.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the whole cache is distrusted.
    pub(crate) fn is_all(&self) -> bool {
        self.lock().all
    }

    /// A write begins: its key's copy is not to be trusted until `settle`.
    pub(crate) fn begin(&self, key: &Key) {
        let mut inner = self.lock();
        inner.sequence += 1;
        let sequence = inner.sequence;
        if inner.keys.len() >= KEYS_MAX && !inner.keys.contains_key(key) {
            (inner.all, inner.emptying) = (true, false);
        }
        // Also then: writes under way are few, and an emptied cache must not forget them.
        let missing = inner.keys.entry(key.clone()).or_default();
        missing.sequence = sequence;
        missing.writers += 1;
        self.publish(&inner);
    }

    /// The write has ended. `confirmed`: it changed nothing, or its copy is known to be absent. Otherwise the key stays
    /// missed until the drain has made it true, and not before `not_before`.
    pub(crate) fn settle(&self, key: &Key, confirmed: bool, not_before: Option<Instant>) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if let Some(missing) = inner.keys.get_mut(key) {
            missing.writers = missing.writers.saturating_sub(1);
            missing.unconfirmed |= !confirmed;
            missing.not_before = missing.not_before.max(not_before);
            let covered = inner.all && !inner.emptying;
            if missing.writers == 0 && covered && missing.unconfirmed {
                inner.all_not_before = inner.all_not_before.max(missing.not_before);
            }
            if missing.writers == 0 && (covered || !missing.unconfirmed) {
                inner.keys.remove(key);
            }
        }
        let inner = guard;
        self.publish(&inner);
    }

    /// Up to `max` keys that can be made true now.
    pub(crate) fn due(&self, now: Instant, max: usize) -> Vec<Due> {
        let inner = self.lock();
        let ready = |missing: &Missing| {
            missing.writers == 0 && missing.not_before.is_none_or(|at| at <= now)
        };
        let due = inner.keys.iter().filter(|(_, missing)| ready(missing)).take(max);
        due.map(|(key, missing)| Due { key: key.clone(), sequence: missing.sequence }).collect()
    }

    /// These were made true, unless another write has come since.
    pub(crate) fn made_true(&self, due: &[Due]) {
        let mut inner = self.lock();
        for Due { key, sequence } in due {
            if inner
                .keys
                .get(key)
                .is_some_and(|missing| missing.sequence == *sequence && missing.writers == 0)
            {
                inner.keys.remove(key);
            }
        }
        self.publish(&inner);
    }

    /// The server that holds the copies says who it is. If it is another than before, or has another history (restarted
    /// with an older dump, a promoted replica), none of its copies can be trusted.
    pub(crate) fn meet(&self, identity: String) {
        let mut inner = self.lock();
        if !identity.is_empty() && !inner.identity.is_empty() && inner.identity != identity {
            inner.all = true;
            inner.emptying = false;
        }
        if !identity.is_empty() {
            inner.identity = identity;
        }
        self.publish(&inner);
    }

    /// Every copy is about to be deleted. False: not yet, a write of unknown outcome may still be committed.
    pub(crate) fn begin_all(&self, now: Instant) -> bool {
        let mut inner = self.lock();
        let due = inner.all_not_before.is_none_or(|at| at <= now);
        inner.emptying = inner.all && due;
        due
    }

    /// Every copy was deleted, as of `begin_all`. Unless the keys have overflowed again meanwhile, copies are trusted
    /// again by key; until then none is.
    pub(crate) fn made_all_true(&self) {
        let mut inner = self.lock();
        if inner.emptying {
            (inner.all, inner.emptying, inner.all_not_before) = (false, false, None);
        }
        self.publish(&inner);
    }

    fn publish(&self, inner: &Inner) {
        let len = if inner.all { KEYS_MAX + 1 } else { inner.keys.len() };
        self.len.store(len as u64, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    fn key(text: &str) -> Key {
        Key::from(text)
    }

    #[test]
    fn a_confirmed_write_leaves_nothing_behind() {
        let missed = Missed::default();
        missed.begin(&key("a"));
        assert!(!missed.is_true(&key("a")) && missed.is_true(&key("b")));
        missed.settle(&key("a"), true, None);
        assert!(missed.is_true(&key("a")) && missed.is_empty());
    }

    #[test]
    fn an_unconfirmed_write_is_not_cleared_by_a_later_confirmed_one() {
        let (missed, now) = (Missed::default(), Clock::system().now());
        missed.begin(&key("a"));
        missed.settle(&key("a"), false, Some(now + Duration::from_secs(4)));
        missed.begin(&key("a"));
        missed.settle(&key("a"), true, None);
        assert!(!missed.is_true(&key("a")));
        assert_eq!(missed.due(now, 10), []);
        let due = missed.due(now + Duration::from_secs(4), 10);
        missed.made_true(&due);
        assert!(missed.is_empty());
    }

    #[test]
    fn a_drain_does_not_clear_a_write_that_came_after_it_looked() {
        let (missed, now) = (Missed::default(), Clock::system().now());
        missed.begin(&key("a"));
        missed.settle(&key("a"), false, None);
        let due = missed.due(now, 10);
        missed.begin(&key("a"));
        missed.made_true(&due);
        assert!(!missed.is_true(&key("a")));
        missed.settle(&key("a"), false, None);
        missed.made_true(&due);
        assert!(!missed.is_true(&key("a")));
    }

    #[test]
    fn another_server_in_its_place_is_distrusted_as_a_whole() {
        let missed = Missed::default();
        missed.meet("a".to_owned());
        missed.meet(String::new());
        missed.meet("a".to_owned());
        assert!(missed.is_empty());
        missed.meet("b".to_owned());
        assert!(missed.is_all() && !missed.is_true(&key("any")));
        assert!(missed.begin_all(Clock::system().now()));
        missed.meet("b".to_owned());
        missed.made_all_true();
        assert!(missed.is_empty());
    }

    #[test]
    fn too_many_keys_distrust_the_whole_cache() {
        let missed = Missed::default();
        for n in 0..=KEYS_MAX {
            let key = key(&n.to_string());
            missed.begin(&key);
            missed.settle(&key, false, None);
        }
        assert!(missed.is_all() && !missed.is_true(&key("never written")));
    }

    /// The whole cache distrusted, with one write under way.
    fn distrusted() -> Missed {
        let missed = Missed::default();
        for n in 0..=KEYS_MAX {
            missed.begin(&key(&n.to_string()));
            missed.settle(&key(&n.to_string()), false, None);
        }
        missed.begin(&key("late"));
        missed
    }

    #[test]
    fn no_copy_is_trusted_before_all_are_gone() {
        let (missed, now) = (distrusted(), Clock::system().now());
        assert!(missed.begin_all(now));
        assert!(!missed.is_true(&key("never written")), "the deleting has only begun");
        // It was given up (the time for a readmission is over): the next one begins anew.
        assert!(missed.is_all() && missed.begin_all(now));
        missed.made_all_true();
        assert!(missed.is_true(&key("never written")));
    }

    #[test]
    fn a_write_under_way_outlives_the_emptying() {
        let (missed, now) = (distrusted(), Clock::system().now());
        assert!(missed.begin_all(now));
        missed.made_all_true();
        missed.settle(&key("late"), false, None);
        assert!(!missed.is_true(&key("late")));
    }

    #[test]
    fn a_write_that_ended_during_the_emptying_is_remembered() {
        let (missed, now) = (distrusted(), Clock::system().now());
        assert!(missed.begin_all(now));
        missed.settle(&key("late"), false, None);
        missed.made_all_true();
        assert!(!missed.is_true(&key("late")));
    }

    #[test]
    fn a_write_in_doubt_delays_the_emptying() {
        let (missed, now) = (distrusted(), Clock::system().now());
        missed.settle(&key("late"), false, Some(now + Duration::from_secs(4)));
        assert!(!missed.begin_all(now));
        missed.made_all_true();
        assert!(missed.is_all());
        assert!(missed.begin_all(now + Duration::from_secs(4)));
    }
}
