//! The waiting: attempts, hedges, cached reads, commits and their invalidations, for one planned operation.
//! It must not know the front doors, nor how a backend does its work.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::{
    clock::{Clock, Deadline},
    entropy::Entropy,
    error::{Error, ErrorKind, Result},
    node::Node,
    op::{Op, OpClass},
    reply::Reply,
    route::{NodeId, Plan, Route, Table, plan},
    status::{Availability, NodeView},
    sync::missed::Missed,
    task::Tasks,
};

mod attempt;
mod batch;
pub(crate) mod count;
mod fill;
mod hedge;
mod many;
mod prepare;
mod raise;
mod read;
pub(crate) mod readmit;
mod scan;
mod turn;
mod write;

#[cfg(test)]
mod tests;

use count::Counts;

/// Everything that an operation meets on its way.
#[derive(Debug)]
pub(crate) struct Road {
    /// The routes.
    pub(crate) table: Table,
    /// The nodes, by id; memory last.
    pub(crate) nodes: Vec<Arc<Node>>,
    /// Per node: the keys whose copies there are not to be trusted.
    pub(crate) missed: Vec<Missed>,
    /// Per route: what a lower backend took for a higher one.
    pub(crate) overflow: Vec<crate::sync::overflow::Overflow>,
    /// Requests, fallbacks, hedges.
    pub(crate) counts: Counts,
    /// Fills under way.
    pub(crate) fills: Arc<Semaphore>,
    /// The clock.
    pub(crate) clock: Clock,
    /// Tokens and jitter.
    pub(crate) entropy: Entropy,
    /// Background work.
    pub(crate) tasks: Tasks,
}

/// Fills at once at most; beyond that a miss is answered without filling.
pub(crate) const FILLS_MAX: usize = 512;

/// A reply and who gave it.
#[derive(Debug)]
pub(crate) struct Served {
    /// The reply.
    pub(crate) reply: Reply,
    /// Who; `None`: the route's default.
    pub(crate) node: Option<NodeId>,
    /// Whether it may be older than the last acknowledged write.
    pub(crate) stale: bool,
    /// The age of the copy, when a cache answered.
    pub(crate) age: Option<std::time::Duration>,
}

impl Served {
    fn by(node: NodeId, reply: Reply) -> Self {
        Self { reply, node: Some(node), stale: false, age: None }
    }
}

/// Performs one operation: the keys' route, the plan, the waiting, the counting.
///
/// # Errors
/// The caller's kinds as they are; `Unavailable` with one cause per backend otherwise.
pub(crate) async fn run(road: &Arc<Road>, op: &Op, deadline: Deadline) -> Result<Served> {
    match op {
        Op::Scan { prefix, cursor, limit } => {
            return scan::scan(road, prefix, cursor.as_ref(), *limit, deadline).await;
        }
        Op::Count { prefix } => return scan::count(road, prefix, deadline).await,
        _ => {}
    }
    match road.table.of_op(op) {
        Some(route) => run_on(road, route, op, deadline).await,
        None => batch::across_routes(road, op, deadline).await,
    }
}

/// Performs one operation whose keys all take this route.
async fn run_on(
    road: &Arc<Road>,
    route: &Arc<Route>,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let op = prepare::with_route_ttl(op, route, &road.clock);
    let result = follow(road, route, &op, deadline).await;
    let result = result.or_else(|error| default_of(route, &op, error));
    road.counts.request(route, op.class(), &result);
    result
}

async fn follow(
    road: &Arc<Road>,
    route: &Arc<Route>,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let now = road.clock.now();
    let view = |node: NodeId| road.nodes[node].view(now);
    let copy_is_true = |node: NodeId| {
        let mut all = true;
        op.for_each_key(|key| all &= road.missed[node].is_true(key));
        all
    };
    match plan(op, route, view, || road.counts.turn(), copy_is_true) {
        Plan::Cached { cache: None, record } => {
            read::from_record(road, route, record, op, deadline).await
        }
        Plan::Cached { cache: Some(cache), record } => {
            let hedge = view(record).is_available();
            read::through_cache(road, route, read::Pair { cache, record, hedge }, op, deadline)
                .await
        }
        Plan::Commit { record } => write::commit(road, route, record, op, deadline).await,
        Plan::InTurn { candidates, absent_goes_on } => {
            turn::in_turn(road, route, &candidates, absent_goes_on, op, deadline).await
        }
    }
}

/// Graceful degradation: a read of a single key that nothing can serve gets the route's default, marked stale.
fn default_of(route: &Route, op: &Op, error: Error) -> Result<Served> {
    let degradable = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded);
    match (&route.default, op) {
        (Some(default), Op::Get { .. }) if degradable => {
            let record = crate::entry::Record { value: default.clone(), version: None, ttl: None };
            Ok(Served { reply: Reply::Record(Some(record)), node: None, stale: true, age: None })
        }
        _ => Err(error),
    }
}

impl Road {
    /// A snapshot of every node for the choosing.
    pub(crate) fn views(&self) -> Vec<NodeView> {
        let now = self.clock.now();
        self.nodes.iter().map(|node| node.view(now)).collect()
    }

    /// Why a route's nodes could not serve: the given causes, and a refusal for each node that has none yet.
    fn unavailable(&self, route: &Route, mut causes: Vec<Error>, class: OpClass) -> Error {
        let now = self.clock.now();
        let caches_matter = class == OpClass::Read;
        let others = if caches_matter { route.nodes().collect() } else { Vec::new() };
        for id in others {
            let node = &self.nodes[id];
            let told = causes.iter().any(|cause| cause.backend() == Some(node.name()));
            if !told && node.view(now).availability != Availability::Available {
                causes.push(node.refusal(now));
            }
        }
        Error::unavailable(causes)
    }
}
