//! Locks over HTTP: taken, found held, renewed, released, lost.

use serde_json::{Value, json};

use super::support::{api, delete, get, post_json, put_json};

#[tokio::test]
async fn a_lock_is_taken_found_held_renewed_and_released() {
    let api = api().await;
    let answer = post_json(&api, "/v1/locks/jobs/nightly", &json!({ "note": "first" })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let grant = answer.json();
    assert_eq!((&grant["name"], &grant["mode"]), (&"jobs/nightly".into(), &"local".into()));
    assert_eq!(grant["guarantee"], "process");
    let (holder, token) = (grant["holder"].as_str().unwrap(), grant["token"].as_u64().unwrap());

    let held = post_json(&api, "/v1/locks/jobs/nightly", &json!({})).await.problem(409);
    assert!(held["detail"].as_str().unwrap().contains("held by \"first\""), "{held}");
    let list = get(&api, "/v1/locks").await.json();
    assert_eq!(list["locks"][0]["name"], "jobs/nightly");
    assert_eq!(
        (&list["locks"][0]["held"], &list["locks"][0]["note"]),
        (&true.into(), &"first".into())
    );

    let renewal = json!({ "holder": holder, "token": token, "ttl": "10s" });
    let renewed = put_json(&api, "/v1/locks/jobs/nightly", &renewal).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert_eq!(renewed.json()["token"], token);
    let released = format!("/v1/locks/jobs/nightly?holder={holder}&token={token}");
    assert_eq!(delete(&api, &released).await.status, 204);
    delete(&api, &released).await.problem(412);
    put_json(&api, "/v1/locks/jobs/nightly", &renewal).await.problem(412);

    let next = post_json(&api, "/v1/locks/jobs/nightly", &json!({ "ttl": "5s" })).await.json();
    assert!(next["token"].as_u64().unwrap() > token, "{next}");
    assert!(next["ttl_ms"].as_u64().unwrap() <= 5000, "{next}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_fix() {
    let api = api().await;
    let refused = [
        (json!({ "ttl": "5" }), 400, "ttl"),
        (json!({ "ttl": "1h" }), 400, "ttl_max"),
        (json!({ "require": "much" }), 400, "fenced"),
        (json!({ "require": "fenced" }), 501, ""),
        (json!({ "lease": "5s" }), 400, "lease"),
    ];
    for (wish, status, word) in refused {
        let problem: Value = post_json(&api, "/v1/locks/k", &wish).await.problem(status);
        assert!(problem["detail"].as_str().unwrap().contains(word), "{wish}: {problem}");
    }
    delete(&api, "/v1/locks/k?holder=x&token=1").await.problem(400);
    delete(&api, "/v1/locks/k?token=1").await.problem(400);
    delete(&api, "/v1/locks/k?holder=1&token=1&reason=x").await.problem(400);
    delete(&api, "/v1/locks/k?reason=x").await.problem(400);
    assert_eq!(get(&api, "/v1/locks").await.json()["locks"], json!([]));
}

#[tokio::test]
async fn a_lock_is_released_by_hand_with_a_reason() {
    let api = api().await;
    let grant = post_json(&api, "/v1/locks/jobs/nightly", &json!({})).await.json();
    let token = grant["token"].as_u64().unwrap();
    let by_hand =
        |token: u64, reason| format!("/v1/locks/jobs/nightly?token={token}&reason={reason}");
    delete(&api, &by_hand(token + 1, "typo")).await.problem(412);
    delete(&api, &by_hand(token, "")).await.problem(400);
    assert_eq!(delete(&api, &by_hand(token, "its+host%20burnt")).await.status, 204);
    assert_eq!(get(&api, "/v1/locks").await.json()["locks"][0]["held"], false);
    delete(&api, &by_hand(token, "again")).await.problem(412);
    let events = get(&api, "/v1/events?format=json").await.json();
    let last = events["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["kind"], &last["state"]), (&"lock".into(), &"released".into()));
    let reason = last["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("jobs/nightly, token {token}: its")), "{reason}");
}
