//! The state of a storage as plain data: what `status`, the HTTP API, the metrics and the dashboard read.
//! It must not know how the state is kept.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

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

/// The breaker of one backend.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BreakerStatus {
    /// The state.
    pub state: BreakerState,
    /// Whether an operator forced it.
    pub forced: bool,
    /// Why it is in this state.
    pub reason: String,
    /// How long it has been in this state.
    #[serde(serialize_with = "as_millis", rename = "since_ms")]
    pub since: Duration,
    /// When it will let calls through again, when it is open or isolated.
    #[serde(
        serialize_with = "as_optional_millis",
        rename = "retry_in_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_in: Option<Duration>,
    /// Failures among the calls in the window.
    pub failures: u64,
    /// Calls in the window.
    pub calls: u64,
}

/// The last error of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// `ErrorKind::as_str`.
    pub kind: &'static str,
    /// The server's text, without secrets.
    pub message: String,
    /// How long ago.
    #[serde(serialize_with = "as_millis", rename = "age_ms")]
    pub age: Duration,
}

/// How the reconnection of one backend stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReconnectStatus {
    /// Whether a connection stands.
    pub connected: bool,
    /// Failed attempts since it was lost.
    pub attempts: u64,
    /// Attempts since start.
    pub attempts_total: u64,
    /// Successful reconnections since start, the first connection not counted.
    pub reconnects_total: u64,
    /// How often a stuck reconnection was torn down and begun anew.
    pub stuck_resets_total: u64,
    /// Time to the next attempt or probe.
    #[serde(
        serialize_with = "as_optional_millis",
        rename = "next_in_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub next_in: Option<Duration>,
}

/// Calls through the guard of one backend since start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallCounts {
    /// Answered, the caller's own errors included.
    pub success: u64,
    /// The backend's fault.
    pub failure: u64,
    /// Given up by the caller before an answer.
    pub abandoned: u64,
    /// Refused by the breaker.
    pub refused: u64,
    /// Refused by the bulkhead.
    pub shed: u64,
    /// Over the slow threshold, among `success` and `failure`.
    pub slow: u64,
}

/// A latency histogram: cumulative counts by upper bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LatencySnapshot {
    /// (upper bound in seconds, calls at or below it).
    pub buckets: Vec<(f64, u64)>,
    /// All calls.
    pub count: u64,
    /// Their sum in seconds.
    pub sum_seconds: f64,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackendStatus {
    /// Its configured name.
    pub name: Arc<str>,
    /// The engine's word.
    pub engine: &'static str,
    /// Its health.
    pub health: Health,
    /// How long it has had this health.
    #[serde(serialize_with = "as_millis", rename = "health_since_ms")]
    pub health_since: Duration,
    /// Whether an operator took it out of use.
    pub drained: bool,
    /// Its breaker.
    pub breaker: BreakerStatus,
    /// Its connection.
    pub reconnect: ReconnectStatus,
    /// The last error, also one that has been recovered from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// Calls in flight.
    pub inflight: u64,
    /// The bulkhead's limit.
    pub inflight_max: u64,
    /// Calls waiting for the bulkhead.
    pub queued: u64,
    /// Calls since start.
    pub calls: CallCounts,
    /// Median latency of late, by the driver's calls.
    #[serde(
        serialize_with = "as_optional_millis",
        rename = "latency_p50_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub latency_p50: Option<Duration>,
    /// 99th percentile of late.
    #[serde(
        serialize_with = "as_optional_millis",
        rename = "latency_p99_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub latency_p99: Option<Duration>,
    /// Latencies since start.
    #[serde(skip)]
    pub latency: LatencySnapshot,
    /// What the last probe learned: server version, role.
    pub facts: Vec<(&'static str, String)>,
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
}

/// What this process keeps of its own before one cache, or before records that have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct L1Status {
    /// Values.
    pub entries: u64,
    /// Bytes of keys, values and their overhead.
    pub bytes: u64,
    /// The bound.
    pub max: u64,
    /// Reads answered from it since start.
    pub hits: u64,
    /// Reads that found nothing in it that may be served.
    pub misses: u64,
    /// Values that had to go because of the bound.
    pub evictions: u64,
    /// `following` while the cache tells of changes, `broken` while it does not: then nothing is served from it. `none`
    /// where there is no cache.
    pub feed: &'static str,
    /// Why it is broken; empty when it is not.
    pub reason: String,
}

/// One cache before one record, as this process sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CacheStatus {
    /// The backend that holds copies.
    pub cache: Arc<str>,
    /// The backend that is the record.
    pub record: Arc<str>,
    /// `up`, `suspect`, `down`, `probing`, `readmitting` or `warming`.
    pub phase: &'static str,
    /// For how long.
    #[serde(serialize_with = "as_millis", rename = "since_ms")]
    pub since: Duration,
    /// Whether copies are read now.
    pub readable: bool,
    /// Why not; empty when they are.
    pub reason: String,
    /// Whether marks can be evicted: then writes wait for the cache, and strict routes read from the record.
    pub evicts: bool,
    /// Rises with each change between active and degraded, for all processes.
    pub epoch: u64,
    /// Rises with each readmission as a whole.
    pub generation: u64,
    /// Keys that were written around it and wait to be made absent in it.
    pub dirty_keys: u64,
    /// Reads answered by copies since start.
    pub hits: u64,
    /// Reads that asked the cache and then the record.
    pub misses: u64,
    /// Writes of this process around it.
    pub writes_around: u64,
    /// Keys that this process made absent in it for others.
    pub drained_keys: u64,
    /// Readmissions as a whole that this process carried out.
    pub readmissions: u64,
    /// Copies that were compared with the record.
    pub audited_keys: u64,
    /// Copies that were older than the record though nothing said so.
    pub inconsistent_keys: u64,
    /// What this process keeps of its own before it, for routes that name `memory` as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1: Option<L1Status>,
}

/// The journal: writes that wait for a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JournalStatus {
    /// Writes that wait.
    pub depth: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// For how long the oldest has waited.
    #[serde(
        serialize_with = "as_optional_millis",
        rename = "oldest_age_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub oldest_age: Option<Duration>,
    /// Writes that will not be applied, until somebody discards them.
    pub dead_letters: u64,
    /// Writes that records have taken from it since start.
    pub applied: u64,
    /// Writes that met somebody else's in the record since start.
    pub conflicts: u64,
    /// Whether the last write that wanted to wait was refused for want of room or time.
    pub full: bool,
    /// Records that this process has not met yet: nothing can wait for them.
    pub unmet_records: u64,
    /// Bytes of its files that could not be read at the opening, set aside beside them.
    pub damaged_bytes: u64,
}

/// Locks of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LocksStatus {
    /// `record`, `quorum`, `failover`, `redis`, `local`; `none` where no backend grants locks.
    pub mode: &'static str,
    /// `fenced`, `best_effort`, `host`, `process`, `none`.
    pub guarantee: &'static str,
    /// The backends that grant.
    pub backends: Vec<Arc<str>>,
    /// Who grants just now, in failover mode, and its epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<(Arc<str>, u64)>,
    /// Held by guards of this process.
    pub held: u64,
    /// Calls that wait for a lock.
    pub waiting: u64,
    /// Granted since start.
    pub granted: u64,
    /// Attempts since start that found the lock held by somebody else.
    pub contended: u64,
    /// Lost since start: a lease ended before its guard was released.
    pub lost: u64,
    /// Releases that wait to be sent.
    pub releasing: u64,
    /// Releases that were given up, or found no place: those leases ended by themselves.
    pub unreleased: u64,
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

/// Loads of one route since start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadStatus {
    /// The route's prefix; `*` for the default route.
    pub route: Arc<str>,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found that there is nothing.
    pub negative_hits: u64,
    /// Loaders and queries that were run.
    pub loads: u64,
    /// Those of them that failed.
    pub load_errors: u64,
    /// Reads that waited for a load which another had begun in this process.
    pub joined: u64,
    /// Loads that were left to another process.
    pub shared: u64,
    /// Loads begun in the background before a value's time was over.
    pub refreshes: u64,
    /// Stale values served.
    pub stale: u64,
    /// Defaults served.
    pub defaults: u64,
    /// Reads refused because a cache is away and `load.fallback_max` was reached.
    pub shed_cache_unavailable: u64,
    /// Reads refused because as many loads as may were under way.
    pub shed_database_saturated: u64,
    /// Invalidations of keys, prefixes and tags.
    pub invalidations: u64,
}

/// The whole storage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Up: every backend is; down: no route can serve; degraded: in between.
    pub health: Health,
    /// One sentence for people.
    pub sentence: String,
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
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn as_optional_millis<S: serde::Serializer>(
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
