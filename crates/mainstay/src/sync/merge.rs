//! What becomes of a journaled write that meets somebody else's write in the record, when the application decides it.
//! It must not know how the decision is carried out.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    entry::{Key, Record},
    op::{Op, OpClass},
};

/// A journaled write to one key, and what somebody else has written there since.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JournalConflict {
    /// The key.
    pub key: Key,
    /// The write that waited; its expiry is absolute.
    pub journaled: Op,
    /// When it was accepted, Unix milliseconds by this process's clock.
    pub accepted_unix_ms: i64,
    /// What the record holds now; `None`: the key was deleted.
    pub current: Option<Record>,
}

/// What becomes of a journaled write that met another.
#[derive(Clone, Debug, PartialEq)]
pub enum Merged {
    /// The record stays as it is; the journaled write is forgotten.
    Keep,
    /// The record gets this instead: a set, a delete or an expiry of the same key, without a condition. Asked again when
    /// the key has changed meanwhile.
    Replace(Op),
    /// Neither: the write becomes a dead letter, as without a merge function.
    DeadLetter,
}

/// The application's function.
#[derive(Clone)]
pub(crate) struct Merge(Arc<dyn Fn(&JournalConflict) -> Merged + Send + Sync>);

impl Merge {
    pub(crate) fn new(decide: impl Fn(&JournalConflict) -> Merged + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// Asks it. A panic, and a write that may not stand in the place of the journaled one, is a dead letter with a reason.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn decide(&self, conflict: &JournalConflict) -> Result<Merged, &'static str> {
        match catch_unwind(AssertUnwindSafe(|| (self.0)(conflict))) {
            Err(_panic) => Err("the merge function panicked"),
            Ok(Merged::DeadLetter) => Err("the merge function left it to a person"),
            Ok(Merged::Replace(write)) if !suits(&write, &conflict.key) => {
                Err("the merge function gave a write to another key, or one with a condition")
            }
            Ok(merged) => Ok(merged),
        }
    }
}

fn suits(write: &Op, key: &Key) -> bool {
    let mut same = true;
    write.for_each_key(|named| same &= named == key);
    same && write.class() == OpClass::LastWriterWins
}

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Merge")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Condition;

    fn conflict() -> JournalConflict {
        let journaled = delete("k", Condition::Always);
        JournalConflict { key: "k".into(), journaled, accepted_unix_ms: 0, current: None }
    }

    fn delete(key: &str, condition: Condition) -> Op {
        Op::Delete { key: key.into(), condition, want_previous: false }
    }

    #[test]
    fn only_a_plain_write_to_the_same_key_may_replace() {
        let decide = |write: Op| Merge::new(move |_| Merged::Replace(write.clone()));
        assert!(decide(delete("k", Condition::Always)).decide(&conflict()).is_ok());
        assert!(decide(delete("other", Condition::Always)).decide(&conflict()).is_err());
        assert!(decide(delete("k", Condition::Present)).decide(&conflict()).is_err());
        let panics = Merge::new(|_| panic!("as a function of others may"));
        assert!(panics.decide(&conflict()).is_err());
    }
}
