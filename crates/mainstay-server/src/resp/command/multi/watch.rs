//! What watched keys held, so that EXEC can tell whether they still do.
//! It must not know when they are looked at.

use std::collections::BTreeMap;

use mainstay::{Key, Record, Snapshot, Version};
use sha1_smol::Sha1;

/// What a key held: its version where there is one, and its value by a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    version: Option<Version>,
    digest: [u8; 20],
}

/// By key; `None`: it did not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::resp) struct Marks(BTreeMap<Key, Option<Mark>>);

fn mark(record: &Record) -> Mark {
    Mark { version: record.version, digest: Sha1::from(&record.value).digest().bytes() }
}

/// What these keys hold. They are kept in memory of their own: what came is a slice of the connection's buffer.
pub(in crate::resp) fn marks(read: Snapshot) -> Marks {
    Marks(read.iter().map(|(key, record)| (key.kept(), record.as_ref().map(mark))).collect())
}

impl Marks {
    pub(in crate::resp) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::resp) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    /// Adds more; a key that is watched already keeps its first mark.
    pub(in crate::resp) fn add(&mut self, more: Self) {
        for (key, mark) in more.0 {
            self.0.entry(key).or_insert(mark);
        }
    }

    /// Whether every key still holds what it did.
    pub(in crate::resp) fn hold(&self, read: &Snapshot) -> bool {
        self.0
            .iter()
            .all(|(key, before)| read.get(key).is_some_and(|now| now.as_ref().map(mark) == *before))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn marks_keep_no_buffer_alive_that_a_key_came_in() {
        let buffer = Bytes::from(vec![b'k'; 4096]);
        let read = Snapshot::from([(Key::new(buffer.slice(..3)), None)]);
        let kept = marks(read);
        assert_eq!(kept.len(), 1);
        assert!(buffer.is_unique());
    }
}
