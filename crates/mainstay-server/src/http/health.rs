//! Whether the process lives, whether it can serve, and the state of the storage for health checkers.
//! It must not let a backend that is down end a process that can still serve.

use std::{collections::BTreeMap, fmt::Write};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use mainstay::status::{BackendStatus, BreakerState, Health, Status};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    Api,
    problem::{Problem, millis},
    query::Query,
};

const TEXT: (header::HeaderName, &str) = (header::CONTENT_TYPE, "text/plain; charset=utf-8");

/// The state of the storage, for health checkers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StorageHealth {
    /// `healthy`, `degraded`, or `unhealthy`: nothing can serve.
    status: &'static str,
    /// The first backend that can serve; null: none.
    active_backend: Option<String>,
    /// By name.
    backends: BTreeMap<String, BackendHealth>,
}

/// The state of one backend, for health checkers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackendHealth {
    /// `healthy`, `degraded` or `unhealthy`.
    health: &'static str,
    /// Whether its breaker refuses calls.
    circuit_open: bool,
    /// How long the breaker has been open, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit_open_for_ms: Option<u64>,
    /// Failures in the breaker's window.
    failures: u64,
    /// Whether an operator took it out of use.
    drained: bool,
    /// Median latency of late in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    /// The last error, also one that has been recovered from.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// Whether the process lives
#[utoipa::path(get, path = "/livez", tag = "health",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
pub(crate) async fn live() -> Response {
    ([TEXT], "ok\n").into_response()
}

/// Whether it can serve
///
/// 503 while it drains, and when no route can serve; a backend that is down is no reason by itself.
#[utoipa::path(get, path = "/readyz", tag = "health",
    params(("verbose" = Option<bool>, Query, description = "Names each check; wants the token, if there is one")),
    responses((status = 200, description = "It can", body = String, content_type = "text/plain"),
              (status = 503, description = "It cannot, or is about to stop")))]
pub(crate) async fn ready(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    let verbose = Query::parse(&uri, &["verbose"])?.flag("verbose")?;
    let status = api.storage().status();
    let serves = status.health != Health::Down;
    let ready = serves && !api.is_draining();
    if !verbose && ready {
        return Ok(([TEXT], "ok\n").into_response());
    }
    let reason = if api.is_draining() { "draining" } else { "no route can serve" };
    if !verbose {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "Not ready",
            reason,
        ));
    }
    let mark = |good: bool| if good { "[+]" } else { "[-]" };
    let mut page = format!("{}running\n{}routes\n", mark(!api.is_draining()), mark(serves));
    for backend in &status.backends {
        // Writing to a String cannot fail.
        let _ =
            writeln!(page, "{}{} {}", mark(usable(backend)), backend.name, backend.health.as_str());
    }
    if ready {
        page.push_str("ready\n");
        return Ok(([TEXT], page).into_response());
    }
    let _ = writeln!(page, "not ready: {reason}");
    let retry = (header::RETRY_AFTER, "1");
    Ok((StatusCode::SERVICE_UNAVAILABLE, [TEXT, retry], page).into_response())
}

/// The storage, for health checkers
///
/// With `Accept: application/health+json` in that format.
#[utoipa::path(get, path = "/api/health/storage", tag = "health",
    params(("strict" = Option<bool>, Query, description = "Degraded is 503 too")),
    responses((status = 200, description = "Healthy or degraded",
                  content((StorageHealth = "application/json"), (Object = "application/health+json"))),
              (status = 503, description = "Nothing can serve; with strict, degraded too",
                  content((StorageHealth = "application/json"), (Object = "application/health+json")))))]
pub(crate) async fn storage(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let strict = Query::parse(&uri, &["strict"])?.flag("strict")?;
    let status = api.storage().status();
    let overall = overall(&status);
    let code = code(overall, strict);
    let accepted =
        headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    let mut response = if accepted.contains("application/health+json") {
        let kind = HeaderValue::from_static("application/health+json");
        (code, [(header::CONTENT_TYPE, kind)], health_json(&status, overall).to_string())
            .into_response()
    } else {
        (code, Json(storage_health(&status, overall))).into_response()
    };
    if code == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

fn code(health: Health, strict: bool) -> StatusCode {
    match health {
        Health::Up => StatusCode::OK,
        Health::Degraded if !strict => StatusCode::OK,
        Health::Degraded | Health::Down => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Nothing can serve: down. All is well with every backend: up. A forced or drained backend is not well.
fn overall(status: &Status) -> Health {
    let all_well = status.backends.iter().all(|b| b.health == Health::Up && usable(b));
    match status.health {
        Health::Up if !all_well => Health::Degraded,
        health => health,
    }
}

fn usable(backend: &BackendStatus) -> bool {
    backend.health != Health::Down && !backend.drained && !circuit_open(backend)
}

/// A half-open breaker refuses nearly all calls: it is open to who asks yes or no.
fn circuit_open(backend: &BackendStatus) -> bool {
    backend.breaker.state != BreakerState::Closed
}

fn storage_health(status: &Status, overall: Health) -> StorageHealth {
    let active = status.backends.iter().find(|backend| usable(backend));
    StorageHealth {
        status: word(overall),
        active_backend: active.map(|backend| backend.name.to_string()),
        backends: status.backends.iter().map(|b| (b.name.to_string(), backend_health(b))).collect(),
    }
}

fn backend_health(backend: &BackendStatus) -> BackendHealth {
    let open = circuit_open(backend);
    BackendHealth {
        health: word(backend.health),
        circuit_open: open,
        circuit_open_for_ms: open.then(|| millis(backend.breaker.since)),
        failures: backend.breaker.failures,
        drained: backend.drained,
        latency_ms: backend.latency_p50.map(|latency| latency.as_secs_f64() * 1000.0),
        last_error: backend.last_error.as_ref().map(|last| last.message.clone()),
    }
}

/// The words of the health endpoint that this one replaces.
fn word(health: Health) -> &'static str {
    match health {
        Health::Up => "healthy",
        Health::Degraded => "degraded",
        Health::Down => "unhealthy",
    }
}

/// draft-inadarei-api-health-check: pass, warn, fail.
fn health_json(status: &Status, overall: Health) -> serde_json::Value {
    let level = |health: Health| match health {
        Health::Up => "pass",
        Health::Degraded => "warn",
        Health::Down => "fail",
    };
    let mut checks = serde_json::Map::new();
    for backend in &status.backends {
        let health = match (backend.health, usable(backend)) {
            (Health::Up, false) => Health::Degraded,
            (health, _) => health,
        };
        let output = backend.last_error.as_ref().filter(|_| health != Health::Up);
        let mut check = json!({ "componentType": "datastore", "status": level(health) });
        if let Some(last) = output {
            check["output"] = json!(last.message);
        }
        checks.insert(format!("{}:connection", backend.name), json!([check]));
    }
    json!({
        "status": level(overall),
        "description": status.sentence,
        "releaseId": env!("CARGO_PKG_VERSION"),
        "checks": checks,
    })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use mainstay::status::{
        BreakerStatus, CallCounts, HistoryStatus, Kpis, LatencySnapshot, LocksStatus,
        ReconnectStatus, Resilience,
    };

    use super::*;

    fn backend(name: &str, health: Health, breaker: BreakerState) -> BackendStatus {
        BackendStatus {
            name: Arc::from(name),
            engine: "memory",
            health,
            health_since: Duration::ZERO,
            drained: false,
            drained_for: None,
            injected: None,
            breaker: BreakerStatus {
                state: breaker,
                forced: false,
                reason: String::new(),
                since: Duration::from_millis(1500),
                retry_in: None,
                forced_for: None,
                failures: 5,
                calls: 9,
            },
            reconnect: ReconnectStatus::default(),
            last_error: None,
            inflight: 0,
            inflight_max: 1,
            queued: 0,
            calls: CallCounts::default(),
            latency_p50: None,
            latency_p99: None,
            requests: Vec::new(),
            transitions: Vec::new(),
            flapping: false,
            switches: 0,
            recoveries: LatencySnapshot::default(),
            facts: Vec::new(),
        }
    }

    fn status(health: Health, backends: Vec<BackendStatus>) -> Status {
        Status {
            health,
            sentence: String::new(),
            warnings: Vec::new(),
            uptime: Duration::ZERO,
            backends,
            routes: Vec::new(),
            requests: Vec::new(),
            fallbacks: Vec::new(),
            hedges: 0,
            loads: Vec::new(),
            caches: Vec::new(),
            l1: None,
            dirty_keys: 0,
            overflowed_keys: 0,
            journal: None,
            locks: LocksStatus::default(),
            kpis: Kpis::default(),
            resilience: Resilience::default(),
            history: HistoryStatus::default(),
        }
    }

    #[test]
    fn a_backend_behind_an_open_breaker_degrades_and_is_not_active() {
        let redis = backend("redis", Health::Down, BreakerState::Open);
        let db = backend("db", Health::Up, BreakerState::Closed);
        let status = status(Health::Degraded, vec![redis, db]);
        let health = storage_health(&status, overall(&status));
        let json = serde_json::to_value(health).unwrap();
        assert_eq!(json["status"], "degraded");
        assert_eq!(json["activeBackend"], "db");
        assert_eq!(json["backends"]["redis"]["health"], "unhealthy");
        assert_eq!(json["backends"]["redis"]["circuitOpenForMs"], 1500);
        assert_eq!(json["backends"]["db"]["circuitOpen"], false);
    }

    #[test]
    fn only_the_strict_take_degraded_for_an_outage() {
        assert_eq!(code(Health::Up, true), StatusCode::OK);
        assert_eq!(code(Health::Degraded, false), StatusCode::OK);
        assert_eq!(code(Health::Degraded, true), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(code(Health::Down, false), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn healthy_wants_every_breaker_closed() {
        for (breaker, expected) in [
            (BreakerState::Closed, Health::Up),
            (BreakerState::HalfOpen, Health::Degraded),
            (BreakerState::Isolated, Health::Degraded),
        ] {
            let status = status(Health::Up, vec![backend("db", Health::Up, breaker)]);
            assert_eq!(overall(&status), expected, "{breaker:?}");
        }
        assert_eq!(overall(&status(Health::Down, Vec::new())), Health::Down);
    }
}
