//! A version names one state of a key, and grows from write to write.
//! It must not judge what readers were promised.

use std::collections::BTreeMap;

use super::floors::floors;
use super::view::View;
use super::{Promise, Verdict};
use crate::history::call::{Freshness, Version};
use crate::history::op::Op;
use crate::history::trace::Trace;

/// Compares acknowledged durable writes and reads (not of pending values): one version, one state; and a write that
/// began after another was acknowledged has the greater version.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::Versions);
    for view in View::of_each(trace) {
        one_state(&view, &mut verdict);
        growing(&view, &mut verdict);
    }
    verdict
}

fn one_state(view: &View<'_>, verdict: &mut Verdict) {
    let mut states: BTreeMap<Version, (Option<u64>, &Op)> = BTreeMap::new();
    for op in &view.ops {
        let Some((version, state)) = shows(op) else { continue };
        verdict.examined += 1;
        let (known, first) = *states.entry(version).or_insert((state, op));
        if known != state {
            let text = format!("{version} is {} and {}", name(known), name(state));
            verdict.found(view.key, text, &[first, op]);
        } else if first.id != op.id && first.read().is_none() && op.read().is_none() {
            let text = format!("{version} was given to #{} and #{}", first.id.0, op.id.0);
            verdict.found(view.key, text, &[first, op]);
        }
    }
}

fn growing(view: &View<'_>, verdict: &mut Verdict) {
    let writes: Vec<&Op> = view.certain().collect();
    let floors = floors(&writes, Op::durable_version);
    for op in writes {
        if let Some(version) = op.durable_version()
            && let Some((floor, earlier)) = floors.get(&op.id)
            && version <= *floor
        {
            let text = format!(
                "#{} was given {version} after #{} had been given {floor}",
                op.id.0, earlier.id.0
            );
            verdict.found(view.key, text, &[earlier, op]);
        }
    }
}

/// A version and the state that the call says it is.
fn shows(op: &Op) -> Option<(Version, Option<u64>)> {
    if let Some(read) = op.read() {
        let committed = read.freshness != Freshness::Pending;
        return committed.then_some((read.version?, read.value));
    }
    let number = op.write().and_then(|write| write.number);
    let state = op.call.stores().unwrap_or(number.map(i64::cast_unsigned));
    Some((op.durable_version()?, state))
}

fn name(state: Option<u64>) -> String {
    state.map_or_else(|| "absent".to_owned(), |value| value.to_string())
}
