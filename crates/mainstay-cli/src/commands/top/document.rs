//! The status document, as far as it is shown.
//! It must not refuse what another version of the server says: what is missing is empty.

use serde::Deserialize;

/// `/v1/status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    pub(super) version: String,
    pub(super) draining: bool,
    pub(super) health: String,
    pub(super) sentence: String,
    pub(super) warnings: Vec<String>,
    pub(super) uptime_ms: u64,
    pub(super) backends: Vec<Backend>,
    pub(super) routes: Vec<Route>,
    pub(super) requests: Vec<Requests>,
    pub(super) caches: Vec<Cache>,
    pub(super) journal: Option<Journal>,
    pub(super) locks: Locks,
    pub(super) kpis: Kpis,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) engine: String,
    pub(super) health: String,
    pub(super) health_since_ms: f64,
    pub(super) drained: bool,
    pub(super) drained_for_ms: Option<f64>,
    pub(super) breaker: Breaker,
    pub(super) reconnect: Reconnect,
    pub(super) last_error: Option<LastError>,
    pub(super) inflight: u64,
    pub(super) inflight_max: u64,
    pub(super) queued: u64,
    pub(super) calls: Calls,
    pub(super) latency_p50_ms: Option<f64>,
    pub(super) latency_p99_ms: Option<f64>,
    pub(super) flapping: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Breaker {
    pub(super) state: String,
    pub(super) forced: bool,
    pub(super) reason: String,
    pub(super) since_ms: f64,
    pub(super) retry_in_ms: Option<f64>,
    pub(super) forced_for_ms: Option<f64>,
    pub(super) failures: u64,
    pub(super) calls: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reconnect {
    pub(super) connected: bool,
    pub(super) attempts: u64,
    pub(super) next_in_ms: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LastError {
    pub(super) message: String,
    pub(super) age_ms: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Calls {
    pub(super) success: u64,
    pub(super) failure: u64,
    pub(super) abandoned: u64,
    pub(super) refused: u64,
    pub(super) shed: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Route {
    pub(super) prefix: String,
    pub(super) description: String,
    pub(super) promise: String,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Requests {
    pub(super) route: String,
    pub(super) count: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cache {
    pub(super) cache: String,
    pub(super) record: String,
    pub(super) phase: String,
    pub(super) since_ms: f64,
    pub(super) readable: bool,
    pub(super) reason: String,
    pub(super) dirty_keys: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Journal {
    pub(super) depth: u64,
    pub(super) oldest_age_ms: Option<f64>,
    pub(super) dead_letters: u64,
    pub(super) full: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Locks {
    pub(super) mode: String,
    pub(super) guarantee: String,
    pub(super) held: u64,
    pub(super) waiting: u64,
    pub(super) granted: u64,
    pub(super) lost: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Kpis {
    pub(super) connection_success: Kpi,
    pub(super) fallback_rate: Kpi,
    pub(super) recovery_time: Kpi,
    pub(super) hit_rate: Kpi,
    pub(super) error_rate: Kpi,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Kpi {
    pub(super) value: Option<f64>,
    pub(super) unit: String,
    pub(super) target: Target,
    pub(super) met: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Target {
    pub(super) above: Option<f64>,
    pub(super) below: Option<f64>,
}
