//! Keys whose rows somebody else holds, as far as is known: a write that went alone waits there for longer than all that go
//! together may. One write finds out; who comes to the key meanwhile waits for its turn. Pure.
//! It must not know statements, nor who waits.

use std::collections::BTreeMap;

use crate::entry::Key;

/// What is known of the row of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// A write of ours waits for it.
    Waited,
    /// That write has ended, and the row may still be held: the next one finds out, alone.
    Doubtful,
}

/// The keys. None stays that nobody waits for.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<Key, Row>);

impl Held {
    /// Whether a write to this key does not go together with others.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    /// A write of ours waits for its row.
    pub(super) fn waited(&mut self, key: &Key) {
        self.0.insert(key.clone(), Row::Waited);
    }

    /// The write that waited has ended, and the row may still be held.
    pub(super) fn doubted(&mut self, key: &Key) {
        self.0.insert(key.clone(), Row::Doubtful);
    }

    /// Its row is not held, or nobody wants it.
    pub(super) fn free(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// The first of these keys that a write has to find out about, where it stands; it waits from now on. The others that were
    /// doubtful are wanted by nobody.
    pub(super) fn next<'a>(&mut self, mut wanted: impl Iterator<Item = &'a Key>) -> Option<usize> {
        if !self.0.values().any(|row| *row == Row::Doubtful) {
            return None;
        }
        let found = wanted.position(|key| match self.0.get_mut(key) {
            Some(row) if *row == Row::Doubtful => {
                *row = Row::Waited;
                true
            }
            _ => false,
        });
        if found.is_none() {
            self.0.retain(|_, row| *row == Row::Waited);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_write_at_a_time_finds_out_and_nothing_stays_that_nobody_wants() {
        let (a, b, c) = (Key::from("a"), Key::from("b"), Key::from("c"));
        let mut held = Held::default();
        held.waited(&a);
        held.waited(&b);
        assert!(held.has(&a) && !held.has(&c));
        assert_eq!(held.next([&c, &a, &b].into_iter()), None, "each is waited for");
        held.doubted(&a);
        assert_eq!(held.next([&c, &b, &a, &a].into_iter()), Some(2));
        assert_eq!(held.next([&a].into_iter()), None, "it is waited for again");
        held.free(&a);
        held.doubted(&b);
        assert!(!held.has(&a) && held.has(&b));
        assert_eq!(held.next([&c].into_iter()), None);
        assert!(held.0.is_empty());
    }
}
