//! What a route adds to an operation before it goes down: its TTL.
//! It must not know nodes.

use std::{borrow::Cow, time::Duration};

use crate::{
    clock::Clock,
    entry::Key,
    op::{Change, Expected, Op, TtlChange},
    route::{Route, Shape},
};

/// A key that is written without a TTL gets the route's; no TTL is longer than the authority allows. `None`: as it is.
pub(super) fn with_route_ttl(op: &Op, route: &Route, clock: &Clock) -> Option<Op> {
    let cap = match &route.shape {
        Shape::Record { record, .. } => route.ttl_max[*record].get(),
        Shape::Failover { .. } => None,
    };
    if route.ttl.get().is_none() && cap.is_none() {
        return None;
    }
    changed(capped(op, route.ttl.get(), cap, clock))
}

/// The same for one node of a failover route.
pub(super) fn with_node_ttl(op: &Op, cap: Option<Duration>, clock: &Clock) -> Option<Op> {
    changed(capped(op, None, Some(cap?), clock))
}

fn changed(op: Cow<'_, Op>) -> Option<Op> {
    match op {
        Cow::Borrowed(_) => None,
        Cow::Owned(op) => Some(op),
    }
}

fn capped<'a>(
    op: &'a Op,
    default: Option<Duration>,
    cap: Option<Duration>,
    clock: &Clock,
) -> Cow<'a, Op> {
    if let Op::Fenced { fence, write } = op {
        return match capped(write, default, cap, clock) {
            Cow::Borrowed(_) => Cow::Borrowed(op),
            Cow::Owned(write) => {
                Cow::Owned(Op::Fenced { fence: fence.clone(), write: Box::new(write) })
            }
        };
    }
    if let Op::Transact { expected, changes } = op {
        return capped_changes(op, expected, changes, default, cap, clock);
    }
    let current = match op {
        Op::Set { ttl, .. } | Op::SetMany { ttl, .. } | Op::Expire { ttl, .. } => *ttl,
        _ => return Cow::Borrowed(op),
    };
    let wanted = change(current, default.filter(|_| !matches!(op, Op::Expire { .. })), cap, clock);
    if wanted == current {
        return Cow::Borrowed(op);
    }
    let mut op = op.clone();
    if let Op::Set { ttl, .. } | Op::SetMany { ttl, .. } | Op::Expire { ttl, .. } = &mut op {
        *ttl = wanted;
    }
    Cow::Owned(op)
}

/// Each change by itself.
fn capped_changes<'a>(
    op: &'a Op,
    expected: &[Expected],
    changes: &[(Key, Change)],
    default: Option<Duration>,
    cap: Option<Duration>,
    clock: &Clock,
) -> Cow<'a, Op> {
    let wanted = |one: &Change| {
        let default = default.filter(|_| matches!(one, Change::Put { .. }));
        one.ttl().map(|ttl| change(ttl, default, cap, clock))
    };
    if changes.iter().all(|(_, one)| wanted(one) == one.ttl()) {
        return Cow::Borrowed(op);
    }
    let capped = |(key, one): &(Key, Change)| {
        let one = match wanted(one) {
            Some(ttl) => one.clone().with_ttl(ttl),
            None => one.clone(),
        };
        (key.clone(), one)
    };
    let changes = changes.iter().map(capped).collect();
    Cow::Owned(Op::Transact { expected: expected.to_vec(), changes })
}

fn change(
    ttl: TtlChange,
    default: Option<Duration>,
    cap: Option<Duration>,
    clock: &Clock,
) -> TtlChange {
    let far = cap.unwrap_or(Duration::MAX);
    match ttl {
        TtlChange::Clear => {
            default.or(cap).map_or(TtlChange::Clear, |ttl| TtlChange::For(ttl.min(far)))
        }
        TtlChange::For(ttl) => TtlChange::For(ttl.min(far)),
        TtlChange::At(at) => match cap.and_then(|cap| i64::try_from(cap.as_millis()).ok()) {
            Some(cap) => TtlChange::At(at.min(clock.unix_ms().saturating_add(cap))),
            None => TtlChange::At(at),
        },
        TtlChange::Keep => TtlChange::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_shortens_and_a_default_fills_in() {
        let (clock, s) = (Clock::starting_at(1_000), Duration::from_secs);
        assert_eq!(change(TtlChange::Clear, Some(s(9)), None, &clock), TtlChange::For(s(9)));
        assert_eq!(change(TtlChange::Clear, Some(s(9)), Some(s(5)), &clock), TtlChange::For(s(5)));
        assert_eq!(
            change(TtlChange::For(s(3)), Some(s(9)), Some(s(5)), &clock),
            TtlChange::For(s(3))
        );
        assert_eq!(change(TtlChange::Keep, Some(s(9)), Some(s(5)), &clock), TtlChange::Keep);
        assert_eq!(change(TtlChange::At(2_000), None, Some(s(5)), &clock), TtlChange::At(2_000));
    }
}
