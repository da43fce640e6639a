//! Who is asked, in which order: all choosing for one operation.
//! It must not do anything: no IO, no clock, no waiting; the views are a snapshot.

use smallvec::SmallVec;

use super::{NodeId, Route, Select, Shape};
use crate::{
    op::{Op, OpClass},
    status::{Availability, Health, NodeView},
};

/// Nodes to ask in turn; routes are short.
pub(crate) type Candidates = SmallVec<[NodeId; 8]>;

/// What to do with one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// A read of a record route: the cache if its copies may be read, then the record.
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
        candidates: Candidates,
        /// Whether an absent key sends the read on to the next one.
        absent_goes_on: bool,
    },
}

/// Chooses. `view(node)` is a snapshot of a node; `copies_count` says whether there is a lease under which copies may be
/// read; `turn` spreads round robin.
pub(crate) fn plan(
    op: &Op,
    route: &Route,
    view: impl Fn(NodeId) -> NodeView,
    turn: impl FnOnce() -> usize,
    copies_count: impl FnOnce() -> bool,
) -> Plan {
    match (&route.shape, op.class()) {
        (Shape::Record { cache, record, .. }, OpClass::Read) => {
            let usable = |id: &NodeId| {
                let view = view(*id);
                view.is_available() && view.readable && copies_count()
            };
            Plan::Cached { cache: cache.filter(usable), record: *record }
        }
        (Shape::Record { record, .. }, OpClass::LastWriterWins | OpClass::Strict) => {
            Plan::Commit { record: *record }
        }
        (Shape::Failover { backends, select }, _) => in_turn(backends, *select, op, view, turn),
    }
}

fn in_turn(
    backends: &[NodeId],
    select: Select,
    op: &Op,
    view: impl Fn(NodeId) -> NodeView,
    turn: impl FnOnce() -> usize,
) -> Plan {
    // Others answer for a missing key only where the read goes on to them; of many keys nobody knows which are missing.
    let spreads = select == Select::RoundRobin && matches!(op, Op::Get { .. });
    // What a degraded backend holds, no other has: for the others its keys are missing, its counters begin at 0.
    let may_move = spreads || op.class() == OpClass::LastWriterWins;
    let rank = |id: NodeId| match select {
        Select::Failover | Select::RoundRobin if may_move => match rank(&view(id)) {
            UP if Some(&id) == backends.last() => LAST,
            rank => rank,
        },
        _ => u8::from(!view(id).is_available()) * REFUSED,
    };
    if !spreads && backends.first().is_some_and(|first| rank(*first) == UP) {
        // The first is up: the others are asked only if it fails, and then in the order of the configuration.
        return Plan::InTurn { candidates: backends.into(), absent_goes_on: false };
    }
    let mut ranked: SmallVec<[(u8, NodeId); 8]> =
        backends.iter().map(|id| (rank(*id), *id)).collect();
    // Stable: the order of the configuration within a rank.
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut candidates: Candidates = ranked.iter().map(|(_, id)| *id).collect();
    if spreads {
        let up = ranked.iter().filter(|(rank, _)| *rank == UP).count();
        if up > 1 {
            candidates[..up].rotate_left(turn() % up);
        }
    }
    Plan::InTurn { candidates, absent_goes_on: spreads }
}

const UP: u8 = 0;
const DEGRADED: u8 = 1;
/// Memory, up: what it holds is a stand-in, for a degraded backend as well.
const LAST: u8 = 2;
const REFUSED: u8 = 3;

/// Up before degraded before refused.
fn rank(view: &NodeView) -> u8 {
    match (view.availability, view.health) {
        (Availability::Available, Health::Up) => UP,
        (Availability::Available, Health::Degraded | Health::Down) => DEGRADED,
        (Availability::Refuses(_), _) => REFUSED,
    }
}
