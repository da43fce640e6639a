//! What is said of one backend: its breaker, its connection, its calls.
//! It must not know how any of it is kept.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{BreakerState, Health, as_millis, as_optional_millis};
use crate::event::Actor;

/// The breaker of one backend.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BreakerStatus {
    /// The state.
    pub state: BreakerState,
    /// Whether an operator forced it.
    pub forced: bool,
    /// Why it is in this state, and who forced it.
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
    /// How long a forced state lasts yet.
    #[serde(
        serialize_with = "as_optional_millis",
        rename = "forced_for_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub forced_for: Option<Duration>,
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
    /// Those that succeeded.
    pub connects_total: u64,
    /// Those that failed; one that is under way is in neither.
    pub failures_total: u64,
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

/// A fault that a drill has injected before a backend: it is no outage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InjectedFault {
    /// What it does, in words: `refuses 20 % of the calls`.
    pub fault: String,
    /// The share of the calls that it meets.
    pub share: f64,
    /// Only calls on keys that begin so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// When it ends by itself.
    #[serde(serialize_with = "as_millis", rename = "left_ms")]
    pub left: Duration,
    /// Why.
    pub reason: String,
    /// Whose it is.
    pub actor: Actor,
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

/// Calls of one class and outcome since start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestLatency {
    /// `read`, `write` or `strict`.
    pub op: &'static str,
    /// `success`, `failure` or `abandoned`.
    pub outcome: &'static str,
    /// How long they took.
    pub latency: LatencySnapshot,
}

/// Changes of a breaker since start, of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TransitionCount {
    /// The state before.
    pub from: &'static str,
    /// The state after.
    pub to: &'static str,
    /// Why, as a word of a closed set: `failures`, `slow`, `forced` and so on.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
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
    /// How long it is out of use yet, where that ends by itself.
    #[serde(
        serialize_with = "as_optional_millis",
        rename = "drained_for_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub drained_for: Option<Duration>,
    /// What a drill does to its calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<InjectedFault>,
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
    /// Latencies since start, of each class and outcome that there was.
    #[serde(skip)]
    pub requests: Vec<RequestLatency>,
    /// Changes of the breaker since start.
    pub transitions: Vec<TransitionCount>,
    /// Whether it goes out of service and comes back too often.
    pub flapping: bool,
    /// How often it went out of service within `observe.flapping_window`.
    pub switches: u64,
    /// How long it took to serve again after each outage since start, from the first sign of life.
    #[serde(skip)]
    pub recoveries: LatencySnapshot,
    /// What the last probe learned: server version, role.
    pub facts: Vec<(&'static str, String)>,
}
