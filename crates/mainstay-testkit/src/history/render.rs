//! The history for people: one line for a call, and the slice of a key's calls that explains a violation.
//! It must not judge.

use std::{cmp::Reverse, fmt::Write as _};

use super::check::{Promise, Violation};
use super::op::{Effect, Fate, Moment, Op, OpId};
use super::trace::{Mark, MarkKind, Trace};

/// How many lines an explanation has at most, besides the calls that the violation names.
const CONTEXT_MAX: usize = 12;
/// How many marks it has at most.
const MARKS_MAX: usize = 8;

impl Trace {
    /// All calls on `key`, one line each, in the order in which they began, between the marks.
    #[must_use]
    pub fn render_key(&self, key: &str) -> String {
        let ops = self.ops.iter().filter(|op| &*op.key == key).collect();
        self.lines(ops, &[], (Moment::MIN, Moment::MAX))
    }

    /// The shortest explanation of a violation: the calls that it names (`>`), and of the others on the key those that
    /// wrote what they read, may have changed it meanwhile, or read what they wrote.
    #[must_use]
    pub fn explain(&self, violation: &Violation) -> String {
        let named: Vec<&Op> = violation.ops.iter().filter_map(|id| self.op(*id)).collect();
        let (first, last) = window(violation, &named);
        let others = self.ops.iter();
        let others = others.filter(|op| op.key == violation.key && !violation.ops.contains(&op.id));
        let (sources, others): (Vec<&Op>, Vec<&Op>) = others.partition(|op| wrote(op, &named));
        let meanwhile = |op: &&Op| op.invoked <= last && op.finish() >= first;
        let mut context: Vec<&Op> =
            others.into_iter().filter(|op| meanwhile(op) && matters(op, &named)).collect();
        let left_out = context.len().saturating_sub(CONTEXT_MAX);
        context.sort_by_key(|op| (distance(op, &named), Reverse(op.invoked)));
        context.truncate(CONTEXT_MAX);
        let ops = named.into_iter().chain(sources).chain(context).collect();
        let mut text = self.lines(ops, &violation.ops, (first, last));
        if left_out > 0 {
            let _ = writeln!(text, "    ({left_out} more calls on the key in this time)");
        }
        text
    }

    fn lines(&self, ops: Vec<&Op>, named: &[OpId], (first, last): (Moment, Moment)) -> String {
        let mut lines: Vec<(Moment, String)> =
            ops.iter().map(|op| (op.invoked, line(op, named.contains(&op.id)))).collect();
        lines.extend(self.marks_in(first, last).map(|mark| {
            let text = match &mark.kind {
                MarkKind::Fault(text) => format!("fault: {text}"),
                MarkKind::Healed => "healed".to_owned(),
                MarkKind::Recovered => "recovered".to_owned(),
            };
            (mark.at, format!("    {:>12}  ---- {text}", mark.at.t))
        }));
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }

    /// The marks of that time and the last one before it.
    fn marks_in(&self, first: Moment, last: Moment) -> impl Iterator<Item = &Mark> {
        let before = self.marks.iter().filter(|mark| mark.at < first).max_by_key(|mark| mark.at);
        let within = self.marks.iter().filter(move |mark| first <= mark.at && mark.at <= last);
        before.into_iter().chain(within.take(MARKS_MAX))
    }
}

/// From the first named begin to the last named end; what is lost or never mended is lost until the end of the run.
fn window(violation: &Violation, named: &[&Op]) -> (Moment, Moment) {
    let first = named.iter().map(|op| op.invoked).min().unwrap_or(Moment::MIN);
    let last = named.iter().filter_map(|op| op.ended()).max();
    match (violation.promise, last) {
        (Promise::Durability | Promise::Convergence, _) | (_, None) => (first, Moment::MAX),
        (_, Some(last)) => (first, last.max(first)),
    }
}

/// Whether a named call read what the other wrote.
fn wrote(op: &Op, named: &[&Op]) -> bool {
    let mut reads = named.iter().filter_map(|other| other.read()?.value);
    op.effect() != Effect::Never && reads.any(|value| op.call.stores() == Some(Some(value)))
}

/// Other writes that may have taken effect, and reads of what the named calls wrote.
fn matters(op: &Op, named: &[&Op]) -> bool {
    if op.effect() != Effect::Never {
        return true;
    }
    let Some(read) = op.read() else { return false };
    named.iter().any(|other| other.call.stores() == Some(read.value))
}

/// Microseconds between the call and the nearest begin or end of a named one.
fn distance(op: &Op, named: &[&Op]) -> u64 {
    let ends = named.iter().flat_map(|other| [Some(other.invoked), other.ended()]).flatten();
    ends.map(|end| end.t.abs_diff(op.invoked.t)).min().unwrap_or(0)
}

fn line(op: &Op, named: bool) -> String {
    let sign = if named { '>' } else { ' ' };
    let (end, answer) = match &op.fate {
        Fate::Open => ("..".to_owned(), "no answer".to_owned()),
        Fate::Ok(outcome, at) => (at.t.to_string(), outcome.to_string()),
        Fate::Failed(at) => (at.t.to_string(), "not executed".to_owned()),
        Fate::Unknown(at) => (at.t.to_string(), "unknown".to_owned()),
    };
    format!(
        "  {sign} {:>12} ..{end:>12}  #{} client {} session {}  {}: {answer}",
        op.invoked.t, op.id.0, op.client, op.session, op.call
    )
}
