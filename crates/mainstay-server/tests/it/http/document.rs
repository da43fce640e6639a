//! The OpenAPI document and the paths agree.

use std::collections::BTreeSet;

use axum::{body::Body, http::Method};
use serde_json::Value;

use super::support::{api, get, request, send};

/// Every path with its methods, as INTERFACES promises them.
const PATHS: &[(&str, &str)] = &[
    ("/v1/kv", "get"),
    ("/v1/kv/{key}", "get head put delete"),
    ("/v1/kv/{key}/incr", "post"),
    ("/v1/clients", "get"),
    ("/v1/locks", "get"),
    ("/v1/locks/{name}", "delete post put"),
    ("/v1/batch", "post"),
    ("/v1/status", "get"),
    ("/v1/backends", "get"),
    ("/status.txt", "get"),
    ("/v1/backends/{backend}/breaker", "post"),
    ("/v1/backends/{backend}/drain", "post delete"),
    ("/v1/drills", "get post"),
    ("/v1/drills/{id}", "get delete"),
    ("/v1/invalidate", "post"),
    ("/v1/journal", "get"),
    ("/v1/journal/replay", "post"),
    ("/v1/journal/dead-letters/{seq}", "delete"),
    ("/v1/events", "get"),
    ("/v1/history", "get"),
    ("/v1/config", "get"),
    ("/v1/config/reload", "post"),
    ("/livez", "get"),
    ("/readyz", "get"),
    ("/api/health/storage", "get"),
    ("/metrics", "get"),
    ("/openapi.json", "get"),
    ("/", "get"),
    ("/assets/{path}", "get"),
];

async fn document() -> Value {
    get(&api().await, "/openapi.json").await.json()
}

fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            found.insert((path.clone(), method.clone()));
        }
    }
    found
}

#[tokio::test]
async fn every_path_is_described_and_nothing_else() {
    let document = document().await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let expected: BTreeSet<(String, String)> = PATHS
        .iter()
        .flat_map(|(path, methods)| {
            methods.split(' ').map(|method| ((*path).to_owned(), method.to_owned()))
        })
        .collect();
    assert_eq!(operations(&document), expected);
}

#[tokio::test]
async fn every_described_path_is_served_and_no_other_method() {
    let api = api().await;
    for (path, methods) in PATHS {
        let target = path.replace("{key}", "k").replace("{backend}", "memory");
        let target = target.replace("{path}", "app.js").replace("{seq}", "1");
        // PATCH is never taken; the Allow header then tells what is.
        let refused =
            send(&api, request(Method::PATCH, &target).body(Body::empty()).unwrap()).await;
        refused.problem(405);
        let allowed = refused.header("allow").to_lowercase();
        for method in methods.split(' ') {
            assert!(allowed.contains(method), "{method} {path}: {allowed}");
        }
    }
}

#[tokio::test]
async fn every_error_is_a_problem_and_every_503_says_when() {
    let document = document().await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let name = format!("{method} {path} {status}");
                assert!(!response["description"].as_str().unwrap().is_empty(), "{name}");
                if status == "503" {
                    assert!(response["headers"]["Retry-After"].is_object(), "{name}");
                }
                if status.starts_with(['4', '5']) && path != "/api/health/storage" {
                    let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/Problem", "{name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let document = document().await;
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    let read = &document["paths"]["/v1/kv/{key}"]["get"];
    for header in ["ETag", "Age", "Cache-Status", "X-Mainstay-Source"] {
        assert!(read["responses"]["200"]["headers"][header].is_object(), "{header}");
    }
    for status in ["200", "304", "400", "401", "404", "412", "421", "503", "504"] {
        assert!(read["responses"][status].is_object(), "{status}");
    }
}
