//! Who is asked, in which order: all choosing for one operation.
//! It must not do anything: no IO, no clock, no waiting; the views are a snapshot.

use super::{NodeId, Route, Select, Shape};
use crate::{
    op::{Op, OpClass},
    status::{Availability, Health, NodeView},
};

/// What to do with one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// A read of a record route: the first usable cache, then the record.
    Cached {
        /// The cache to ask first; `None`: straight to the record.
        cache: Option<NodeId>,
        /// The truth.
        record: NodeId,
    },
    /// A write of a record route: commit, then make the copies absent.
    Commit {
        /// The truth.
        record: NodeId,
    },
    /// A failover route: ask these in turn. Never empty; the refused ones stand last, so that their reasons are told.
    InTurn {
        /// Best first.
        candidates: Vec<NodeId>,
        /// Whether an absent key sends the read on to the next one.
        absent_goes_on: bool,
    },
}

/// Chooses. `copy_is_true(node)` says whether the copies of this operation's keys on that cache may be read;
/// `turn` spreads round robin.
pub(crate) fn plan(
    op: &Op,
    route: &Route,
    views: &[NodeView],
    turn: usize,
    copy_is_true: impl Fn(NodeId) -> bool,
) -> Plan {
    match (&route.shape, op.class()) {
        (Shape::Record { caches, record }, OpClass::Read) => {
            let usable = |id: &NodeId| {
                views[*id].availability == Availability::Available && copy_is_true(*id)
            };
            Plan::Cached { cache: caches.iter().copied().find(usable), record: *record }
        }
        (Shape::Record { record, .. }, OpClass::LastWriterWins | OpClass::Strict) => {
            Plan::Commit { record: *record }
        }
        (Shape::Failover { backends, select }, class) => {
            in_turn(backends, *select, class, views, turn)
        }
    }
}

fn in_turn(
    backends: &[NodeId],
    select: Select,
    class: OpClass,
    views: &[NodeView],
    turn: usize,
) -> Plan {
    let mut candidates = backends.to_vec();
    match (select, class) {
        (Select::Priority, _) => candidates.sort_by_key(|id| refused(&views[*id])),
        (Select::Failover, _) | (Select::RoundRobin, OpClass::LastWriterWins | OpClass::Strict) => {
            candidates.sort_by_key(|id| rank(&views[*id]));
        }
        (Select::RoundRobin, OpClass::Read) => {
            candidates.sort_by_key(|id| rank(&views[*id]));
            // The last one is memory: what it holds is a stand-in, not a replica to spread reads over.
            let up = candidates
                .iter()
                .filter(|id| rank(&views[**id]) == 0 && Some(*id) != backends.last())
                .count();
            if up > 1 {
                candidates[..up].rotate_left(turn % up);
            }
        }
    }
    Plan::InTurn {
        candidates,
        absent_goes_on: select == Select::RoundRobin && class == OpClass::Read,
    }
}

fn refused(view: &NodeView) -> bool {
    view.availability != Availability::Available
}

/// Up before degraded before refused; the order of the configuration within each.
fn rank(view: &NodeView) -> u8 {
    match (view.availability, view.health) {
        (Availability::Available, Health::Up) => 0,
        (Availability::Available, Health::Degraded | Health::Down) => 1,
        (Availability::Refuses(_), _) => 2,
    }
}
