//! A session never goes back: neither behind what it read nor behind what it wrote.
//! It must not judge answers that are labelled as unverified or pending: they say that they may be old.

use std::collections::BTreeMap;

use super::floors::floors;
use super::view::{Seen, View};
use super::{Promise, Verdict};
use crate::history::call::{Freshness, Version};
use crate::history::op::{Op, SessionId};
use crate::history::trace::Trace;

/// Compares each read with what the session had read and durably written before the read began. An unverified read
/// counts as seen, though it is not judged.
#[must_use]
pub fn check(trace: &Trace) -> Verdict {
    let mut verdict = Verdict::new(Promise::Sessions);
    for view in View::of_each(trace) {
        let mut sessions: BTreeMap<SessionId, Vec<&Op>> = BTreeMap::new();
        for op in &view.ops {
            sessions.entry(op.session).or_default().push(op);
        }
        for ops in sessions.values() {
            judge(&view, ops, &mut verdict);
        }
    }
    verdict
}

fn judge<'a>(view: &View<'a>, ops: &[&'a Op], verdict: &mut Verdict) {
    let floors = floors(ops, |op| reached(view, op));
    for op in ops {
        let Some(read) = op.read() else { continue };
        let promises = match read.freshness {
            Freshness::Linearizable | Freshness::Bounded(_) => true,
            Freshness::Unverified | Freshness::Pending => false,
        };
        let Seen::Upto(version) = view.seen(read.value, read.version, op.finish()) else {
            continue;
        };
        if !promises {
            continue;
        }
        verdict.examined += 1;
        if let Some((floor, earlier)) = floors.get(&op.id)
            && version < Some(*floor)
        {
            let text = format!(
                "session {} goes back: #{} after {floor} in #{}",
                op.session, op.id.0, earlier.id.0
            );
            verdict.found(view.key, text, &[earlier, op]);
        }
    }
}

/// The version that the session knows when the call has ended.
fn reached(view: &View<'_>, op: &Op) -> Option<Version> {
    let Some(read) = op.read() else { return op.durable_version() };
    match (read.freshness, view.seen(read.value, read.version, op.finish())) {
        (Freshness::Pending, _) | (_, Seen::Unclear) => None,
        // An absence that any delete explains need not be the newest one's.
        (_, Seen::Upto(_)) if read.value.is_none() => read.version,
        (_, Seen::Upto(version)) => version,
    }
}
