//! Each key is a linearizable register: Gibbons and Korach's zones, O(n log n) because values are unique.
//! It must not look at versions, except to tell which delete an absent key comes from.
//!
//! Judged are the reads that are labelled as linearizable, against all writes. A write whose effect is not certain (no
//! answer, or one that promises less than durability) may take effect at any time since it began; one that nobody read
//! is left out, which changes nothing: it can stand after everything else.
//!
//! A compare-and-set counts as a write here; what its version demands is judged in `compare_and_set`. Counters are
//! judged in `counters`.
//!
//! A read of an absent key names its delete only by its version. Without one, it may come from any delete and from the
//! beginning; then the read is refused only if no delete can explain it. That never raises a false alarm, but several
//! such reads that are each possible alone and not together are not found.

mod absent;
mod cluster;
mod zones;

#[cfg(test)]
mod brute;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::absent::Absent;
use self::cluster::{Cluster, Written};
use super::view::View;
use super::{Promise, Verdict};
use crate::history::call::{Call, Freshness, Version};
use crate::history::op::{Effect, Moment, Op};
use crate::history::trace::Trace;

/// Judges every key that is not a counter; reads of values that nobody can have written are refused under any label.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::Linearizable);
    for view in View::of_each(trace).iter().filter(|view| !view.counter) {
        let mut broken = false;
        for op in &view.ops {
            broken |= phantom(view, op, &mut verdict);
        }
        // A read of nothing has no cluster: the zones would be of another history.
        if !broken {
            judge(view, &mut verdict);
        }
    }
    verdict
}

/// A read of a value that was not written before the read ended.
fn phantom(view: &View<'_>, op: &Op, verdict: &mut Verdict) -> bool {
    let Some(value) = op.read().and_then(|read| read.value) else { return false };
    let (text, writer) = match view.writer(value) {
        None => ("which nobody wrote", None),
        Some(writer) if writer.effect() == Effect::Never => {
            ("whose write did not take effect", Some(writer))
        }
        Some(writer) if op.finish() < writer.invoked => ("before it was written", Some(writer)),
        Some(_) => return false,
    };
    let ops = [&[op][..], writer.as_slice()].concat();
    verdict.found(view.key, format!("#{} reads {value}, {text}", op.id.0), &ops);
    true
}

fn judge(view: &View<'_>, verdict: &mut Verdict) {
    let mut clusters: BTreeMap<Written, Cluster<'_>> = BTreeMap::new();
    clusters.insert(Written::Nothing, Cluster::beginning());
    for op in view.certain() {
        clusters.insert(Written::By(op.id), Cluster::of(op));
    }
    let deletes = Deletes::of(view);
    let mut unnamed = Vec::new();
    for op in &view.ops {
        let Some(read) = op.read().filter(|read| read.freshness == Freshness::Linearizable) else {
            continue;
        };
        verdict.examined += 1;
        let writer = match (read.value, deletes.named(op, read.version)) {
            (Some(value), _) => view.writer(value),
            (None, Some(delete)) => Some(delete),
            (None, None) if deletes.any_before(op) => {
                unnamed.push(*op);
                continue;
            }
            (None, None) => None,
        };
        let written = writer.map_or(Written::Nothing, |writer| Written::By(writer.id));
        let cluster = clusters.entry(written);
        cluster.or_insert_with(|| writer.map_or_else(Cluster::beginning, Cluster::of)).read(op);
    }
    let conflicts = zones::conflicts(clusters.values());
    for (one, other) in &conflicts {
        let text = format!("{one} and {other} cannot be put in one order");
        verdict.found(view.key, text, &[one.proof(), other.proof()].concat());
    }
    if conflicts.is_empty() && !unnamed.is_empty() {
        let absent = Absent::new(view, &clusters);
        for op in unnamed.into_iter().filter(|op| !absent.possible(op)) {
            let text = format!("#{} finds the key absent when no delete can explain it", op.id.0);
            let around = absent.around(op);
            verdict.found(view.key, text, &[&[op][..], &around[..]].concat());
        }
    }
}

/// The deletes of a key, for finding the one that a read saw.
struct Deletes<'a> {
    named: BTreeMap<Version, &'a Op>,
    first: Option<Moment>,
}

impl<'a> Deletes<'a> {
    fn of(view: &View<'a>) -> Self {
        let certain = view.certain().filter(|op| matches!(op.call, Call::Delete));
        let named = certain.filter_map(|op| Some((op.durable_version()?, op))).collect();
        Self { named, first: view.deletes(Moment::MAX).next().map(|op| op.invoked) }
    }

    fn named(&self, read: &Op, version: Option<Version>) -> Option<&'a Op> {
        let delete = *self.named.get(&version?)?;
        (delete.invoked < read.finish()).then_some(delete)
    }

    fn any_before(&self, read: &Op) -> bool {
        self.first.is_some_and(|first| first < read.finish())
    }
}
