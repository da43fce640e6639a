//! Versions that this process has lately given to keys or read of them: what its journaled writes are based on.
//! It must not know IO. Bounded: what is forgotten makes a conflict of what would have been none, never the reverse.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::entry::{Key, Version};

/// Keys of one generation; there are two.
const GENERATION_MAX: usize = 8192;

/// Of the keys of routes with a journal.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<Key, Versions>,
    old: BTreeMap<Key, Versions>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Versions {
    given: Option<Version>,
    any: Option<Version>,
}

impl Seen {
    /// A write of this process gave the key this version.
    pub(crate) fn gave(&self, key: &Key, version: Version) {
        self.note(key, |versions| {
            versions.given = versions.given.max(Some(version));
            versions.any = versions.any.max(Some(version));
        });
    }

    /// The record showed this version.
    pub(crate) fn read(&self, key: &Key, version: Version) {
        self.note(key, |versions| versions.any = versions.any.max(Some(version)));
    }

    /// The newest version that a write of this process gave.
    pub(crate) fn given(&self, key: &Key) -> Option<Version> {
        self.lock().get(key).given
    }

    /// The newest version known.
    pub(crate) fn newest(&self, key: &Key) -> Option<Version> {
        self.lock().get(key).any
    }

    fn note(&self, key: &Key, change: impl FnOnce(&mut Versions)) {
        let mut seen = self.lock();
        let mut versions = seen.get(key);
        change(&mut versions);
        if let Some(known) = seen.young.get_mut(key) {
            *known = versions;
            return;
        }
        if seen.young.len() >= GENERATION_MAX {
            seen.old = std::mem::take(&mut seen.young);
        }
        seen.young.insert(key.kept(), versions);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&self, key: &Key) -> Versions {
        self.young.get(key).or_else(|| self.old.get(key)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(counter: u64) -> Version {
        Version { epoch: 1, counter }
    }

    #[test]
    fn what_was_read_is_no_write_of_ones_own() {
        let (seen, key) = (Seen::default(), Key::from("k"));
        seen.gave(&key, version(3));
        seen.read(&key, version(5));
        seen.read(&key, version(4));
        assert_eq!((seen.given(&key), seen.newest(&key)), (Some(version(3)), Some(version(5))));
        assert_eq!(seen.newest(&"other".into()), None);
    }

    #[test]
    fn it_is_bounded_and_forgets_the_oldest() {
        let seen = Seen::default();
        for number in 0..3 * GENERATION_MAX {
            seen.gave(&Key::from(format!("k{number}")), version(1));
        }
        let young = seen.lock().young.len();
        let old = seen.lock().old.len();
        assert!(young <= GENERATION_MAX && old <= GENERATION_MAX, "{young} {old}");
        assert_eq!(seen.given(&"k0".into()), None);
        let last = Key::from(format!("k{}", 3 * GENERATION_MAX - 1));
        assert_eq!(seen.given(&last), Some(version(1)));
    }
}
