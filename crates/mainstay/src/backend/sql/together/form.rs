//! Which of the writes that wait are sent together, and whose the answers are.
//! It must not know statements, connections, nor who waits.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use super::super::common::{Expiry, check_size};
use crate::{
    backend::semantics::Bounds,
    entry::Key,
    error::Result,
    op::{Condition, Op},
};

#[cfg(test)]
mod tests;

/// A write to one key that does not depend on what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Write {
    pub(in super::super) key: Key,
    pub(in super::super) change: Change,
    /// What it is guarded by, if anything.
    pub(in super::super) mark: Option<Mark>,
}

/// What becomes of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Change {
    Set { value: Bytes, expiry: Expiry },
    Delete,
}

/// `Under::Mark`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Mark {
    pub(in super::super) cache: Arc<str>,
    pub(in super::super) epoch: u64,
    pub(in super::super) deadline_us: i64,
}

impl Write {
    /// `None`: it is of another kind.
    ///
    /// # Errors
    /// `TooLarge`, and `InvalidArgument` for its expiry.
    pub(in super::super) fn of(
        op: &Op,
        mark: Option<&Mark>,
        bounds: Bounds,
    ) -> Result<Option<Self>> {
        let change = match op {
            Op::Set { value, ttl, condition: Condition::Always, want_previous: false, .. } => {
                check_size(value.len(), bounds.value_max)?;
                let set = |expiry| Change::Set { value: value.clone(), expiry };
                Expiry::of(*ttl)?.map(set)
            }
            Op::Delete { condition: Condition::Always, want_previous: false, .. } => {
                Some(Change::Delete)
            }
            _ => None,
        };
        let key = match op {
            Op::Set { key, .. } | Op::Delete { key, .. } => key.clone(),
            _ => return Ok(None),
        };
        Ok(change.map(|change| Self { key, change, mark: mark.cloned() }))
    }

    /// Whether both fit into one statement: the same change, and the same guard but for the time.
    fn goes_with(&self, other: &Self) -> bool {
        let gate =
            |write: &Self| write.mark.as_ref().map(|mark| (Arc::clone(&mark.cache), mark.epoch));
        std::mem::discriminant(&self.change) == std::mem::discriminant(&other.change)
            && gate(self) == gate(other)
    }

    /// Bytes of its key and value.
    fn bytes(&self) -> usize {
        let value = match &self.change {
            Change::Set { value, .. } => value.len(),
            Change::Delete => 0,
        };
        self.key.as_bytes().len() + value
    }
}

/// How much goes into one statement.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Limits {
    pub(in super::super) rows: usize,
    /// Bytes of keys and values; a write that is larger goes alone.
    pub(in super::super) bytes: usize,
}

/// Takes writes out of those that wait, those that came first before others: all of one kind, one for each key, in
/// ascending order of their keys, so that two such statements never wait for each other's rows. Two writes to a key
/// keep their order: the second never goes before the first. Of some that wait, at least one is taken.
pub(super) fn take<T: AsRef<Write>>(waiting: &mut VecDeque<T>, limits: Limits) -> Vec<T> {
    let (mut taken, mut left): (Vec<T>, VecDeque<T>) = (Vec::new(), VecDeque::new());
    let (mut keys, mut bytes) = (BTreeSet::new(), 0_usize);
    while taken.len() < limits.rows.max(1)
        && let Some(next) = waiting.pop_front()
    {
        let write = next.as_ref();
        let first_of_key = keys.insert(write.key.clone());
        let fits = taken.first().is_none_or(|first: &T| {
            first_of_key
                && write.goes_with(first.as_ref())
                && bytes.saturating_add(write.bytes()) <= limits.bytes
        });
        if fits {
            bytes = bytes.saturating_add(write.bytes());
            taken.push(next);
        } else {
            left.push_back(next);
        }
    }
    left.append(waiting);
    *waiting = left;
    taken.sort_by(|one, other| one.as_ref().key.cmp(&other.as_ref().key));
    taken
}

/// The answers in the order of the writes; a write of which nothing was said has none.
pub(in super::super) fn in_order<T>(
    writes: &[Write],
    answers: Vec<(Vec<u8>, T)>,
) -> Vec<Option<T>> {
    let mut answers: BTreeMap<Vec<u8>, T> = answers.into_iter().collect();
    writes.iter().map(|write| answers.remove(write.key.as_bytes())).collect()
}
