//! Status, control, health.

use axum::http::Method;
use mainstay_server::http::Api;
use serde_json::{Value, json};

use super::support::{api, delete, get, get_with, post, post_json, put, request, send};
use crate::support::PATIENCE;

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
async fn a_backend_that_is_drained_for_a_time_comes_back_by_itself() {
    let api = api().await;
    let body = json!({ "reason": "an hour", "for": "1h" });
    let drained = post_json(&api, "/v1/backends/memory/drain", &body).await.json();
    assert!(drained["drained_for_ms"].as_f64().unwrap() > 3_590_000.0, "{drained}");
    let body = json!({ "reason": "not so long", "for": "100ms" });
    post_json(&api, "/v1/backends/memory/drain", &body).await;
    let events = || async { get(&api, "/v1/events?format=json").await.json() };
    let back = "its time out of use is over";
    tokio::time::timeout(PATIENCE, async {
        while !events().await.to_string().contains(back) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it comes back");
    let status = get(&api, "/v1/status").await.json();
    assert_eq!(status["backends"][0]["drained"], false, "{status}");
    for bad in ["0s", "25h", "5"] {
        let body = json!({ "reason": "x", "for": bad });
        post_json(&api, "/v1/backends/memory/drain", &body).await.problem(400);
    }
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
    assert_eq!((&drains[0]["reason"], &drains[0]["actor"]), (&"a test".into(), &"http".into()));
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
