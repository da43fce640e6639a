//! The banner's words.

use mainstay::{
    config::BackendConfig,
    status::{
        BreakerState, BreakerStatus, CallCounts, LastError, LatencySnapshot, ReconnectStatus,
    },
};

use super::*;
use crate::config::{Environment, Sources, load};

fn backend(name: &str, error: Option<&str>) -> BackendStatus {
    let last_error = error.map(|message| LastError {
        kind: "disconnected",
        message: message.to_owned(),
        age: Duration::ZERO,
    });
    BackendStatus {
        name: name.into(),
        engine: "redis",
        health: if error.is_some() { Health::Down } else { Health::Up },
        health_since: Duration::ZERO,
        drained: false,
        drained_for: None,
        injected: None,
        breaker: BreakerStatus {
            state: BreakerState::Closed,
            forced: false,
            reason: String::new(),
            since: Duration::ZERO,
            retry_in: None,
            forced_for: None,
            failures: 0,
            calls: 0,
        },
        reconnect: ReconnectStatus { connected: error.is_none(), ..ReconnectStatus::default() },
        last_error,
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

fn status(description: &str, backends: Vec<BackendStatus>) -> Status {
    Status {
        health: Health::Up,
        sentence: String::new(),
        warnings: Vec::new(),
        uptime: Duration::ZERO,
        backends,
        routes: vec![RouteStatus {
            prefix: String::new(),
            description: description.to_owned(),
            promise: String::new(),
            readable: true,
            writable: true,
            stale_served: 0,
        }],
        requests: Vec::new(),
        fallbacks: Vec::new(),
        hedges: 0,
        loads: Vec::new(),
        caches: Vec::new(),
        l1: None,
        dirty_keys: 0,
        overflowed_keys: 0,
        journal: None,
        locks: mainstay::status::LocksStatus::default(),
        kpis: mainstay::status::Kpis::default(),
        resilience: mainstay::status::Resilience::default(),
        history: mainstay::status::HistoryStatus::default(),
    }
}

fn text(env: &[(&str, &str)], backends: &[(&str, &str)], status: &Status) -> String {
    let env: Environment =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let sources = Sources { file: None, flags: &[], env: &env, searched: &[] };
    let loaded = load(&sources).unwrap();
    let at = |(name, url): &(&str, &str)| ((*name).to_owned(), BackendConfig::at(*url));
    let config = Config { backends: backends.iter().map(at).collect(), ..Config::default() };
    let banner = Banner {
        loaded: &loaded,
        config: &config,
        resp: "127.0.0.1:6390".parse().unwrap(),
        http: "0.0.0.0:6391".parse().unwrap(),
        ready: Duration::from_millis(38),
    };
    banner.text(status, false)
}

#[test]
fn with_nothing_configured() {
    let shown = text(
        &[],
        &[("sqlite", "sqlite:./mainstay-data/mainstay.db")],
        &status("sqlite(record)", vec![backend("sqlite", None)]),
    );
    let expected = format!(
        "mainstay {}

RESP        redis://127.0.0.1:6390
HTTP        http://127.0.0.1:6391/v1
Dashboard   http://127.0.0.1:6391/
Metrics     http://127.0.0.1:6391/metrics
Config      built-in defaults   (write one: mainstay config init)
Route       *  sqlite(record) ./mainstay-data/mainstay.db

Ready in 38 ms.
Try it      redis-cli -p 6390 set user:1 ada ex 60
            curl -i http://127.0.0.1:6391/v1/kv/user:1
Break it    mainstay drill redis-outage --for 15s
",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(shown, expected);
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    assert!(readme.contains(&expected), "README.md shows another banner than this:\n{expected}");
}

#[test]
fn what_is_missing_and_what_is_secret() {
    let env = [
        ("REDIS_URL", "redis://:hunter2hunter2@127.0.0.1:1"),
        ("MAINSTAY__RESP__PASSWORD", "hunter2hunter2"),
        ("MAINSTAY__HTTP__TOKEN", "hunter2hunter2"),
    ];
    let down = backend("redis", Some("Connection refused (os error 111)"));
    let shown = text(&env, &[], &status("redis -> memory", vec![down]));
    for expected in [
        "\nConfig      built-in defaults, MAINSTAY__HTTP__TOKEN, MAINSTAY__RESP__PASSWORD, REDIS_URL\n",
        "\nMissing     redis is down: Connection refused; trying again\n",
        "redis-cli -p 6390 --askpass set user:1 ada ex 60\n",
        "curl -i -H \"Authorization: Bearer $TOKEN\" http://",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
}
