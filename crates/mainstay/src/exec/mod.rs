//! The waiting: attempts, hedges, cached reads, commits and their invalidations, for one planned operation.
//! It must not know the front doors, nor how a backend does its work.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::{
    cache,
    clock::{Clock, Deadline, Instant},
    config::Consistency,
    entropy::Entropy,
    entry::{Freshness, Worth},
    error::{Error, ErrorKind, Result},
    load::Loads,
    merging,
    node::Node,
    op::{Op, OpClass},
    reply::{Reply, Written},
    route::{NodeId, Plan, Route, Table, plan},
    status::{Availability, NodeView},
    sync::{backlog::Backlog, domain::Domain, rows::Rows, session::Session, view::View},
    task::Tasks,
};

mod attempt;
mod batch;
mod climb;
pub(crate) mod count;
pub(crate) mod each;
mod fenced;
pub(crate) mod fill;
mod guarded;
mod hedge;
mod journal;
pub(crate) mod loaded;
mod many;
mod near;
mod overlay;
mod prepare;
mod raise;
pub(crate) mod raw;
mod read;
mod reader;
pub(crate) mod readmit;
pub(crate) mod refill;
pub(crate) mod rows;
mod scan;
pub(crate) mod snapshot;
mod source;
pub(crate) mod stale;
mod turn;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use count::Counts;
pub(crate) use near::{Near, get_local};
pub(crate) use read::Found;
pub(crate) use reader::Reader;

/// Everything that an operation meets on its way.
#[derive(Debug)]
pub(crate) struct Road {
    /// The routes.
    pub(crate) table: Table,
    /// The nodes, by id; memory last.
    pub(crate) nodes: Vec<Arc<Node>>,
    /// Each cache before its record.
    pub(crate) domains: Vec<Arc<Domain>>,
    /// Per route: its cache and record among them.
    pub(crate) domain_of: Vec<Option<usize>>,
    /// What this process keeps of its own.
    pub(crate) l1: cache::Layout,
    /// Per route: what a lower backend took for a higher one.
    pub(crate) overflow: Vec<crate::sync::overflow::Overflow>,
    /// Per route: whether reads of several keys are made as one.
    pub(crate) together: Vec<merging::Shared>,
    /// Per node: the rows of what it took, where it keeps any.
    pub(crate) rows: Vec<Option<Rows>>,
    /// Writes that wait for a record, where a route has a journal.
    pub(crate) backlog: Option<Backlog>,
    /// Requests, fallbacks, hedges.
    pub(crate) counts: Counts,
    /// Fills under way.
    pub(crate) fills: Arc<Semaphore>,
    /// Loads under way.
    pub(crate) loads: Loads,
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
    /// Who; `None`: the route's default, or, as `worth` says, the journal.
    pub(crate) node: Option<NodeId>,
    /// Whether it may be older than the last acknowledged write.
    pub(crate) stale: bool,
    /// What it is worth.
    pub(crate) worth: Worth,
    /// The age of the copy, when a cache answered.
    pub(crate) age: Option<Duration>,
}

impl Served {
    fn by(node: NodeId, reply: Reply) -> Self {
        let worth = Worth::Read(Freshness::Unpromised);
        Self { reply, node: Some(node), stale: false, worth, age: None }
    }
}

/// Performs one operation: the keys' route, the plan, the waiting, the counting.
///
/// The road is boxed once, and below what is rare on it: a future is moved at each level on its way down, and its size is
/// what each call pays (a test bounds it).
///
/// # Errors
/// The caller's kinds as they are; `Unavailable` with one cause per backend otherwise.
pub(crate) async fn run(
    road: &Arc<Road>,
    op: &Op,
    deadline: Deadline,
    session: Option<&Session>,
) -> Result<Served> {
    match op {
        Op::Get { key, .. } => {
            let route = road.table.of(key);
            return match near::get(road, route, key, session) {
                Some(served) => Ok(served),
                None => Box::pin(run_on(road, route, op, deadline, session)).await,
            };
        }
        Op::Scan { prefix, cursor, limit } => {
            return Box::pin(scan::scan(road, prefix, cursor.as_ref(), *limit, deadline)).await;
        }
        Op::Count { prefix } => return Box::pin(scan::count(road, prefix, deadline)).await,
        Op::Raw(raw) => return Box::pin(raw::run(road, op, raw, deadline)).await,
        _ => fenced::check(road, op)?,
    }
    match road.table.of_op(op) {
        Some(route) => Box::pin(run_on(road, route, op, deadline, session)).await,
        None => Box::pin(batch::across_routes(road, op, deadline, session)).await,
    }
}

/// Performs one operation whose keys all take this route.
async fn run_on(
    road: &Arc<Road>,
    route: &Arc<Route>,
    op: &Op,
    deadline: Deadline,
    session: Option<&Session>,
) -> Result<Served> {
    let capped = prepare::with_route_ttl(op, route, &road.clock).map(Box::new);
    let op = capped.as_deref().unwrap_or(op);
    let result = follow(road, route, op, deadline, session).await;
    let result = result.or_else(|error| default_of(route, op, error));
    // A load is counted where it is made.
    if route.source.is_none() || op.class() != OpClass::Read {
        road.counts.request(route, op.class(), &result);
    }
    result
}

async fn follow(
    road: &Arc<Road>,
    route: &Arc<Route>,
    op: &Op,
    deadline: Deadline,
    session: Option<&Session>,
) -> Result<Served> {
    if let Some(source) = &route.source {
        return Box::pin(source::run(road, route, source, op, deadline)).await;
    }
    let now = road.clock.now();
    let view = |node: NodeId| road.nodes[node].view(now);
    let mut leased = None;
    let copies_count = || {
        leased = road.copies_count(route, now);
        leased.is_some()
    };
    match plan(op, route, view, || road.counts.turn(), copies_count) {
        Plan::Cached { record, .. } => {
            let reader = Reader {
                route,
                record,
                domain: road.domain(route),
                view: leased,
                looked: matches!(op, Op::Get { .. }),
                hedge: view(record).is_available(),
                deadline,
                session,
            };
            read::of_copies(road, &reader, op).await
        }
        Plan::Commit { record } => {
            let served = Box::pin(write::commit(road, route, record, op, deadline)).await?;
            wrote(road, route, op, &served.reply, session);
            Ok(served)
        }
        Plan::InTurn { candidates, absent_goes_on } => {
            turn::in_turn(road, route, &candidates, absent_goes_on, op, deadline).await
        }
    }
}

/// The session has seen its own write.
fn wrote(road: &Road, route: &Route, op: &Op, reply: &Reply, session: Option<&Session>) {
    let (Some(session), Some(lease)) = (session, road.floor_for(route)) else { return };
    let Reply::Written(Written { version: Some(version), .. }) = reply else { return };
    op.for_each_key(|key| session.wrote(key, *version, lease, road.clock.now()));
}

/// Graceful degradation: a read of a single key that nothing can serve gets the route's default, marked stale.
fn default_of(route: &Route, op: &Op, error: Error) -> Result<Served> {
    let degradable = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded);
    match (route.default(), op) {
        (Some(default), Op::Get { .. }) if degradable => {
            crate::trace::degraded("default", error.kind());
            let record = crate::entry::Record { value: default, version: None, ttl: None };
            let worth = Worth::Read(Freshness::Unpromised);
            let reply = Reply::Record(Some(record));
            Ok(Served { reply, node: None, stale: true, worth, age: None })
        }
        _ => Err(error),
    }
}

impl Road {
    /// The cache before a route's record.
    pub(crate) fn domain(&self, route: &Route) -> Option<&Arc<Domain>> {
        self.domain_of[route.id].map(|id| &self.domains[id])
    }

    /// The memory of this process, as a node: the last.
    pub(crate) fn memory(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// How long a copy or a kept value may be older than the record; `None`: there are neither.
    fn floor_for(&self, route: &Route) -> Option<Duration> {
        self.domain(route).map(|domain| domain.config.lease).or(route.l1_ttl.get())
    }

    /// The view under which this read may ask the cache: there is a lease, and a cache that warms up takes a share of
    /// the reads.
    fn copies_count(&self, route: &Route, now: Instant) -> Option<Arc<View>> {
        let domain = self.domain(route)?;
        self.leased(route, now).filter(|_| domain.takes(|| self.entropy.unit()))
    }

    /// The view under whose lease this route's copies may be read. A strict route has none before a cache that may evict
    /// marks.
    pub(crate) fn leased(&self, route: &Route, now: Instant) -> Option<Arc<View>> {
        let domain = self.domain(route)?;
        if route.consistency == Consistency::Strict && domain.evicts() {
            return None;
        }
        domain.view().filter(|view| view.may_read(now, self.clock.suspended_at(now)))
    }

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
