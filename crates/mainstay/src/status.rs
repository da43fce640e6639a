//! The state of a storage as plain data: what `status`, the HTTP API, the metrics and the dashboard read.
//! It must not know how the state is kept.

mod backend;
mod kept;
mod kpi;

use std::{sync::Arc, time::Duration};

use serde::Serialize;

pub use self::{
    backend::{
        BackendStatus, BreakerStatus, CallCounts, InjectedFault, LastError, LatencySnapshot,
        ReconnectStatus, RequestLatency, TransitionCount,
    },
    kept::{CacheStatus, JournalStatus, L1Status, LoadStatus, LocksStatus},
    kpi::{HistoryStatus, Kpi, Kpis, Recovered, Resilience, Target},
};
use crate::error::ErrorKind;

/// The health of one backend, or of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Serves.
    Up,
    /// Serves, but slowly, with errors, or without some of its parts; used last.
    Degraded,
    /// Does not serve.
    Down,
}

impl Health {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Up => "up",
            Health::Degraded => "degraded",
            Health::Down => "down",
        }
    }
}

/// The states of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// A few calls pass as probes.
    HalfOpen,
    /// Refused by hand, until it expires.
    Isolated,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Open, Self::HalfOpen, Self::Isolated];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
            BreakerState::Isolated => "isolated",
        }
    }
}

/// What an operator may tell a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerCommand {
    /// Refuse all calls for this long, at most one day.
    ForceOpen(Duration),
    /// Let all calls pass for this long, at most one day.
    ForceClosed(Duration),
    /// Decide by itself again.
    Auto,
}

/// Whether a node would take a call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It would.
    Available,
    /// It would refuse with an error of this kind: `BreakerOpen`, `OutOfUse`, `Forbidden`, `Corrupt`.
    Refuses(ErrorKind),
}

/// What routing sees of one node: a snapshot, cheap to take for each operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The node's index.
    pub id: usize,
    /// Whether it would take a call.
    pub availability: Availability,
    /// Its health; `Degraded` serves last.
    pub health: Health,
    /// For a cache: whether its copies may be served. False from the moment it was first refused to a writer until
    /// the readmission hook has made it true again. Always true for a node without a hook.
    pub readable: bool,
    /// When a refused call is worth trying again, if that is known.
    pub retry_in: Option<Duration>,
}

impl NodeView {
    /// Whether it would take a call.
    pub fn is_available(&self) -> bool {
        self.availability == Availability::Available
    }
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteStatus {
    /// Keys that begin with this; empty: all others.
    pub prefix: String,
    /// `redis -> db(record)` and the like.
    pub description: String,
    /// What it promises, in words.
    pub promise: String,
    /// Whether reads can be served now.
    pub readable: bool,
    /// Whether writes can be served now.
    pub writable: bool,
    /// Answers since start that were marked stale, defaults included.
    pub stale_served: u64,
}

/// Operations through the road since start, for one route, operation and outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestCount {
    /// The route's prefix; `*` for the default route.
    pub route: Arc<str>,
    /// `read`, `write` or `strict`.
    pub op: &'static str,
    /// The backend that answered; empty when none did.
    pub source: Arc<str>,
    /// `ok` or an error's word.
    pub outcome: &'static str,
    /// How many.
    pub count: u64,
}

/// Fallbacks since start: an operation that was not served by the backend it would normally be served by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FallbackCount {
    /// The backend it would normally be served by.
    pub from: Arc<str>,
    /// The one that served.
    pub to: Arc<str>,
    /// Why: an error's word.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// The whole storage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Up: every backend is and takes calls; down: no route can serve; degraded: in between.
    pub health: Health,
    /// One sentence for people.
    pub sentence: String,
    /// What a person should look at though everything may be served: backends that flap, a history that cannot be kept.
    pub warnings: Vec<String>,
    /// Since `open`.
    #[serde(serialize_with = "as_millis", rename = "uptime_ms")]
    pub uptime: Duration,
    /// In the order of the configuration, memory last.
    pub backends: Vec<BackendStatus>,
    /// Longest prefix first.
    pub routes: Vec<RouteStatus>,
    /// Requests by route, operation, source and outcome.
    pub requests: Vec<RequestCount>,
    /// Fallbacks.
    pub fallbacks: Vec<FallbackCount>,
    /// Hedged reads since start.
    pub hedges: u64,
    /// Loads of each route on which anything was loaded.
    pub loads: Vec<LoadStatus>,
    /// Each cache before a record.
    pub caches: Vec<CacheStatus>,
    /// What this process keeps of its own before records that have no cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1: Option<L1Status>,
    /// Keys that were written around a cache and wait to be made absent in it.
    pub dirty_keys: u64,
    /// Keys that a lower backend of a failover route took for a higher one, until they have been moved up.
    pub overflowed_keys: u64,
    /// Writes that wait for a record; none where no route has a journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalStatus>,
    /// Locks of this process.
    pub locks: LocksStatus,
    /// Key figures of the last `observe.window`, with their targets.
    pub kpis: Kpis,
    /// What outages cost, since start.
    pub resilience: Resilience,
    /// Where the connection history is kept.
    pub history: HistoryStatus,
}

pub(crate) fn as_millis<S: serde::Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

pub(crate) fn as_optional_millis<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => {
            // Whole microseconds: more digits are noise.
            serializer.serialize_some(&((duration.as_secs_f64() * 1e6).round() / 1e3))
        }
        None => serializer.serialize_none(),
    }
}
