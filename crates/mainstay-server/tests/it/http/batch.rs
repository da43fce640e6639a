//! Many operations in one request.

use serde_json::{Value, json};

use super::support::{api, get, post, post_json, put, request, send};

async fn run(operations: Value) -> Vec<Value> {
    let answer = post_json(&api().await, "/v1/batch", &json!({ "operations": operations })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["results"].as_array().unwrap().clone()
}

fn statuses(results: &[Value]) -> Vec<u64> {
    results.iter().map(|result| result["status"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn each_operation_has_its_own_status_in_its_place() {
    let results = run(json!([
        { "op": "set", "key": "a", "value": "1", "ttl": "60s" },
        { "op": "get", "key": "a" },
        { "op": "get", "key": "no" },
        { "op": "incr", "key": "a", "by": 4 },
        { "op": "set", "key": "a", "value": "x", "if_absent": true },
        { "op": "set", "key": "b", "value": "x", "if_absent": true },
        { "op": "set", "key": "a", "value": "x", "if_version": "1-1" },
        { "op": "delete", "key": "a" },
        { "op": "delete", "key": "a" },
        { "op": "set", "key": "c", "value": "x", "ttl": "60" },
        { "op": "incr", "key": "b" },
    ]))
    .await;
    assert_eq!(statuses(&results), [204, 200, 404, 200, 412, 201, 412, 204, 204, 400, 409]);
    assert_eq!((&results[1]["value"], &results[1]["encoding"]), (&"1".into(), &"utf8".into()));
    assert_eq!(results[1]["source"], "memory");
    assert!(results[1]["ttl"].as_f64().unwrap() > 59.0);
    assert_eq!(results[3]["integer"], 5);
    assert_eq!(results[10]["problem"]["type"], "urn:mainstay:error:not_integer");
    assert!(results[0].get("problem").is_none());
}

#[tokio::test]
async fn operations_on_one_key_keep_their_order() {
    let mut operations = Vec::new();
    for number in 0..200 {
        operations.push(json!({ "op": "set", "key": "k", "value": number.to_string() }));
        operations.push(json!({ "op": "get", "key": "k" }));
        operations.push(json!({ "op": "incr", "key": format!("other:{number}") }));
    }
    let results = run(operations.into()).await;
    let read: Vec<u32> = results
        .iter()
        .filter_map(|result| result["value"].as_str())
        .map(|value| value.parse().unwrap())
        .collect();
    assert_eq!(read, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn keys_and_values_may_be_bytes() {
    let results = run(json!([
        { "op": "set", "key": "/w==", "key_encoding": "base64", "value": "AAE=", "encoding": "base64" },
        { "op": "get", "key": "/w==", "key_encoding": "base64" },
        { "op": "get", "key": "!", "key_encoding": "base64" },
        { "op": "get", "key": "" },
    ]))
    .await;
    assert_eq!(statuses(&results), [204, 200, 400, 400]);
    assert_eq!(results[1]["value"], "/w==".replace("/w==", "\u{0}\u{1}"));
}

#[tokio::test]
async fn a_member_that_the_verb_does_not_know_is_refused() {
    let results = run(json!([
        { "op": "get", "key": "a", "ttl": "60s" },
        { "op": "set", "key": "a", "value": "v", "by": 1 },
        { "op": "set", "key": "a" },
        { "op": "delete", "key": "a", "if_absent": true },
        { "op": "set", "key": "a", "value": "v", "if_absent": true, "if_version": "1-1" },
        { "op": "set", "key": "a", "value": "v", "if_version": "seventeen" },
    ]))
    .await;
    assert_eq!(statuses(&results), [400; 6]);
}

#[tokio::test]
async fn what_is_no_batch_changes_nothing() {
    let api = api().await;
    put(&api, "/v1/kv/a", "before").await;
    let set = json!({ "op": "set", "key": "a", "value": "after" });
    let too_many: Vec<Value> = std::iter::repeat_n(set.clone(), 1001).collect();
    for bad in [
        json!({ "operations": too_many }),
        json!({ "operations": [set, { "op": "append", "key": "a" }] }),
        json!({ "operations": [set, { "op": "get", "key": "a", "keys": [] }] }),
        json!({ "ops": [set] }),
        json!([set]),
    ] {
        post_json(&api, "/v1/batch", &bad).await.problem(400);
    }
    post(&api, "/v1/batch").await.problem(400);
    let form = request(axum::http::Method::POST, "/v1/batch")
        .header("content-type", "text/plain")
        .header("content-length", "2");
    send(&api, form.body("{}".into()).unwrap()).await.problem(415);
    assert_eq!(get(&api, "/v1/kv/a").await.text(), "before");
}
