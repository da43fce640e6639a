//! The harness recorded what the other checkers need; otherwise their silence proves nothing.
//! It must not judge the system.

use std::collections::{BTreeMap, BTreeSet};

use super::view::View;
use super::{Promise, Verdict};
use crate::history::call::{Call, Version};
use crate::history::op::{Effect, Op};
use crate::history::trace::Trace;

/// Looks for a full history, wrong use of the recorder, values that are not unique, counters that are also written, and
/// (where final states were noted at all) keys without one.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::Recording);
    verdict.examined = trace.ops.len() as u64;
    if trace.refused > 0 {
        let text = format!("the history was full: {} calls or notes are missing", trace.refused);
        verdict.found("", text, &[]);
    }
    for (id, text) in &trace.mistakes {
        let (key, ops) = trace.op(*id).map_or(("", Vec::new()), |op| (&*op.key, vec![op]));
        verdict.found(key, format!("#{} {text}", id.0), &ops);
    }
    verdict.violations_seen += trace.mistakes_seen - trace.mistakes.len() as u64;
    unique(trace, &mut verdict);
    for view in View::of_each(trace) {
        pure_counter(&view, &mut verdict);
    }
    finals(trace, &mut verdict);
    verdict
}

fn unique(trace: &Trace, verdict: &mut Verdict) {
    let mut values: BTreeMap<u64, &Op> = BTreeMap::new();
    for op in &trace.ops {
        if let Some(Some(value)) = op.call.stores()
            && let Some(first) = values.insert(value, op)
        {
            let text = format!("value {value} is written by #{} and #{}", first.id.0, op.id.0);
            verdict.found(&op.key, text, &[first, op]);
        }
    }
}

fn pure_counter(view: &View<'_>, verdict: &mut Verdict) {
    let writes = || view.ops.iter().filter(|op| op.effect() != Effect::Never);
    if view.counter
        && let Some(other) = writes().find(|op| !matches!(op.call, Call::Increment { .. }))
    {
        let text =
            format!("the key is counted up, but #{} writes it: it cannot be judged", other.id.0);
        verdict.found(view.key, text, &[other]);
    }
}

fn finals(trace: &Trace, verdict: &mut Verdict) {
    let known: BTreeMap<_, _> = trace.final_records();
    let copied: BTreeSet<&str> = trace.copies.iter().map(|copy| &*copy.key).collect();
    for key in copied.iter().filter(|key| !known.contains_key(*key)) {
        verdict.found(key, "a final copy was noted, but no final record".to_owned(), &[]);
    }
    if known.is_empty() {
        return;
    }
    let durable = trace.ops.iter().filter(|op| op.effect() == Effect::Certain);
    let newest: BTreeMap<&str, &Op> = durable.map(|op| (&*op.key, op)).collect();
    for (key, op) in newest {
        let version: Option<Version> = op.durable_version();
        match known.get(key) {
            None => verdict.found(
                key,
                "durably written, but no final record was noted".to_owned(),
                &[op],
            ),
            Some(last) if last.version.is_none() && last.value.is_some() && version.is_some() => {
                verdict.found(
                    key,
                    "the final record was noted without its version".to_owned(),
                    &[],
                );
            }
            Some(_) => {}
        }
    }
}
