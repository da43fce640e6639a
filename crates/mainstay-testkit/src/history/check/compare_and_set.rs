//! A compare-and-set takes effect on the version that it names, and on no other.
//! It must not judge calls that nobody knows to have taken effect. Keys must not expire: that would be an unseen delete.

use std::collections::{BTreeMap, BTreeSet};

use super::view::View;
use super::{Promise, Verdict};
use crate::history::call::{Call, Freshness, Version};
use crate::history::op::{Effect, Op, OpId};
use crate::history::trace::Trace;

/// One that took effect: acknowledged as durable, or without an answer but read later.
struct Swap<'a> {
    op: &'a Op,
    expected: Option<Version>,
    version: Version,
}

/// Looks for two from one version, for a version that did not grow, and for other writes between the version that was
/// expected and the one that was given.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::AtMostOnce);
    for view in View::of_each(trace) {
        let swaps = swaps(&view);
        if swaps.is_empty() {
            continue;
        }
        verdict.examined += swaps.len() as u64;
        let writes = Writes::of(&view, &swaps);
        let twins = twins(&view, &swaps, &mut verdict);
        for swap in &swaps {
            match swap.expected {
                Some(expected) => {
                    let known = twins.contains(&swap.op.id);
                    on_version(&view, &writes, swap, expected, known, &mut verdict);
                }
                None => on_absent(&view, &writes, swap, &mut verdict),
            }
        }
    }
    verdict
}

fn swaps<'a>(view: &View<'a>) -> Vec<Swap<'a>> {
    let mut read: BTreeMap<u64, Version> = BTreeMap::new();
    for answer in view.ops.iter().filter_map(|op| op.read()) {
        if let (Some(value), Some(version)) = (answer.value, answer.version)
            && answer.freshness != Freshness::Pending
        {
            read.insert(value, version);
        }
    }
    let swap = |op: &&'a Op| {
        let Call::CompareAndSet { expected, value } = op.call else { return None };
        let version = match op.effect() {
            Effect::Never => None,
            Effect::Certain => op.durable_version(),
            Effect::Maybe => read.get(&value).copied(),
        };
        Some(Swap { op, expected, version: version? })
    };
    view.ops.iter().filter_map(swap).collect()
}

/// Those that took effect on a version on which another did.
fn twins(view: &View<'_>, swaps: &[Swap<'_>], verdict: &mut Verdict) -> BTreeSet<OpId> {
    let mut first: BTreeMap<Version, &Swap<'_>> = BTreeMap::new();
    let mut twins = BTreeSet::new();
    for swap in swaps {
        let Some(expected) = swap.expected else { continue };
        if let Some(other) = first.insert(expected, swap) {
            let text = format!("#{} and #{} both replaced {expected}", other.op.id.0, swap.op.id.0);
            verdict.found(view.key, text, &[other.op, swap.op]);
            twins.extend([other.op.id, swap.op.id]);
        }
    }
    twins
}

fn on_version(
    view: &View<'_>,
    writes: &Writes<'_>,
    swap: &Swap<'_>,
    expected: Version,
    known: bool,
    verdict: &mut Verdict,
) {
    if swap.version <= expected {
        let text = format!("#{} replaced {expected} with {}", swap.op.id.0, swap.version);
        verdict.found(view.key, text, &[swap.op]);
    } else if let Some((between, other)) = writes.before(swap.version)
        && between > expected
        && !known
    {
        let text = format!(
            "#{} replaced {expected} with {}, but #{} had written {between}",
            swap.op.id.0, swap.version, other.id.0
        );
        verdict.found(view.key, text, &[other, swap.op]);
    }
}

fn on_absent(view: &View<'_>, writes: &Writes<'_>, swap: &Swap<'_>, verdict: &mut Verdict) {
    let Some((before, other)) = writes.before(swap.version) else { return };
    let deleted = matches!(other.call, Call::Delete)
        || view.deletes(swap.op.finish()).any(|delete| delete.durable_version().is_none());
    if !deleted {
        let text = format!(
            "#{} created the key as {}, but #{} had left it as {before}",
            swap.op.id.0, swap.version, other.id.0
        );
        verdict.found(view.key, text, &[other, swap.op]);
    }
}

/// Writes that took effect, by version.
struct Writes<'a>(BTreeMap<Version, &'a Op>);

impl<'a> Writes<'a> {
    fn of(view: &View<'a>, swaps: &[Swap<'a>]) -> Self {
        let certain = view.certain().filter_map(|op| Some((op.durable_version()?, op)));
        Self(certain.chain(swaps.iter().map(|swap| (swap.version, swap.op))).collect())
    }

    fn before(&self, version: Version) -> Option<(Version, &'a Op)> {
        self.0.range(..version).next_back().map(|(version, op)| (*version, *op))
    }
}
