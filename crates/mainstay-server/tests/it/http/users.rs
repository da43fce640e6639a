//! Who may do what over HTTP: 401 without a token, 403 with a reason.

use std::collections::BTreeMap;

use axum::{body::Body, http::Method};
use mainstay_server::{
    Guard,
    access::{Access, Role, UserConfig},
    http::{Api, HttpConfig, Sections},
    resp::RespConfig,
    tls::TlsConfig,
};
use serde_json::{Value, json};

use super::support::{Answer, request, send};
use crate::support::in_memory;

fn user(role: Role, prefixes: &[&str], name: &str) -> UserConfig {
    let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
    UserConfig {
        role,
        prefixes: (!prefixes.is_empty()).then_some(prefixes),
        token: Some(format!("token-of-{name}")),
        ..UserConfig::default()
    }
}

async fn api() -> Api {
    let users: BTreeMap<String, UserConfig> = [
        ("reader", user(Role::Read, &[], "reader")),
        ("writer", user(Role::Write, &[], "writer")),
        ("app", user(Role::Write, &["app:"], "app")),
        ("admin", user(Role::Admin, &[], "admin")),
    ]
    .into_iter()
    .map(|(name, config)| (name.to_owned(), config))
    .collect();
    let config = HttpConfig::default();
    let access = Access::of(&users, &RespConfig::default(), &config).unwrap();
    let guard = Guard::new(access, &TlsConfig::default()).unwrap();
    Api::guarded(config, in_memory().await, Sections::new(), guard).unwrap()
}

async fn ask(api: &Api, who: &str, method: &str, target: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = request(method.parse::<Method>().unwrap(), target)
        .header("authorization", format!("Bearer token-of-{who}"))
        .header("content-type", "application/json")
        .header("content-length", body.len());
    send(api, request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn each_role_does_what_it_may() {
    let api = api().await;
    let because = json!({ "reason": "a test", "state": "auto" });
    let incr = json!(null);
    let batch = json!({ "operations": [{ "op": "set", "key": "k", "value": "v" }] });
    let lock = json!({ "ttl": "5s" });
    let drain = json!({ "reason": "a test" });
    let none = Value::Null;
    for (method, target, body, least) in [
        ("GET", "/v1/kv/none", &none, Role::Read),
        ("GET", "/v1/kv", &none, Role::Read),
        ("GET", "/v1/status", &none, Role::Read),
        ("GET", "/metrics", &none, Role::Read),
        ("GET", "/v1/events?format=json", &none, Role::Read),
        ("PUT", "/v1/kv/k", &json!("v"), Role::Write),
        ("POST", "/v1/kv/n/incr", &incr, Role::Write),
        ("DELETE", "/v1/kv/k", &none, Role::Write),
        ("POST", "/v1/invalidate", &json!({ "keys": ["k"] }), Role::Write),
        ("POST", "/v1/locks/l", &lock, Role::Write),
        ("GET", "/v1/config", &none, Role::Admin),
        ("GET", "/v1/clients", &none, Role::Admin),
        ("POST", "/v1/config/reload", &none, Role::Admin),
        ("POST", "/v1/backends/memory/breaker", &because, Role::Admin),
        ("POST", "/v1/backends/memory/drain", &drain, Role::Admin),
        ("DELETE", "/v1/backends/memory/drain", &none, Role::Admin),
        ("POST", "/v1/drills", &none, Role::Admin),
        ("POST", "/v1/journal/replay", &none, Role::Admin),
        ("DELETE", "/v1/locks/l?token=1&reason=by+hand", &none, Role::Admin),
    ] {
        for (who, role) in [("reader", Role::Read), ("writer", Role::Write), ("admin", Role::Admin)]
        {
            let answer = ask(&api, who, method, target, body).await;
            if role < least {
                let problem = answer.problem(403);
                assert_eq!(problem["reason"], "role", "{who} {method} {target}");
                // A release by hand needs `write` before it needs `admin`.
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains(who) && detail.contains("this needs"), "{detail}");
            } else {
                let status = answer.status.as_u16();
                assert!(status != 401 && status != 403, "{who} {method} {target}: {answer:?}");
            }
        }
    }
    // A batch is looked at operation by operation.
    let answer = ask(&api, "reader", "POST", "/v1/batch", &batch).await.json();
    assert_eq!(answer["results"][0]["status"], 403);
    let answer = ask(&api, "writer", "POST", "/v1/batch", &batch).await.json();
    assert_eq!(answer["results"][0]["status"], 204);
}

#[tokio::test]
async fn prefixes_bound_every_key() {
    let api = api().await;
    for key in ["app:1", "other:1"] {
        assert_eq!(
            ask(&api, "admin", "PUT", &format!("/v1/kv/{key}"), &json!("v")).await.status,
            204
        );
    }
    for target in ["/v1/kv/app:1", "/v1/kv?prefix=app:", "/v1/kv?prefix=app:sub:", "/v1/status"] {
        assert_eq!(ask(&api, "app", "GET", target, &Value::Null).await.status, 200, "{target}");
    }
    let read = json!({ "operations": [
        { "op": "get", "key": "app:1" }, { "op": "get", "key": "other:1" },
        { "op": "delete", "key": "other:1" }, { "op": "incr", "key": "other:n" },
    ] });
    let answer = ask(&api, "app", "POST", "/v1/batch", &read).await.json();
    let statuses: Vec<&Value> =
        answer["results"].as_array().unwrap().iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [200, 403, 403, 403]);
    let (none, lock) = (Value::Null, json!({}));
    for (method, target, body) in [
        ("GET", "/v1/kv/other:1", &none),
        ("HEAD", "/v1/kv/other:1", &none),
        ("GET", "/v1/kv/%6Fther:1", &none),
        ("PUT", "/v1/kv/other:1", &json!("w")),
        ("DELETE", "/v1/kv/other:1", &none),
        ("POST", "/v1/kv/other:1/incr", &none),
        ("GET", "/v1/kv", &none),
        ("GET", "/v1/kv?prefix=", &none),
        ("GET", "/v1/kv?prefix=ap", &none),
        ("POST", "/v1/locks/other:l", &lock),
        ("POST", "/v1/invalidate", &json!({ "keys": ["app:1", "other:1"] })),
        ("POST", "/v1/invalidate", &json!({ "prefixes": ["ap"] })),
        ("POST", "/v1/invalidate", &json!({ "tags": ["t"] })),
        ("GET", "/v1/locks", &none),
        ("GET", "/v1/journal", &none),
        ("GET", "/v1/events", &none),
    ] {
        let answer = ask(&api, "app", method, target, body).await;
        assert_eq!(answer.status, 403, "{method} {target}");
        if method != "HEAD" {
            assert_eq!(answer.problem(403)["reason"], "prefix", "{method} {target}");
        }
    }
    assert_eq!(ask(&api, "app", "POST", "/v1/locks/app:l", &lock).await.status, 201);
    let kept = ask(&api, "admin", "GET", "/v1/kv/other:1", &Value::Null).await;
    assert_eq!(kept.text(), "\"v\"");
}

#[tokio::test]
async fn without_a_token_or_with_a_wrong_one_nobody_comes_in() {
    let api = api().await;
    let bare = request(Method::GET, "/v1/status").body(Body::empty()).unwrap();
    send(&api, bare).await.problem(401);
    for who in ["nobody", "reade", "reader1"] {
        ask(&api, who, "GET", "/v1/status", &Value::Null).await.problem(401);
    }
    // The dashboard's page is open to everyone, and tells nobody unnoticed whether a token is right.
    assert_eq!(ask(&api, "nobody", "GET", "/", &Value::Null).await.status, 200);
    let bare = request(Method::GET, "/").body(Body::empty()).unwrap();
    assert_eq!(send(&api, bare).await.status, 200);
    let metrics = ask(&api, "reader", "GET", "/metrics", &Value::Null).await;
    assert!(metrics.text().contains("mainstay_access_denied_total{reason=\"auth\"} 4"));
}

#[tokio::test]
async fn the_audit_names_the_user() {
    let api = api().await;
    let forced = json!({ "reason": "a test", "state": "closed" });
    let answer = ask(&api, "admin", "POST", "/v1/backends/memory/breaker", &forced).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let events = ask(&api, "admin", "GET", "/v1/events?format=json", &Value::Null).await;
    assert!(events.text().contains("\"actor\":\"http admin\""), "{}", events.text());
}
