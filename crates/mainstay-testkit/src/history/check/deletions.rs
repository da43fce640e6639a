//! What was deleted stays deleted: no old value is seen after a delete was acknowledged.
//! It must not judge reads whose label allows it.

use super::oldest::Oldest;
use super::view::View;
use super::{Promise, Verdict};
use crate::history::call::{Call, Freshness, ReadOutcome, Version};
use crate::history::op::{Moment, Op};
use crate::history::trace::Trace;

/// Looks for values older than an acknowledged durable delete: in reads that began after it (and after the bound of
/// their label), and in the final state; by version, and where the order in time alone proves it.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::Deletion);
    let finals = trace.final_records();
    for view in View::of_each(trace) {
        let deletes = Deletes::of(&view);
        if deletes.certain == 0 {
            continue;
        }
        for op in &view.ops {
            let Some((read, latest)) = forbids(op) else { continue };
            verdict.examined += 1;
            if let Some(value) = read.value
                && let Some(delete) = deletes.before(&view, value, read.version, latest)
            {
                let text =
                    format!("#{} reads {value}, which #{} had deleted", op.id.0, delete.id.0);
                verdict.found(view.key, text, &[delete, op]);
            }
        }
        let Some(last) = finals.get(view.key) else { continue };
        verdict.examined += 1;
        if let Some(value) = last.value
            && let Some(delete) = deletes.before(&view, value, last.version, last.at)
        {
            let text = format!("the record ends with {value}, which #{} had deleted", delete.id.0);
            verdict.found(view.key, text, &[delete]);
        }
    }
    verdict
}

/// A read, and the moment up to which an acknowledgement binds it.
fn forbids(op: &Op) -> Option<(&ReadOutcome, Moment)> {
    let read = op.read()?;
    let latest = match read.freshness {
        Freshness::Linearizable => op.invoked,
        Freshness::Bounded(bound) => Moment { t: op.invoked.t.checked_sub(bound)?, event: 0 },
        Freshness::Unverified | Freshness::Pending => return None,
    };
    Some((read, latest))
}

struct Deletes<'a> {
    by_version: Oldest<'a>,
    /// In the order in which they began, each the first to end of itself and all after it.
    by_time: Vec<(Moment, &'a Op)>,
    certain: usize,
}

impl<'a> Deletes<'a> {
    fn of(view: &View<'a>) -> Self {
        let deletes = || view.certain().filter(|op| matches!(op.call, Call::Delete));
        let mut by_time: Vec<(Moment, &Op)> = deletes().map(|op| (op.invoked, op)).collect();
        by_time.sort_by_key(|(invoked, _)| *invoked);
        for at in (1..by_time.len()).rev() {
            let (after, own) = (by_time[at].1, by_time[at - 1].1);
            if after.finish() < own.finish() {
                by_time[at - 1].1 = after;
            }
        }
        Self { by_version: Oldest::of(deletes()), certain: by_time.len(), by_time }
    }

    /// A delete of `value` that was acknowledged before `latest`.
    fn before(
        &self,
        view: &View<'a>,
        value: u64,
        version: Option<Version>,
        latest: Moment,
    ) -> Option<&'a Op> {
        let writer = if view.counter { None } else { view.writer(value) };
        let version = version.or_else(|| writer.and_then(Op::durable_version));
        let by_version = version.and_then(|version| self.by_version.above(Some(version)));
        let by_time = writer.and_then(|writer| {
            let at = self.by_time.partition_point(|(invoked, _)| *invoked <= writer.finish());
            self.by_time.get(at).map(|(_, delete)| *delete)
        });
        [by_version, by_time].into_iter().flatten().find(|delete| delete.finish() < latest)
    }
}
