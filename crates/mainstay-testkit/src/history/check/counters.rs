//! An increment takes effect exactly once if it was acknowledged, and at most once if not.
//! It must not judge keys that are written in another way.
//!
//! Always: the final number is the sum of the acknowledged increments and of some others. If all increments of a key
//! have one sign, each result is judged too: it tells which step the increment took, steps do not overlap, what lies
//! between them was added by increments without an answer, and neither a later increment nor a later read goes back.

use super::floors::floors;
use super::sums::Sums;
use super::view::View;
use super::{Promise, Verdict};
use crate::history::call::{Call, Freshness};
use crate::history::op::{Effect, Moment, Op};
use crate::history::trace::{Recorded, Trace};

/// An acknowledged increment: it took the number from `from` to `to`.
struct Step<'a> {
    from: i128,
    to: i128,
    op: &'a Op,
}

/// Judges the keys that are counted up.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::AtMostOnce);
    let finals = trace.final_records();
    for view in View::of_each(trace).iter().filter(|view| view.counter) {
        let other = |op: &&Op| op.effect() != Effect::Never && by(op).is_none();
        if view.ops.iter().any(other) {
            continue;
        }
        if let Some(last) = finals.get(view.key) {
            total(view, last, &mut verdict);
        }
        let sign =
            |sign: i128| view.ops.iter().filter_map(|op| by(op)).all(|by| by.signum() == sign);
        for sign in [1, -1].into_iter().filter(|of| sign(*of)) {
            results(view, sign, &mut verdict);
            reads(view, sign, &mut verdict);
        }
    }
    verdict
}

fn by(op: &Op) -> Option<i128> {
    if let Call::Increment { by } = op.call { Some(by.into()) } else { None }
}

/// The final number.
fn total(view: &View<'_>, last: &Recorded, verdict: &mut Verdict) {
    let acknowledged = |op: &&&Op| op.effect() == Effect::Certain && op.finish() < last.at;
    let possible =
        |op: &&&Op| op.effect() != Effect::Never && op.invoked < last.at && !acknowledged(op);
    let sum: i128 = view.ops.iter().filter(acknowledged).filter_map(|op| by(op)).sum();
    let open: Vec<&Op> = view.ops.iter().filter(possible).copied().collect();
    let others = Sums::of(open.iter().filter_map(|op| by(op)));
    let number = number(last.value);
    verdict.examined += 1;
    if !others.contains(number - sum) {
        let text = format!(
            "ends with {number}; acknowledged were {sum}, and the {} without a durable answer add {} to {}",
            open.len(),
            others.min,
            others.max
        );
        verdict.found(view.key, text, &open);
    }
}

/// The results of the acknowledged increments.
fn results(view: &View<'_>, sign: i128, verdict: &mut Verdict) {
    let steps = steps(view, sign);
    verdict.examined += steps.len() as u64;
    let maybe = view.ops.iter().filter(|op| op.effect() == Effect::Maybe);
    let others = Sums::of(maybe.filter_map(|op| Some(by(op)? * sign)));
    let mut reached: (i128, Option<&Op>) = (0, None);
    for step in &steps {
        let ops = [reached.1.as_slice(), &[step.op][..]].concat();
        if step.from < reached.0 {
            let text = format!(
                "#{} counted from {} to {}, but {} had been reached",
                step.op.id.0,
                step.from * sign,
                step.to * sign,
                reached.0 * sign
            );
            verdict.found(view.key, text, &ops);
        } else if !others.contains(step.from - reached.0) {
            let text = format!(
                "between {} and {} something was added twice, or by nobody",
                reached.0 * sign,
                step.from * sign
            );
            verdict.found(view.key, text, &ops);
        }
        if step.to > reached.0 {
            reached = (step.to, Some(step.op));
        }
    }
    let sum: i128 = steps.iter().map(|step| step.to - step.from).sum();
    if reached.0 - sum > others.max {
        let text =
            format!("{} was reached, but only {sum} and {} were added", reached.0, others.max);
        verdict.found(view.key, text, reached.1.as_slice());
    }
    let floors = floors(&view.ops, |op| acknowledged(op, sign).map(|step| step.to));
    for step in &steps {
        if let Some((floor, earlier)) = floors.get(&step.op.id)
            && step.from < *floor
        {
            let text = format!("#{} counted from before #{}", step.op.id.0, earlier.id.0);
            verdict.found(view.key, text, &[earlier, step.op]);
        }
    }
}

/// Reads lie between what was acknowledged before and what can have been added, and not within a step.
fn reads(view: &View<'_>, sign: i128, verdict: &mut Verdict) {
    let steps = steps(view, sign);
    let floors = floors(&view.ops, |op| {
        let read = op.read().filter(|read| read.freshness == Freshness::Linearizable);
        let read = read.map(|read| number(read.value) * sign);
        read.or_else(|| acknowledged(op, sign).map(|step| step.to))
    });
    let added = Added::of(view, sign);
    for op in &view.ops {
        // A pending number is the client's own, over whatever it knew of the record.
        let Some(read) = op.read().filter(|read| read.freshness != Freshness::Pending) else {
            continue;
        };
        verdict.examined += 1;
        let seen = number(read.value) * sign;
        if seen > added.until(op.finish()) {
            let text = format!("#{} reads more than was added", op.id.0);
            verdict.found(view.key, text, &[op]);
        }
        let at = steps.partition_point(|step| step.to <= seen);
        if let Some(step) = steps.get(at).filter(|step| step.from < seen) {
            let text = format!("#{} reads half of #{}", op.id.0, step.op.id.0);
            verdict.found(view.key, text, &[step.op, op]);
        }
        if let Some((floor, earlier)) = floors.get(&op.id)
            && read.freshness == Freshness::Linearizable
            && seen < *floor
        {
            let text = format!("#{} reads less than #{} had reached", op.id.0, earlier.id.0);
            verdict.found(view.key, text, &[earlier, op]);
        }
    }
}

fn steps<'a>(view: &View<'a>, sign: i128) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'_>> =
        view.ops.iter().filter_map(|op| acknowledged(op, sign)).collect();
    steps.sort_by_key(|step| (step.to, step.op.id));
    steps
}

fn acknowledged(op: &Op, sign: i128) -> Option<Step<'_>> {
    if op.effect() != Effect::Certain {
        return None;
    }
    let to = i128::from(op.write()?.number?) * sign;
    Some(Step { from: to - by(op)? * sign, to, op })
}

fn number(value: Option<u64>) -> i128 {
    value.unwrap_or(0).cast_signed().into()
}

/// How much can have been added until a moment.
struct Added(Vec<(Moment, i128)>);

impl Added {
    fn of(view: &View<'_>, sign: i128) -> Self {
        let all = view.ops.iter().filter(|op| op.effect() != Effect::Never);
        let mut begun: Vec<(Moment, i128)> =
            all.filter_map(|op| Some((op.invoked, by(op)? * sign))).collect();
        begun.sort_unstable();
        let mut sum = 0;
        for (_, added) in &mut begun {
            sum += *added;
            *added = sum;
        }
        Self(begun)
    }

    fn until(&self, moment: Moment) -> i128 {
        let at = self.0.partition_point(|(begun, _)| *begun < moment);
        at.checked_sub(1).map_or(0, |at| self.0[at].1)
    }
}
