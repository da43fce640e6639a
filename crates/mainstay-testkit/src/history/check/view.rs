//! The calls of one key, and which write an observed state came from.
//! It must not judge.

use std::collections::BTreeMap;

use crate::history::call::{Call, Version};
use crate::history::op::{Effect, Moment, Op};
use crate::history::trace::Trace;

/// The calls of one key.
pub(super) struct View<'a> {
    pub(super) key: &'a str,
    pub(super) ops: Vec<&'a Op>,
    /// The key is counted up: its values are numbers, not names of writes.
    pub(super) counter: bool,
    writers: BTreeMap<u64, &'a Op>,
    /// Deletes that may have taken effect in the order in which they began, each with the highest version of itself
    /// and those before it.
    deletes: Vec<(&'a Op, Seen)>,
}

/// How far a read or a final state had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// `None`: the state before every write.
    Upto(Option<Version>),
    /// Cannot be told.
    Unclear,
}

impl<'a> View<'a> {
    /// One for each key.
    pub(super) fn of_each(trace: &'a Trace) -> Vec<Self> {
        trace.by_key().into_iter().map(|(key, ops)| Self::new(key, ops)).collect()
    }

    fn new(key: &'a str, ops: Vec<&'a Op>) -> Self {
        let counter = ops.iter().any(|op| matches!(op.call, Call::Increment { .. }));
        let writers = ops.iter().filter_map(|op| Some((op.call.stores()??, *op))).collect();
        let deletes = deletes(&ops);
        Self { key, ops, counter, writers, deletes }
    }

    /// The call that stores `value`, whether or not it took effect.
    pub(super) fn writer(&self, value: u64) -> Option<&'a Op> {
        self.writers.get(&value).copied()
    }

    /// Writes that certainly took effect.
    pub(super) fn certain(&self) -> impl Iterator<Item = &'a Op> {
        self.ops.iter().copied().filter(|op| op.effect() == Effect::Certain)
    }

    /// Deletes that may have taken effect before `until`, in the order in which they began.
    pub(super) fn deletes(&self, until: Moment) -> impl DoubleEndedIterator<Item = &'a Op> {
        self.deletes[..self.deletes_before(until)].iter().map(|(delete, _)| *delete)
    }

    fn deletes_before(&self, until: Moment) -> usize {
        self.deletes.partition_point(|(delete, _)| delete.invoked < until)
    }

    /// How far the state (`value`, `version`) that was seen at `until` the latest had come.
    pub(super) fn seen(&self, value: Option<u64>, version: Option<Version>, until: Moment) -> Seen {
        match (value, version) {
            (_, Some(version)) => Seen::Upto(Some(version)),
            (Some(value), None) => {
                let writer = if self.counter { None } else { self.writer(value) };
                let version = writer.and_then(Op::durable_version);
                version.map_or(Seen::Unclear, |version| Seen::Upto(Some(version)))
            }
            // The trace of a deletion may have been purged: any delete so far explains it.
            (None, None) => match self.deletes_before(until).checked_sub(1) {
                Some(newest) => self.deletes[newest].1,
                None => Seen::Upto(None),
            },
        }
    }
}

fn deletes<'a>(ops: &[&'a Op]) -> Vec<(&'a Op, Seen)> {
    let effective = |op: &&&Op| matches!(op.call, Call::Delete) && op.effect() != Effect::Never;
    let mut deletes: Vec<&Op> = ops.iter().filter(effective).copied().collect();
    deletes.sort_by_key(|delete| delete.invoked);
    let mut highest = Seen::Upto(None);
    let highest = |delete: &'a Op| {
        highest = match (highest, delete.durable_version()) {
            (Seen::Upto(highest), Some(version)) => Seen::Upto(highest.max(Some(version))),
            (Seen::Unclear, _) | (_, None) => Seen::Unclear,
        };
        (delete, highest)
    };
    deletes.into_iter().map(highest).collect()
}
