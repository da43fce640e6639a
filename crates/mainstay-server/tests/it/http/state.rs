//! Status, control, events, health and metrics.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    body::{Body, BodyDataStream},
    http::Method,
};
use futures_util::StreamExt;
use mainstay::EventKind;
use mainstay_server::http::{Api, HttpConfig};
use serde_json::{Value, json};

use super::support::{
    api, api_with, delete, get, get_with, open, post, post_json, put, request, send,
};

async fn force(api: &Api, state: &str) -> Value {
    let wish = json!({ "state": state, "reason": "a test" });
    let answer = post_json(api, "/v1/backends/memory/breaker", &wish).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn the_status_tells_health_backends_and_routes() {
    let api = api().await;
    put(&api, "/v1/kv/k", "v").await;
    let status = get(&api, "/v1/status").await;
    assert_eq!(status.header("cache-control"), "no-store");
    let status = status.json();
    assert_eq!((&status["health"], &status["draining"]), (&"up".into(), &false.into()));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["backends"][0]["name"], "memory");
    assert_eq!(status["routes"][0]["readable"], true);
    let backends = get(&api, "/v1/backends").await.json();
    assert_eq!(backends["backends"][0]["breaker"]["state"], "closed");
    let text = get(&api, "/status.txt").await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert!(text.text().contains("HEALTHY") && text.text().contains("memory"), "{}", text.text());
    get(&api, "/v1/status?verbose").await.problem(400);
}

#[tokio::test]
async fn a_forced_breaker_refuses_and_is_given_back() {
    let api = api().await;
    let forced = force(&api, "open").await;
    assert_eq!(
        (&forced["breaker"]["state"], &forced["breaker"]["forced"]),
        (&"isolated".into(), &true.into())
    );
    let refused = get(&api, "/v1/kv/k").await.problem(503);
    assert_eq!(refused["effect"], "none");
    assert_eq!(refused["causes"][0]["backend"], "memory");
    get(&api, "/readyz").await.problem(503);
    assert_eq!(get(&api, "/livez").await.status, 200);
    let health = get(&api, "/api/health/storage").await;
    assert_eq!(health.status, 503);
    assert!(health.header("retry-after").parse::<u64>().unwrap() >= 1);
    let health = health.json();
    assert_eq!((&health["status"], &health["activeBackend"]), (&"unhealthy".into(), &Value::Null));
    assert_eq!(health["backends"]["memory"]["circuitOpen"], true);
    assert_eq!(force(&api, "auto").await["breaker"]["forced"], false);
    // It may try itself out first: some calls as probes, then it closes.
    let closed = async {
        while get(&api, "/v1/backends").await.json()["backends"][0]["breaker"]["state"] != "closed"
        {
            assert_eq!(get(&api, "/v1/kv/k").await.status, 404);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), closed).await.unwrap();
    assert_eq!(get(&api, "/v1/kv/k").await.status, 404);
}

#[tokio::test]
async fn a_drained_backend_is_out_of_use_until_it_is_put_back() {
    let api = api().await;
    let drained =
        post_json(&api, "/v1/backends/memory/drain", &json!({ "reason": "a test" })).await;
    assert_eq!((drained.status.as_u16(), &drained.json()["drained"]), (202, &true.into()));
    get(&api, "/v1/kv/k").await.problem(503);
    assert_eq!(delete(&api, "/v1/backends/memory/drain?reason=done").await.status, 204);
    assert_eq!(get(&api, "/v1/kv/k").await.status, 404);
    let events = get(&api, "/v1/events?format=json").await.json();
    let drains: Vec<&Value> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] == "drain")
        .collect();
    assert_eq!(drains[0]["reason"], "a test (by http)");
    assert_eq!((drains.len(), &drains[1]["drained"]), (2, &false.into()));
}

#[tokio::test]
async fn control_wants_json_a_reason_and_a_known_backend() {
    let api = api().await;
    let wish = json!({ "state": "open", "reason": "x" });
    let unknown = post_json(&api, "/v1/backends/nope/breaker", &wish).await.problem(404);
    assert!(unknown["detail"].as_str().unwrap().contains("memory"));
    post_json(&api, "/v1/backends/memory/breaker", &json!({ "state": "open" })).await.problem(400);
    post_json(&api, "/v1/backends/memory/drain", &json!({ "reason": " " })).await.problem(400);
    post(&api, "/v1/backends/memory/drain").await.problem(400);
    let form = request(Method::POST, "/v1/backends/memory/breaker")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", "10");
    send(&api, form.body("state=open".into()).unwrap()).await.problem(415);
    let backends = get(&api, "/v1/backends").await.json();
    assert_eq!(backends["backends"][0]["breaker"]["forced"], false);
}

#[tokio::test]
async fn health_has_the_shape_that_checkers_know() {
    let api = api().await;
    let health = get(&api, "/api/health/storage?strict").await;
    assert_eq!((health.status.as_u16(), health.header("content-type")), (200, "application/json"));
    let health = health.json();
    assert_eq!(
        (&health["status"], &health["activeBackend"]),
        (&"healthy".into(), &"memory".into())
    );
    let memory = &health["backends"]["memory"];
    assert_eq!((&memory["health"], &memory["circuitOpen"]), (&"healthy".into(), &false.into()));
    let health = get_with(&api, "/api/health/storage", "accept", "application/health+json").await;
    assert_eq!(health.header("content-type"), "application/health+json");
    assert_eq!(health.json()["status"], "pass");
    assert_eq!(health.json()["checks"]["memory:connection"][0]["status"], "pass");
}

#[tokio::test]
async fn a_draining_process_is_not_ready_but_lives_and_serves() {
    let api = api().await;
    assert_eq!(get(&api, "/readyz").await.text(), "ok\n");
    assert!(get(&api, "/readyz?verbose").await.text().contains("[+]memory up"));
    api.drain();
    assert_eq!(get(&api, "/readyz").await.problem(503)["detail"], "draining");
    let verbose = get(&api, "/readyz?verbose").await;
    assert_eq!((verbose.status.as_u16(), verbose.header("retry-after")), (503, "1"));
    assert!(verbose.text().contains("[-]running"));
    assert_eq!(get(&api, "/livez").await.status, 200);
    assert_eq!(put(&api, "/v1/kv/k", "v").await.status, 204);
    assert!(get(&api, "/status.txt").await.text().contains("DRAINING"));
}

/// One message of a stream: its lines as name and value.
async fn next(stream: &mut BodyDataStream) -> BTreeMap<String, String> {
    let chunk = stream.next().await.expect("the stream has ended").unwrap();
    let text = String::from_utf8(chunk.to_vec()).unwrap();
    assert!(text.ends_with("\n\n"), "{text:?}");
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

async fn follow(api: &Api, last_id: Option<&str>) -> BodyDataStream {
    let mut request = request(Method::GET, "/v1/events");
    if let Some(id) = last_id {
        request = request.header("last-event-id", id);
    }
    let response = open(api, request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().into_data_stream()
}

fn publish(api: &Api, reason: &str) {
    api.storage().events().publish(None, EventKind::Storage { state: "open" }, reason);
}

fn newest(api: &Api) -> u64 {
    api.storage().events().since(0).last().map_or(0, |event| event.id)
}

#[tokio::test]
async fn a_stream_begins_with_a_snapshot_and_goes_on_with_events() {
    let api = api().await;
    let before = newest(&api);
    let mut stream = follow(&api, None).await;
    let snapshot = next(&mut stream).await;
    assert_eq!((snapshot["event"].as_str(), &snapshot["id"]), ("snapshot", &before.to_string()));
    let status: Value = serde_json::from_str(&snapshot["data"]).unwrap();
    assert_eq!(status["backends"][0]["name"], "memory");
    for reason in ["one", "two"] {
        publish(&api, reason);
        let message = next(&mut stream).await;
        let event: Value = serde_json::from_str(&message["data"]).unwrap();
        assert_eq!(
            (&event["reason"], event["id"].to_string()),
            (&reason.into(), message["id"].clone())
        );
        assert!(!message.contains_key("event"));
    }
}

#[tokio::test]
async fn a_stream_is_taken_up_where_it_was_left() {
    let api = api().await;
    publish(&api, "seen");
    let seen = newest(&api).to_string();
    publish(&api, "missed");
    let mut stream = follow(&api, Some(&seen)).await;
    let snapshot = next(&mut stream).await;
    assert!(snapshot["event"] == "snapshot" && !snapshot.contains_key("id"));
    assert!(next(&mut stream).await["data"].contains("\"missed\""));
    publish(&api, "new");
    assert!(next(&mut stream).await["data"].contains("\"new\""));
    get_with(&api, "/v1/events", "last-event-id", "x").await.problem(400);
}

#[tokio::test]
async fn a_client_that_falls_behind_is_told_and_goes_on() {
    let api = api().await;
    let mut stream = follow(&api, None).await;
    next(&mut stream).await;
    for number in 0..1100 {
        publish(&api, &format!("event {number}"));
    }
    let lagged = next(&mut stream).await;
    assert_eq!((lagged["event"].as_str(), lagged["data"].as_str()), ("lagged", "{\"missed\":76}"));
    let mut last = 0;
    for number in 76..1100 {
        let message = next(&mut stream).await;
        assert!(message["data"].contains(&format!("\"event {number}\"")), "{message:?}");
        let id = message["id"].parse().unwrap();
        assert!(id > last);
        last = id;
    }
    // One that comes back too late gets what the ring still holds, and the number of those it does not.
    let mut stream = follow(&api, Some("1")).await;
    next(&mut stream).await;
    let lagged: Value = serde_json::from_str(&next(&mut stream).await["data"]).unwrap();
    assert_eq!(lagged["missed"], last - 1000 - 1);
    assert!(next(&mut stream).await["data"].contains("\"event 100\""));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_has_a_heartbeat() {
    let api = api().await;
    let mut stream = follow(&api, None).await;
    next(&mut stream).await;
    let begin = api.storage().clock().now();
    assert_eq!(next(&mut stream).await[""], "heartbeat");
    assert_eq!(api.storage().clock().now().duration_since(begin).as_secs(), 15);
}

#[tokio::test]
async fn streams_are_bounded_and_give_their_place_back() {
    let api = api_with(HttpConfig { streams_max: 1, ..HttpConfig::default() }).await;
    let stream = follow(&api, None).await;
    get(&api, "/v1/events").await.problem(503);
    drop(stream);
    next(&mut follow(&api, None).await).await;
}

#[tokio::test]
async fn events_are_listed_latest_last() {
    let api = api().await;
    for reason in ["one", "two", "three"] {
        publish(&api, reason);
    }
    let list = get(&api, "/v1/events?format=json&limit=2").await.json();
    let reasons: Vec<&Value> =
        list["events"].as_array().unwrap().iter().map(|e| &e["reason"]).collect();
    assert_eq!(reasons, ["two", "three"]);
    get(&api, "/v1/events?format=xml").await.problem(400);
}

#[tokio::test]
async fn metrics_keep_the_rules_of_the_text_format() {
    let api = api().await;
    put(&api, "/v1/kv/secret-key", "1").await;
    get(&api, "/v1/kv/secret-key").await;
    let scrape = get(&api, "/metrics").await;
    assert_eq!(scrape.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(!scrape.text().contains("secret-key"));
    let families = lint(scrape.text());
    for name in [
        "mainstay_breaker_state",
        "mainstay_backend_up",
        "mainstay_backend_request_duration_seconds",
        "mainstay_backend_calls_total",
        "mainstay_requests_total",
        "mainstay_fallback_total",
        "mainstay_inflight",
        "mainstay_queued",
        "mainstay_shed_total",
        "mainstay_reconnect_attempts_total",
        "mainstay_reconnects_total",
        "mainstay_stuck_resets_total",
        "mainstay_hedges_total",
        "mainstay_health",
        "mainstay_build_info",
        "mainstay_uptime_seconds",
    ] {
        assert!(families.contains(name), "{name}");
    }
    for line in [
        "mainstay_breaker_state{backend=\"memory\",state=\"closed\"} 1.0",
        "mainstay_breaker_state{backend=\"memory\",state=\"open\"} 0.0",
        "mainstay_backend_up{backend=\"memory\"} 1.0",
        "mainstay_requests_total{route=\"*\",op=\"read\",source=\"memory\",outcome=\"ok\"} 1",
    ] {
        assert!(scrape.text().lines().any(|found| found == line), "{line}\n{}", scrape.text());
    }
    let scrape =
        get_with(&api, "/metrics", "accept", "application/openmetrics-text;version=1.0.0").await;
    assert!(
        scrape.header("content-type").starts_with("application/openmetrics-text; version=1.0.0")
    );
    assert!(
        scrape.text().ends_with("# EOF\n")
            && scrape.text().contains("# TYPE mainstay_hedges counter")
    );
}

/// The rules of `promtool check metrics`, as far as they can be broken here. Returns the families.
fn lint(text: &str) -> BTreeSet<String> {
    let (mut types, mut helps, mut samples) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!help.is_empty() && helps.insert(name.to_owned()), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(helps.contains(name), "{line}: TYPE without HELP");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}: twice");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(samples.insert(sample.to_owned()), "{line}: twice");
            let name = sample.split('{').next().unwrap();
            let histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .any(|name| types.get(name).is_some_and(|kind| kind == "histogram"));
            assert!(histogram || types.contains_key(name), "{line}: no TYPE before");
        }
    }
    for (name, kind) in &types {
        assert!(name.starts_with("mainstay_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} {kind}");
        for word in [
            "_ms",
            "_milliseconds",
            "_bucket",
            "_sum",
            "_count",
            "_gauge",
            "_counter",
            "_histogram",
        ] {
            assert!(!name.ends_with(word), "{name}");
        }
    }
    histograms(text, &types);
    types.into_keys().collect()
}

/// Buckets rise, and the last one has them all.
fn histograms(text: &str, types: &BTreeMap<String, String>) {
    for name in types.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
        let values = |part: &str| -> Vec<(String, f64)> {
            let lines = text.lines().filter(|line| line.starts_with(&format!("{name}_{part}{{")));
            lines
                .map(|line| line.rsplit_once(' ').unwrap())
                .map(|(l, v)| (l.to_owned(), v.parse().unwrap()))
                .collect()
        };
        let (buckets, counts) = (values("bucket"), values("count"));
        assert!(!counts.is_empty() && values("sum").len() == counts.len(), "{name}");
        let last: Vec<f64> = buckets
            .iter()
            .filter(|(labels, _)| labels.contains("le=\"+Inf\""))
            .map(|(_, v)| *v)
            .collect();
        assert_eq!(last, counts.iter().map(|(_, value)| *value).collect::<Vec<_>>(), "{name}");
        for pair in buckets.windows(2).filter(|pair| !pair[0].0.contains("+Inf")) {
            assert!(pair[0].1 <= pair[1].1, "{pair:?}");
        }
    }
}

#[tokio::test]
async fn loaded_values_end_by_key_prefix_and_tag() {
    use mainstay::LoadOptions;
    let api = api().await;
    let storage = api.storage().clone();
    let load = |value: &'static str| {
        let options = LoadOptions { tags: vec!["t".into()], ..LoadOptions::default() };
        let loader = move || async move { std::io::Result::Ok(Some(value)) };
        let storage = storage.clone();
        async move {
            let entry = storage.get_or_load("user:1", options, loader).await.unwrap().unwrap();
            String::from_utf8(entry.value.to_vec()).unwrap()
        }
    };
    assert_eq!(load("first").await, "first");
    let wishes = [
        (json!({ "keys": ["user:1"] }), "by key"),
        (json!({ "prefixes": ["user:"] }), "by prefix"),
        (json!({ "tags": ["t"], "keys": ["other"] }), "by tag"),
    ];
    for (wish, next) in wishes {
        assert_ne!(load("not yet").await, "not yet");
        let answer = post_json(&api, "/v1/invalidate", &wish).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.json()["invalidated"].is_u64());
        assert_eq!(load(next).await, next);
    }
    for bad in [json!({}), json!({ "tags": [""] }), json!({ "pattern": "*" })] {
        assert_eq!(post_json(&api, "/v1/invalidate", &bad).await.status, 400, "{bad}");
    }
    let loads = &get(&api, "/v1/status").await.json()["loads"][0];
    assert_eq!((&loads["loads"], &loads["hits"]), (&4.into(), &3.into()), "{loads}");
    let metrics = get(&api, "/metrics").await;
    let line = r#"mainstay_loads_total{route="*",outcome="success"} 4"#;
    assert!(metrics.text().contains(line), "{}", metrics.text());
}
