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
//! shelf::look      what stands there: this process's memory, the cache           a hit ends here
//! stage            fresh, due (refreshed behind the reader), stale, gone         pure
//! flight           one load per key and process; the others wait for its end     pure but for the waiting
//! lead             the right to keep, across processes: who is refused it waits for the holder's copy
//! Truth            the loader or the query, through its bulkhead, for `hard_timeout` at most
//! shelf::put       kept only while the right still stands: an invalidation in between takes it away
//! ```
//!
//! Where copies stand (`shelf`) depends on the route. With a cache before a record: as copies under its lease and tokens,
//! with everything that keeps record routes true. On a failover route: as plain keys of its first backend, if processes
//! share that. Otherwise in the memory of this process. Never in the record: what is loaded is not stored.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    clock::Deadline,
    entry::{Freshness, Key, Record, Worth},
    error::{Error, ErrorKind, Result},
    exec::{Road, Served},
    reply::Reply,
    route::{NodeId, Route},
};

mod envelope;
mod flight;
mod lead;
mod options;
mod shelf;
mod stage;
#[cfg(test)]
mod tests;

use envelope::Envelope;
use flight::{Flights, Outcome};
pub use options::LoadOptions;
use shelf::{Copy, Shelf};
pub(crate) use shelf::{OWN_LEN, is_own};
use stage::Stage;

use crate::guard::bulkhead::Bulkhead;

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

/// Loads at once of one route, by closures; more wait.
const INFLIGHT_MAX: usize = 64;
/// Loads of one route that wait at once.
const QUEUE_MAX: usize = 1024;
/// How long each of them waits.
const QUEUE_WAIT: Duration = Duration::from_millis(100);

/// What all loads of a storage share.
#[derive(Debug)]
pub(crate) struct Loads {
    flights: Arc<Flights>,
    /// Per route.
    bulkheads: Vec<Bulkhead>,
    /// A longer value is not kept.
    value_max: u64,
}

impl Loads {
    /// Nothing under way.
    pub(crate) fn new(routes: &[Arc<Route>], value_max: u64) -> Self {
        // The guard of the database bounds the queries of all sources; each may have its own bound below that.
        let inflight_max = |route: &Route| match &route.source {
            Some(source) => source.inflight_max.unwrap_or(usize::MAX),
            None => INFLIGHT_MAX,
        };
        let bulkhead =
            |route: &Arc<Route>| Bulkhead::new(inflight_max(route), QUEUE_MAX, QUEUE_WAIT);
        let bulkheads = routes.iter().map(bulkhead).collect();
        Self { flights: Arc::default(), bulkheads, value_max }
    }
}

/// A value that may be served.
#[derive(Clone, Debug)]
struct Arrived {
    envelope: Envelope,
    /// Who gave it; `None`: a closure.
    node: Option<NodeId>,
    /// How long ago it was loaded; `None`: just now.
    age: Option<Duration>,
}

/// The value of a key: from where a copy stands, or from its truth.
///
/// # Errors
/// The truth's own; `InvalidArgument` and `TooLarge` for options and keys; `DeadlineExceeded` when the deadline comes first.
pub(crate) async fn load(
    road: &Arc<Road>,
    route: &Arc<Route>,
    key: &Key,
    options: &LoadOptions,
    truth: Truth,
    deadline: Deadline,
) -> Result<Served> {
    let begun = road.clock.now();
    let shelf = Shelf::of(road, route);
    let look = shelf.look(key, deadline).await;
    let now = shelf.now_ms();
    let stale_for = options.stale_if_error.unwrap_or(route.stale_if_error);
    let stage = look.copy.as_ref().map(|copy| stage::of(&copy.envelope, now, 0.0, stale_for));
    if let (Some(copy), Some(Stage::Fresh | Stage::Due)) = (&look.copy, stage) {
        return Ok(hit(copy, now, Freshness::Loaded));
    }
    let ticket = road.loads.flights.board(key, begun, look.lease.is_vacant());
    let outcome = ticket.outcome;
    if let Some(lead) = ticket.lead {
        let work = lead::Work {
            road: Arc::clone(road),
            route: Arc::clone(route),
            key: key.clone(),
            options: options.clone(),
            stale_for,
        };
        road.tasks.spawn_to_end(work.run(lead, look.lease, truth));
    }
    let arrived = landed(outcome, deadline).await?;
    Ok(served(&arrived, Freshness::Loaded))
}

/// How the flight ends, if that is before the deadline.
async fn landed(outcome: Outcome, deadline: Deadline) -> Result<Arrived> {
    match tokio::time::timeout_at(deadline.instant(), outcome.ended()).await {
        Ok(ended) => ended,
        Err(_) => Err(Error::new(
            ErrorKind::DeadlineExceeded,
            "the deadline passed while the value was being loaded",
        )),
    }
}

fn hit(copy: &Copy, now_ms: i64, freshness: Freshness) -> Served {
    let age = copy.envelope.age(now_ms);
    let arrived =
        Arrived { envelope: copy.envelope.clone(), node: Some(copy.node), age: Some(age) };
    let mut served = served(&arrived, freshness);
    if let Reply::Record(Some(record)) = &mut served.reply {
        record.ttl = Some(copy.envelope.left(now_ms));
    }
    served
}

fn served(arrived: &Arrived, freshness: Freshness) -> Served {
    let ttl = Some(arrived.envelope.fresh_for());
    let record = |value: &Bytes| Record { value: value.clone(), version: None, ttl };
    Served {
        reply: Reply::Record(arrived.envelope.value.as_ref().map(record)),
        node: arrived.node,
        stale: matches!(freshness, Freshness::Unverified(_)),
        worth: Worth::Read(freshness),
        age: arrived.age,
    }
}
