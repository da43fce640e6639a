//! Values whose truth is elsewhere: looked up where copies of them stand, loaded by one when there is none, shared by all.
//! It must not know where the truth is (a closure, a query): that is a [`Truth`]; nor the front doors.
//!
//! **The entry point** is [`load`]: `load(road, route, key, options, truth, deadline)`. `truth` is asked at most once, in a
//! task of its own, so that a caller that goes away cancels nobody; it answers `Result<Option<Loaded>>`, where `None` says
//! that there is nothing. Two kinds: [`Truth::closure`], which goes through the bulkhead for loaders, and
//! [`Truth::of_node`], whose question goes through the guard of a node and needs no second bulkhead.
//!
//! The road of one load:
//!
//! ```text
//! hit                 fresh in this process: the shortest road, which ends here    pure
//! shelf::near, look   what stands there: this process's memory, the cache          a hit ends here
//! stage               fresh, due (refreshed behind the reader), stale, gone        pure
//! flight              one load per key and process; the others wait for its end    pure but for the waiting
//! lead                the right to keep, across processes: who is refused it waits for the holder's copy
//! Truth               the loader or the query, through its bulkhead, for `hard_timeout` at most
//! shelf::put          kept only while the right still stands: an invalidation in between takes it away
//! instead             when it failed: stale, default, or an error that names why       pure but for one look
//! ```
//!
//! Where copies stand (`shelf`) depends on the route. With a cache before a record: as copies under its lease and tokens,
//! with everything that keeps record routes true. On a failover route: as plain keys of its first backend, if processes
//! share that. Otherwise in the memory of this process. Never in the record: what is loaded is not stored.
//! A cache that does not answer is no miss: then it is loaded under `fallback_max`, and nothing is written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    clock::Deadline,
    config::{Config, LoadConfig},
    entry::Key,
    error::Result,
    exec::{Road, Served},
    guard::bulkhead::Bulkhead,
    live::{Live, LiveSize},
    node::Node,
    op::OpClass,
    route::{NodeId, Route},
};

mod bucket;
mod call;
pub(crate) mod changes;
mod count;
mod envelope;
mod flight;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod hit;
mod instead;
pub(crate) mod invalidate;
mod lead;
mod marks;
mod options;
mod prefixes;
mod shelf;
mod stage;
#[cfg(test)]
mod tests;
mod throttle;

use bucket::Bucket;
use call::Call;
pub(crate) use count::{Counter, Counts};
use envelope::Envelope;
use flight::Flights;
pub(crate) use hit::hit;
pub use options::LoadOptions;
pub(crate) use shelf::{OWN_LEN, is_own, loaded_under};
use throttle::Throttle;

/// What a truth has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The value.
    pub(crate) value: Bytes,
}

type Question = Box<dyn FnOnce() -> BoxFuture<'static, Result<Option<Loaded>>> + Send>;

/// Where a value comes from when no copy of it stands anywhere.
pub(crate) struct Truth {
    ask: Question,
    /// The node whose guard the question goes through; `None`: a closure.
    node: Option<NodeId>,
}

impl Truth {
    /// A loader of the caller's: it goes through the bulkhead for loaders.
    pub(crate) fn closure(
        ask: impl FnOnce() -> BoxFuture<'static, Result<Option<Loaded>>> + Send + 'static,
    ) -> Self {
        Self { ask: Box::new(ask), node: None }
    }

    /// A question that goes through the guard of this node (`guard::call`), whose bulkhead is enough.
    pub(crate) fn of_node(
        node: NodeId,
        ask: impl FnOnce() -> BoxFuture<'static, Result<Option<Loaded>>> + Send + 'static,
    ) -> Self {
        Self { ask: Box::new(ask), node: Some(node) }
    }
}

/// What all loads of a storage share.
#[derive(Debug)]
pub(crate) struct Loads {
    flights: Arc<Flights>,
    throttle: Mutex<Throttle>,
    /// Of closures, per route.
    bulkheads: Vec<Bulkhead>,
    /// Loads while a cache is away, per node that may be one; empty: without a cap.
    fallbacks: Live<Vec<Mutex<Bucket>>>,
    /// By route: whether what is loaded stands in this process.
    own: Vec<bool>,
    /// How many nodes there are.
    nodes: usize,
    pub(crate) counts: Counts,
    /// A longer value is not kept.
    value_max: LiveSize,
}

impl Loads {
    /// Nothing under way.
    pub(crate) fn new(config: &Config, routes: &[Arc<Route>], nodes: &[Arc<Node>]) -> Self {
        let LoadConfig { inflight_max, queue_max, queue_wait, fallback_max } = config.load;
        let bulkhead = |route: &Arc<Route>| {
            Bulkhead::for_users(at_once(route, inflight_max), queue_max, queue_wait)
        };
        Self {
            flights: Arc::default(),
            throttle: Mutex::default(),
            bulkheads: routes.iter().map(bulkhead).collect(),
            nodes: nodes.len(),
            own: routes.iter().map(|route| is_own(route, nodes)).collect(),
            fallbacks: Live::new(buckets(fallback_max, nodes.len())),
            counts: Counts::new(routes.len()),
            value_max: LiveSize::of_bytes(config.limits.value_max),
        }
    }

    /// Takes over settings; `routes` are those of a table with the same routes, and `fallback_max` counts anew.
    pub(crate) fn reconfigure(&self, config: &Config, routes: &[Arc<Route>]) {
        let LoadConfig { inflight_max, queue_max, queue_wait, fallback_max } = config.load;
        for (bulkhead, route) in self.bulkheads.iter().zip(routes) {
            bulkhead.reconfigure(at_once(route, inflight_max), queue_max, queue_wait);
        }
        self.fallbacks.set(buckets(fallback_max, self.nodes));
        self.value_max.set_bytes(config.limits.value_max);
    }

    /// Whether what a route loads stands in this process.
    pub(crate) fn is_own(&self, route: &Route) -> bool {
        self.own[route.id]
    }

    /// The bulkhead of what a route loads.
    pub(crate) fn bulkhead(&self, route: &Route) -> &Bulkhead {
        &self.bulkheads[route.id]
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The guard of the database bounds the queries of all sources; each may have its own bound below that.
fn at_once(route: &Route, loaders: usize) -> usize {
    match &route.source {
        Some(source) => source.inflight_max.unwrap_or(usize::MAX),
        None => loaders,
    }
}

fn buckets(fallback_max: Option<u32>, nodes: usize) -> Vec<Mutex<Bucket>> {
    let of_node = |rate: u32| (0..nodes).map(move |_| Mutex::new(Bucket::new(rate)));
    fallback_max.into_iter().flat_map(of_node).collect()
}

/// The value of a key: from where a copy stands, or from its truth.
///
/// # Errors
/// The truth's own; `Overloaded` with a `reason()` when the load was shed; `Timeout` when it took too long;
/// `DeadlineExceeded` when the deadline comes first.
pub(crate) async fn load(
    road: &Arc<Road>,
    route: &Arc<Route>,
    key: &Key,
    options: &LoadOptions,
    truth: Truth,
    deadline: Deadline,
) -> Result<Served> {
    let served = Call::new(road, route, key, options, deadline).run(truth).await;
    road.counts.request(route, OpClass::Read, &served);
    served
}
