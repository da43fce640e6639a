//! The definition of linearizability, searched by brute force (Wing and Gong): for comparison, on small histories.
//! It must not share code with the zones.

use std::collections::HashSet;

use crate::history::call::{Call, Freshness};
use crate::history::op::{Effect, Moment, Op};
use crate::history::trace::Trace;

/// Whether some order of the calls on the trace's one key explains all linearizable reads.
pub(super) fn linearizable(trace: &Trace) -> bool {
    let judged = |op: &&Op| match op.read() {
        Some(read) => read.freshness == Freshness::Linearizable,
        None => op.effect() != Effect::Never,
    };
    let ops: Vec<&Op> = trace.ops.iter().filter(judged).collect();
    assert!(ops.len() <= 20, "small histories only");
    search(&ops, 0, None, &mut HashSet::new())
}

fn search(
    ops: &[&Op],
    done: u32,
    state: Option<&Op>,
    seen: &mut HashSet<(u32, Option<u32>)>,
) -> bool {
    let open = || (0..ops.len()).filter(|at| done >> at & 1 == 0);
    if open().all(|at| ops[at].effect() == Effect::Maybe) {
        return true;
    }
    if !seen.insert((done, state.map(|op| op.id.0))) {
        return false;
    }
    let first_end = open().map(|at| ops[at].finish()).min().unwrap_or(Moment::MAX);
    open().filter(|at| ops[*at].invoked < first_end).any(|at| {
        let next = match ops[at].read() {
            Some(_) if explains(ops, state, ops[at]) => state,
            Some(_) => return false,
            None => Some(ops[at]),
        };
        search(ops, done | 1 << at, next, seen)
    })
}

/// Whether the read can return this state; a version names a delete if it was given to one that began before.
fn explains(ops: &[&Op], state: Option<&Op>, read: &Op) -> bool {
    let answer = read.read().unwrap();
    if answer.value.is_some() {
        return state.is_some_and(|op| op.call.stores() == Some(answer.value));
    }
    let named = ops.iter().find(|op| {
        matches!(op.call, Call::Delete)
            && answer.version.is_some()
            && op.durable_version() == answer.version
            && op.invoked < read.finish()
    });
    match named {
        Some(named) => state.is_some_and(|op| op.id == named.id),
        None => state.is_none_or(|op| matches!(op.call, Call::Delete)),
    }
}
