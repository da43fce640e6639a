//! Which prefixes were invalidated, and which values that concerns: a bounded list in the order of the invalidations.
//! It must not know where it is kept.
//!
//! A value carries the number of the last invalidation before its load; it has ended when a prefix of its key has a later
//! one. `\0mp1` last:u64 (number:u64 length:u16 prefix)…, big-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const MAGIC: &[u8] = b"\0mp1";

/// Prefixes that are kept apart. One more, and the two that have most in common become that: it ends more values than it
/// must, never fewer.
const PREFIXES_MAX: usize = 64;

/// The list of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefixes {
    /// The number of the last invalidation.
    last: u64,
    marks: Vec<(u64, Bytes)>,
}

impl Prefixes {
    /// An empty one. `start`: higher than any number of a list that was lost before, such as the time.
    pub(super) fn new(start: u64) -> Self {
        Self { last: start, marks: Vec::new() }
    }

    /// What a value that is loaded from now on carries.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// All values under this prefix end.
    pub(super) fn add(&mut self, prefix: &[u8]) {
        self.last += 1;
        self.marks.retain(|(_, older)| !older.starts_with(prefix));
        self.marks.push((self.last, Bytes::copy_from_slice(prefix)));
        while self.marks.len() > PREFIXES_MAX {
            self.merge_closest();
        }
    }

    /// Whether a value of this key, which carries `since`, has ended.
    pub(super) fn ended(&self, key: &[u8], since: u64) -> bool {
        self.marks.iter().any(|(number, prefix)| *number > since && key.starts_with(prefix))
    }

    fn merge_closest(&mut self) {
        let count = self.marks.len();
        let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        let common = |(a, b): &(usize, usize)| common_len(&self.marks[*a].1, &self.marks[*b].1);
        let Some((a, b)) = pairs.max_by_key(common) else { return };
        let (later, other) = (self.marks.remove(b), self.marks.remove(a));
        let prefix = later.1.slice(..common_len(&later.1, &other.1));
        self.marks.push((later.0.max(other.0), prefix));
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_slice(MAGIC);
        bytes.put_u64(self.last);
        for (number, prefix) in &self.marks {
            bytes.put_u64(*number);
            bytes.put_u16(u16::try_from(prefix.len()).unwrap_or(u16::MAX));
            bytes.put_slice(prefix);
        }
        bytes.freeze()
    }

    /// What was stored; `None`: something else.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        bytes.advance(MAGIC.len());
        let last = bytes.try_get_u64().ok()?;
        let mut marks = Vec::new();
        while !bytes.is_empty() {
            let number = bytes.try_get_u64().ok()?;
            let length = usize::from(bytes.try_get_u16().ok()?);
            if length > bytes.len() || marks.len() >= PREFIXES_MAX {
                return None;
            }
            marks.push((number, bytes.split_to(length)));
        }
        Some(Self { last, marks })
    }
}

fn common_len(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list without bounds: nothing that has ended is taken for valid, in any order, also when prefixes were
        /// merged; and what is loaded after the last invalidation stands.
        #[test]
        fn no_invalidation_is_forgotten(
            prefixes in proptest::collection::vec("[ab]{0,9}", 0..200),
            keys in proptest::collection::vec(("[ab]{0,12}", 0..200_usize), 1..50),
        ) {
            let (mut list, mut all) = (Prefixes::new(1_000), Vec::new());
            let mut seen = vec![list.last()];
            for prefix in &prefixes {
                list.add(prefix.as_bytes());
                all.push((list.last(), prefix.clone()));
                seen.push(list.last());
            }
            prop_assert!(list.marks.len() <= PREFIXES_MAX);
            for (key, at) in keys {
                let since = seen[at % seen.len()];
                let truly = all.iter().any(|(number, prefix)| *number > since && key.starts_with(prefix));
                prop_assert!(list.ended(key.as_bytes(), since) || !truly);
                prop_assert!(!list.ended(key.as_bytes(), list.last()));
                if all.len() <= PREFIXES_MAX {
                    prop_assert_eq!(list.ended(key.as_bytes(), since), truly);
                }
            }
            prop_assert_eq!(Prefixes::decode(list.encode()), Some(list));
        }

        #[test]
        fn what_is_not_ours_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let list = Prefixes::decode(Bytes::from([MAGIC, &bytes].concat()));
            prop_assert!(list.is_none_or(|list| list.marks.len() <= 10));
        }
    }
}
