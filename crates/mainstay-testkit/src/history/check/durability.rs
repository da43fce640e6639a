//! No acknowledged durable write is lost: what the record holds at the end is at least as new.
//! It must not judge reads made before the end.

use super::view::{Seen, View};
use super::{Promise, Verdict};
use crate::history::call::{Call, Version};
use crate::history::op::{Effect, Op};
use crate::history::trace::{Recorded, Trace};

/// Compares each key's final state with the durable writes that were acknowledged before it was read: by version, and
/// as a second opinion by value and time alone. Without final states nothing is examined.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::Durability);
    let finals = trace.final_records();
    for view in View::of_each(trace) {
        let Some(last) = finals.get(view.key) else { continue };
        verdict.examined += view.certain().filter(|op| op.finish() < last.at).count() as u64;
        by_version(&view, last, &mut verdict);
        if !view.counter {
            by_time(&view, last, &mut verdict);
        }
        explained(&view, last, &mut verdict);
    }
    verdict
}

/// The final version is not below any acknowledged one.
fn by_version(view: &View<'_>, last: &Recorded, verdict: &mut Verdict) {
    let Seen::Upto(reached) = view.seen(last.value, last.version, last.at) else { return };
    let mut lost: Vec<(Version, &Op)> = view
        .certain()
        .filter(|op| op.finish() < last.at)
        .filter_map(|op| Some((op.durable_version()?, op)))
        .filter(|(version, _)| Some(*version) > reached)
        .collect();
    lost.sort_by_key(|(version, op)| (*version, op.id));
    for (version, op) in lost {
        let text = format!(
            "#{} was acknowledged as {version}, the record ends with {}",
            op.id.0,
            state(last)
        );
        verdict.found(view.key, text, &[op]);
    }
}

/// What the record holds was not written before a write that was acknowledged later.
fn by_time(view: &View<'_>, last: &Recorded, verdict: &mut Verdict) {
    let newest = |keep: &dyn Fn(&Op) -> bool| {
        let writes = view.certain().filter(|op| op.finish() < last.at && keep(op));
        writes.max_by_key(|op| op.invoked)
    };
    let (lost, explained) = match last.value {
        Some(value) => {
            let Some(writer) = view.writer(value) else { return };
            let lost = newest(&|op| op.id != writer.id);
            (lost, lost.is_none_or(|lost| !writer.precedes(lost)))
        }
        None => {
            let lost = newest(&|op| !matches!(op.call, Call::Delete));
            let explains = |lost: &Op| view.deletes(last.at).any(|delete| !delete.precedes(lost));
            (lost, lost.is_none_or(explains))
        }
    };
    if let Some(lost) = lost
        && !explained
    {
        let text = format!(
            "#{} was acknowledged after everything that explains the final state {}",
            lost.id.0,
            state(last)
        );
        let writer = last.value.and_then(|value| view.writer(value));
        verdict.found(view.key, text, &[&[lost][..], writer.as_slice()].concat());
    }
}

/// What the record holds was written by somebody, and is what the write of that version stored.
fn explained(view: &View<'_>, last: &Recorded, verdict: &mut Verdict) {
    let same =
        view.certain().find(|op| last.version.is_some() && op.durable_version() == last.version);
    if let Some(op) = same {
        let number = op.write().and_then(|write| write.number);
        let stored = op.call.stores().unwrap_or(number.map(i64::cast_unsigned));
        if stored != last.value {
            let text =
                format!("the record ends with {}, but #{} has that version", state(last), op.id.0);
            verdict.found(view.key, text, &[op]);
        }
    }
    let Some(value) = last.value.filter(|_| !view.counter) else { return };
    match view.writer(value) {
        Some(op) if op.effect() != Effect::Never && op.invoked < last.at => {}
        Some(op) => {
            let text = format!(
                "the record ends with {}, but #{} did not take effect",
                state(last),
                op.id.0
            );
            verdict.found(view.key, text, &[op]);
        }
        None => {
            let text = format!("the record ends with {}, which nobody wrote", state(last));
            verdict.found(view.key, text, &[]);
        }
    }
}

fn state(last: &Recorded) -> String {
    let value = last.value.map_or_else(|| "absent".to_owned(), |value| value.to_string());
    match last.version {
        Some(version) => format!("{value} {version}"),
        None => value,
    }
}
