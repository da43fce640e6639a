//! Who may come in, and how a refusal looks.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Request},
};
use futures_util::future::BoxFuture;
use mainstay::Actor;
use mainstay_server::http::{Api, HttpConfig, HttpServer, NotReloaded, Reload, Sections};
use serde_json::Value;

use crate::support::in_memory;

use super::support::{Answer, api, api_with, get, get_with, put, request, send};

fn with_token() -> HttpConfig {
    HttpConfig { token: Some("correct-horse".to_owned()), ..HttpConfig::default() }
}

async fn from_host(api: &Api, host: &str) -> Answer {
    send(api, Request::builder().uri("/v1/kv/k").header("host", host).body(Body::empty()).unwrap())
        .await
}

#[tokio::test]
async fn only_known_hosts_are_answered() {
    let config =
        HttpConfig { allowed_hosts: vec!["storage.internal".into()], ..HttpConfig::default() };
    let api = api_with(config).await;
    for host in ["localhost", "localhost:6391", "127.0.0.1:1", "[::1]:6391", "storage.internal:80"]
    {
        assert_eq!(from_host(&api, host).await.status, 404, "{host}");
    }
    for host in ["evil.example", "evil.example:6391", "localhost.evil.example", "192.0.2.1"] {
        from_host(&api, host).await.problem(421);
    }
    let none = Request::builder().uri("/v1/kv/k").body(Body::empty()).unwrap();
    send(&api, none).await.problem(400);
    let twice = request(Method::GET, "/v1/kv/k").header("host", "localhost");
    send(&api, twice.body(Body::empty()).unwrap()).await.problem(400);
}

#[tokio::test]
async fn a_foreign_page_cannot_change_anything() {
    let api = api().await;
    let write = |origin: &str| {
        let request = request(Method::PUT, "/v1/kv/k").header("origin", origin);
        send(&api, request.body("v".into()).unwrap())
    };
    for origin in ["http://evil.example", "http://localhost:3000", "null", "https://localhost"] {
        write(origin).await.problem(403);
    }
    assert_eq!(get(&api, "/v1/kv/k").await.status, 404);
    assert_eq!(write("http://localhost:6391").await.status, 204);
    assert_eq!(get_with(&api, "/v1/kv/k", "origin", "http://evil.example").await.status, 200);
}

#[tokio::test]
async fn a_token_guards_reads_and_writes_but_not_probes() {
    let api = api_with(with_token()).await;
    for target in
        ["/v1/kv/k", "/v1/kv", "/v1/config", "/openapi.json", "/nowhere", "/readyz?verbose"]
    {
        let refused = get(&api, target).await;
        refused.problem(401);
        assert!(refused.header("www-authenticate").starts_with("Bearer"), "{target}");
    }
    put(&api, "/v1/kv/k", "v").await.problem(401);
    get_with(&api, "/v1/kv/k", "authorization", "Bearer correct-hors").await.problem(401);
    get_with(&api, "/v1/kv/k", "authorization", "Basic correct-horse").await.problem(401);
    assert_eq!(
        get_with(&api, "/v1/kv/k", "authorization", "Bearer correct-horse").await.status,
        404
    );
    assert_eq!(get(&api, "/livez").await.status, 200);
}

#[tokio::test]
async fn a_token_comes_from_a_file() {
    let path = std::env::temp_dir().join(format!("mainstay-http-token-{}", std::process::id()));
    std::fs::write(&path, "correct-horse\n").unwrap();
    let config = HttpConfig { token_file: Some(path.clone()), ..HttpConfig::default() };
    let api = api_with(config.clone()).await;
    get(&api, "/v1/kv/k").await.problem(401);
    assert_eq!(
        get_with(&api, "/v1/kv/k", "authorization", "Bearer correct-horse").await.status,
        404
    );
    std::fs::write(&path, "\n").unwrap();
    let empty = Api::new(config.clone(), in_memory().await, Sections::new()).unwrap_err();
    assert!(empty.to_string().starts_with("http.token_file"), "{empty}");
    std::fs::remove_file(&path).unwrap();
    assert!(Api::new(config, in_memory().await, Sections::new()).is_err());
}

#[tokio::test]
async fn an_open_address_without_a_token_is_refused() {
    let config = HttpConfig { listen: "0.0.0.0:0".to_owned(), ..HttpConfig::default() };
    let refused = HttpServer::bind(config, in_memory().await, Sections::new()).await.unwrap_err();
    assert!(refused.to_string().contains("token"), "{refused}");
}

#[tokio::test]
async fn an_unknown_path_or_method_is_a_problem_too() {
    let api = api().await;
    get(&api, "/v2/kv/k").await.problem(404);
    let patched = request(Method::PATCH, "/v1/kv/k").body(Body::empty()).unwrap();
    let patched = send(&api, patched).await;
    patched.problem(405);
    for method in ["GET", "PUT", "DELETE"] {
        assert!(patched.header("allow").contains(method), "{patched:?}");
    }
    put(&api, "/v1/status", "").await.problem(405);
}

#[tokio::test]
async fn every_answer_forbids_to_sniff_and_to_run_anything() {
    let api = api().await;
    put(&api, "/v1/kv/page", "<script>alert(1)</script>").await;
    for target in ["/v1/kv/page", "/v1/kv/no", "/livez", "/nowhere"] {
        let answer = get(&api, target).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{target}");
        assert!(
            answer.header("content-security-policy").starts_with("default-src 'none'"),
            "{target}"
        );
    }
}

#[tokio::test]
async fn the_configuration_is_shown_without_secrets() {
    let mut sections = Sections::new();
    sections.insert("resp".to_owned(), serde_json::json!({ "listen": "127.0.0.1:6390" }));
    let api = Api::new(with_token(), in_memory().await, sections).unwrap();
    let shown = get_with(&api, "/v1/config", "authorization", "Bearer correct-horse").await;
    assert!(!shown.text().contains("correct-horse"));
    let config = shown.json();
    assert_eq!(config["http"]["token"], "***");
    assert_eq!(config["http"]["header_timeout"], "10s");
    assert_eq!(config["resp"]["listen"], "127.0.0.1:6390");
    assert_eq!(config["limits"]["deadline"], "5s");
    let reload =
        request(Method::POST, "/v1/config/reload").header("authorization", "Bearer correct-horse");
    send(&api, reload.body(Body::empty()).unwrap()).await.problem(501);
}

/// Has one thing to change, unless it is told to fail.
#[derive(Debug)]
struct Owner {
    fails: bool,
    late: bool,
}

impl Reload for Owner {
    fn reload(
        &self,
        dry_run: bool,
        seen: Option<u64>,
        actor: Actor,
    ) -> BoxFuture<'_, Result<Value, NotReloaded>> {
        Box::pin(async move {
            match self.fails {
                true => {
                    let problems = ["m.toml:1:2: a: wrong", "m.toml:3:4: b: wrong"];
                    Err(NotReloaded::Invalid(problems.map(str::to_owned).to_vec()))
                }
                // Somebody else has been quicker.
                false if seen.is_some() && self.late => Err(NotReloaded::Outdated),
                false => Ok(serde_json::json!({"dry_run": dry_run, "actor": actor.as_str()})),
            }
        })
    }
}

async fn reloaded(api: &Api, path: &str, token: &str) -> Answer {
    let request = request(Method::POST, path).header("authorization", format!("Bearer {token}"));
    send(api, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_reload_needs_the_token_and_says_what_came_of_it() {
    let api = Api::new(with_token(), in_memory().await, Sections::new()).unwrap();
    api.serve_reloads(Arc::new(Owner { fails: false, late: false }));
    reloaded(&api, "/v1/config/reload", "wrong-horse").await.problem(401);
    reloaded(&api, "/v1/config/reload?dryrun", "correct-horse").await.problem(400);
    let done = reloaded(&api, "/v1/config/reload?dry_run", "correct-horse").await;
    assert_eq!(done.status, 200);
    assert_eq!(done.json(), serde_json::json!({"dry_run": true, "actor": "http default"}));

    let api = Api::new(with_token(), in_memory().await, Sections::new()).unwrap();
    api.serve_reloads(Arc::new(Owner { fails: true, late: false }));
    let refused = reloaded(&api, "/v1/config/reload", "correct-horse").await.problem(422);
    assert_eq!(refused["detail"], "m.toml:1:2: a: wrong (and 1 more)");
    assert_eq!(refused["causes"][1]["detail"], "m.toml:3:4: b: wrong");
}

#[tokio::test]
async fn another_token_counts_from_the_next_request_on() {
    let api = Api::new(with_token(), in_memory().await, Sections::new()).unwrap();
    let status = async |token: &str| {
        get_with(&api, "/v1/status", "authorization", &format!("Bearer {token}"))
            .await
            .status
            .as_u16()
    };
    assert_eq!((status("correct-horse").await, status("other-horse").await), (200, 401));
    let other = HttpConfig { token: Some("other-horse".to_owned()), ..HttpConfig::default() };
    api.reconfigure(other, Sections::new()).unwrap();
    assert_eq!((status("correct-horse").await, status("other-horse").await), (401, 200));
    let short = HttpConfig { token: Some("short".to_owned()), ..HttpConfig::default() };
    assert!(api.reconfigure(short, Sections::new()).is_err());
    assert_eq!(status("other-horse").await, 200);
}

#[tokio::test]
async fn a_reload_on_a_condition_is_refused_once_somebody_else_has_reloaded() {
    let api = api().await;
    api.serve_reloads(Arc::new(Owner { fails: false, late: false }));
    let tag = get(&api, "/v1/config").await.header("etag").to_owned();
    let on = async |tag: &str| {
        let request = request(Method::POST, "/v1/config/reload").header("if-match", tag);
        send(&api, request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(on(&tag).await.status, 200);
    api.reconfigure(HttpConfig::default(), Sections::new()).unwrap();
    assert_eq!(on(&tag).await.problem(412)["type"], "urn:mainstay:error:precondition_failed");
    let now = get(&api, "/v1/config").await.header("etag").to_owned();
    assert_ne!(now, tag);
    assert_eq!(on(&now).await.status, 200);
    assert_eq!(on("*").await.status, 200);
}

#[tokio::test]
async fn who_was_overtaken_on_the_way_is_told_so_too() {
    let api = api().await;
    api.serve_reloads(Arc::new(Owner { fails: false, late: true }));
    let tag = get(&api, "/v1/config").await.header("etag").to_owned();
    let on = async |tag: &str| {
        let request = request(Method::POST, "/v1/config/reload").header("if-match", tag);
        send(&api, request.body(Body::empty()).unwrap()).await
    };
    on(&tag).await.problem(412);
    assert_eq!(on("*").await.status, 200);
}
