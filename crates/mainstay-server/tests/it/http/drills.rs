//! The paths of drills where nothing runs any, and where a runner does only what a test says.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use futures_util::StreamExt;
use mainstay::Actor;
use mainstay_server::http::{
    DrillMessage, DrillRefused, DrillRequest, DrillRun, Drills, HttpConfig, Sections,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::support::{api, api_with, delete, get, open, post_json, request, send};

/// Tells one message, and notes whether it was let go.
#[derive(Debug, Default)]
struct Scripted {
    busy: AtomicBool,
    /// Kept where more than one message is to come.
    more: Mutex<Option<mpsc::Sender<DrillMessage>>>,
    alive: CancellationToken,
}

impl Drills for Scripted {
    fn begin(&self, request: DrillRequest, actor: Actor) -> Result<DrillRun, DrillRefused> {
        if self.busy.swap(true, Ordering::SeqCst) {
            return Err(DrillRefused::Busy("one runs".to_owned()));
        }
        if request.scenario == "nothing" {
            return Err(DrillRefused::Request("scenario: there is none".to_owned()));
        }
        let (sender, messages) = mpsc::channel(1);
        let data = json!({ "reason": request.reason, "actor": actor });
        sender.try_send(DrillMessage { name: "start", data }).unwrap();
        if request.scenario == "long" {
            *self.more.lock().unwrap() = Some(sender);
        }
        Ok(DrillRun { messages, alive: self.alive.clone().drop_guard() })
    }

    fn list(&self) -> Value {
        json!({ "running": null })
    }

    fn find(&self, id: &str) -> Option<Value> {
        (id == "a b").then(|| json!({ "id": id }))
    }

    fn abort(&self, id: &str, _reason: &str, _actor: &Actor) -> bool {
        id == "a b"
    }
}

#[tokio::test]
async fn where_nothing_runs_drills_the_paths_say_so() {
    let api = api().await;
    let order = json!({ "scenario": "redis-outage", "reason": "x" });
    for answer in [
        get(&api, "/v1/drills").await,
        get(&api, "/v1/drills/1").await,
        post_json(&api, "/v1/drills", &order).await,
        delete(&api, "/v1/drills/1").await,
    ] {
        assert_eq!(answer.problem(501)["type"], "urn:mainstay:error:no_drills");
    }
}

#[tokio::test]
async fn without_a_token_none_is_begun_or_aborted() {
    let api = api().await;
    let drills = Arc::new(Scripted::default());
    api.serve_drills(Arc::clone(&drills) as _);
    let order = json!({ "scenario": "redis-outage", "reason": "x" });
    post_json(&api, "/v1/drills", &order).await.problem(403);
    delete(&api, "/v1/drills/a%20b").await.problem(403);
    assert!(!drills.busy.load(Ordering::SeqCst));
    assert_eq!(get(&api, "/v1/drills").await.json()["allowed"], false);
    assert_eq!(get(&api, "/v1/drills/a%20b").await.json()["id"], "a b");
    get(&api, "/v1/drills/other").await.problem(404);
}

#[tokio::test]
async fn with_its_token_a_drill_is_told_and_let_go_at_its_end() {
    let token = Some("correct-horse".to_owned());
    let api = api_with(HttpConfig { token, ..HttpConfig::default() }).await;
    let drills = Arc::new(Scripted::default());
    api.serve_drills(Arc::clone(&drills) as _);
    let post = |body: Value| {
        let builder = request(axum::http::Method::POST, "/v1/drills");
        let builder = builder.header("content-type", "application/json");
        let builder = builder.header("authorization", "Bearer correct-horse");
        builder.body(axum::body::Body::from(body.to_string())).unwrap()
    };
    let answer = send(&api, post(json!({ "scenario": "x", "reason": "why" }))).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert!(answer.text().starts_with("event: start\ndata: {"), "{}", answer.text());
    assert!(answer.text().contains("\"reason\":\"why\""), "{}", answer.text());
    assert!(drills.alive.is_cancelled(), "the run goes with its stream");
    send(&api, post(json!({ "scenario": "x", "reason": "why" }))).await.problem(409);
    drills.busy.store(false, Ordering::SeqCst);
    send(&api, post(json!({ "scenario": "nothing", "reason": "why" }))).await.problem(400);
    send(&api, post(json!({ "scenario": "x", "reason": "" }))).await.problem(400);
    send(&api, post(json!({ "scenario": "x", "reason": "y", "until": 1 }))).await.problem(400);
}

#[tokio::test]
async fn the_drill_of_a_user_whose_token_is_taken_back_ends_with_its_next_message() {
    let token = |token: &str| HttpConfig { token: Some(token.to_owned()), ..HttpConfig::default() };
    let api = api_with(token("correct-horse")).await;
    let drills = Arc::new(Scripted::default());
    api.serve_drills(Arc::clone(&drills) as _);
    let order = json!({ "scenario": "long", "reason": "why" }).to_string();
    let post = request(axum::http::Method::POST, "/v1/drills")
        .header("content-type", "application/json")
        .header("authorization", "Bearer correct-horse");
    let post = post.body(axum::body::Body::from(order)).unwrap();
    let mut body = open(&api, post).await.into_body().into_data_stream();
    let start = body.next().await.unwrap().unwrap();
    assert!(start.starts_with(b"event: start"), "{start:?}");
    api.reconfigure(token("other-horse"), Sections::new()).unwrap();
    let more = drills.more.lock().unwrap().take().unwrap();
    more.try_send(DrillMessage { name: "step", data: json!({}) }).unwrap();
    assert!(body.next().await.is_none());
    assert!(drills.alive.is_cancelled(), "the run goes with its stream");
}
