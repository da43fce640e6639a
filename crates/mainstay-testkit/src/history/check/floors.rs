//! What had already happened when a call began: the greatest of what ended before.
//! It must not know what is compared.

use std::collections::BTreeMap;

use crate::history::op::{Moment, Op, OpId};

/// For each call that began when something had ended: the greatest `of` of those, and whose it was.
///
/// `of` gives what a call contributes at the moment at which it had certainly taken effect ([`Op::finish`]).
pub(super) fn floors<'a, T: Ord + Copy>(
    ops: &[&'a Op],
    of: impl Fn(&'a Op) -> Option<T>,
) -> BTreeMap<OpId, (T, &'a Op)> {
    let mut events: Vec<(Moment, bool, &Op)> = Vec::with_capacity(ops.len() * 2);
    for op in ops {
        events.push((op.invoked, false, op));
        events.push((op.finish(), true, op));
    }
    events.sort_by_key(|(at, end, op)| (*at, *end, op.id));
    let mut floor: Option<(T, &Op)> = None;
    let mut floors = BTreeMap::new();
    for (_, end, op) in events {
        if !end {
            floors.extend(floor.map(|floor| (op.id, floor)));
        } else if let Some(value) = of(op)
            && floor.is_none_or(|(highest, _)| value > highest)
        {
            floor = Some((value, op));
        }
    }
    floors
}
