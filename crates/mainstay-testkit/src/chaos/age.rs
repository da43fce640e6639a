//! How old each read was, by the order in time alone: a second opinion beside the versions, and one that RESP allows.
//! It must not know what the read's label allows.
//!
//! A read is at least as old as the first acknowledged write that came wholly after the write it saw, and wholly before
//! it. Where a write has no known end, the read counts as fresh: nothing is ever counted as older than it was.

use std::collections::BTreeMap;

use crate::history::{Call, Effect, Micros, Moment, Op, OpId, Trace};

/// Reads that missed a write, and by how long.
pub(super) fn stale_reads(trace: &Trace) -> BTreeMap<OpId, Micros> {
    let mut stale = BTreeMap::new();
    for ops in trace.by_key().values() {
        if ops.iter().any(|op| matches!(op.call, Call::Increment { .. })) {
            continue;
        }
        let key = Key::of(ops);
        for op in ops {
            if let Some(age) = key.age(op) {
                stale.insert(op.id, age);
            }
        }
    }
    stale
}

struct Key<'a> {
    writers: BTreeMap<u64, &'a Op>,
    /// Writes of any kind; and those that leave a value.
    all: Ended,
    values: Ended,
    /// Deletes by when they began, each with the latest end of itself and those before.
    deletes: Vec<(Moment, Moment)>,
}

/// Certain writes by when they began, each with the first end of itself and those after.
struct Ended(Vec<(Moment, Moment)>);

impl<'a> Key<'a> {
    fn of(ops: &[&'a Op]) -> Self {
        let certain = || ops.iter().copied().filter(|op| op.effect() == Effect::Certain);
        let stores = |op: &&Op| matches!(op.call.stores(), Some(Some(_)));
        let deletes = ops.iter().filter(|op| matches!(op.call, Call::Delete));
        let mut deletes: Vec<(Moment, Moment)> = deletes
            .filter(|op| op.effect() != Effect::Never)
            .map(|op| (op.invoked, op.finish()))
            .collect();
        deletes.sort_unstable();
        let mut latest = Moment::MIN;
        for (_, end) in &mut deletes {
            latest = latest.max(*end);
            *end = latest;
        }
        Self {
            writers: ops.iter().filter_map(|op| Some((op.call.stores()??, *op))).collect(),
            all: Ended::of(certain()),
            values: Ended::of(certain().filter(stores)),
            deletes,
        }
    }

    /// By how long the read missed the first write that it should have seen.
    fn age(&self, op: &Op) -> Option<Micros> {
        let read = op.read()?;
        let missed = match read.value {
            Some(value) => self.all.first_after(self.writers.get(&value)?.finish()),
            None => {
                let before = self.deletes.partition_point(|(begun, _)| *begun < op.finish());
                let latest = before.checked_sub(1).map_or(Moment::MIN, |at| self.deletes[at].1);
                self.values.first_after(latest)
            }
        };
        missed.filter(|end| *end < op.invoked).map(|end| op.invoked.t - end.t)
    }
}

impl Ended {
    fn of<'a>(ops: impl Iterator<Item = &'a Op>) -> Self {
        let mut spans: Vec<(Moment, Moment)> = ops.map(|op| (op.invoked, op.finish())).collect();
        spans.sort_unstable();
        for at in (1..spans.len()).rev() {
            spans[at - 1].1 = spans[at - 1].1.min(spans[at].1);
        }
        Self(spans)
    }

    fn first_after(&self, end: Moment) -> Option<Moment> {
        let at = self.0.partition_point(|(begun, _)| *begun <= end);
        self.0.get(at).map(|(_, end)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Ack, Freshness, History, Outcome, Source};

    fn read(history: &History, value: Option<u64>, at: Micros) {
        let id = history.invoke(1, 1, "k", Call::Get, at).unwrap();
        let outcome = Outcome::read(value, None, Freshness::Unverified, Source::Record);
        history.ok(id, outcome, at + 1);
    }

    fn write(history: &History, call: Call, at: Micros) {
        let id = history.invoke(2, 2, "k", call, at).unwrap();
        history.ok(id, Outcome::write(None, Ack::Durable, true), at + 2);
    }

    #[test]
    fn a_read_is_as_old_as_the_first_write_that_it_missed() {
        let history = History::bounded(20);
        write(&history, Call::Put(7), 10);
        read(&history, None, 13);
        read(&history, Some(7), 14);
        write(&history, Call::Put(8), 20);
        write(&history, Call::Put(9), 30);
        read(&history, Some(7), 40);
        read(&history, Some(9), 42);
        write(&history, Call::Delete, 50);
        read(&history, Some(9), 60);
        read(&history, None, 62);
        let ages: Vec<(u32, Micros)> =
            stale_reads(&history.trace()).into_iter().map(|(id, age)| (id.0, age)).collect();
        assert_eq!(ages, [(1, 1), (5, 18), (8, 8)]);
    }

    #[test]
    fn a_write_without_an_answer_may_come_at_any_time() {
        let history = History::bounded(20);
        let lost = history.invoke(2, 2, "k", Call::Put(7), 1).unwrap();
        history.unknown(lost, 5);
        write(&history, Call::Put(8), 10);
        read(&history, Some(7), 20);
        assert_eq!(stale_reads(&history.trace()), BTreeMap::new());
    }
}
