//! The stream of events, and the history.

use std::collections::BTreeMap;

use axum::{
    body::{Body, BodyDataStream},
    http::Method,
};
use futures_util::StreamExt;
use mainstay::{EventKind, event::LAG_MAX};
use mainstay_server::http::{Api, HttpConfig};
use serde_json::{Value, json};

use super::support::{api, api_with, get, get_with, open, post_json, request};

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
    let mut last = 0_u64;
    for number in 76..1100 {
        let message = next(&mut stream).await;
        assert!(message["data"].contains(&format!("\"event {number}\"")), "{message:?}");
        let id = message["id"].parse().unwrap();
        assert!(id > last);
        last = id;
    }
    // One that comes back too late gets what the ring still holds, and the number of those it does not.
    let first = api.storage().events().base() + 1;
    let mut stream = follow(&api, Some(&first.to_string())).await;
    next(&mut stream).await;
    let lagged: Value = serde_json::from_str(&next(&mut stream).await["data"]).unwrap();
    assert_eq!(lagged["missed"], last - 1000 - first);
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

/// What a stream has to say until it has sent the event with this reason.
async fn until(stream: &mut BodyDataStream, last: &str) -> Vec<BTreeMap<String, String>> {
    let mut messages = Vec::new();
    loop {
        let message = next(stream).await;
        let ends = message.get("data").is_some_and(|data| data.contains(last));
        messages.push(message);
        if ends {
            return messages;
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_and_is_told_what_it_missed() {
    const CLIENTS: usize = 100;
    const EVENTS: usize = 5000;
    let api = api_with(HttpConfig { streams_max: CLIENTS, ..HttpConfig::default() }).await;
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = follow(&api, None).await;
        next(&mut stream).await;
        streams.push(stream);
    }
    let mut stuck = streams.pop().unwrap();
    for round in 0..EVENTS / 500 {
        for number in 0..500 {
            // Publishing does not wait for anybody: it is no future.
            publish(&api, &format!("event {}.", round * 500 + number));
        }
        let last = format!("\"event {}.\"", round * 500 + 499);
        for stream in &mut streams {
            let messages = until(stream, &last).await;
            assert_eq!(messages.len(), 500, "others receive all, and each once");
            assert!(messages.iter().all(|message| !message.contains_key("event")));
        }
    }
    // What is kept for the one that does not read is the bus's own buffer, which all share.
    let messages = until(&mut stuck, &format!("\"event {}.\"", EVENTS - 1)).await;
    assert_eq!(messages[0]["event"], "lagged");
    let missed: Value = serde_json::from_str(&messages[0]["data"]).unwrap();
    assert_eq!(missed["missed"], EVENTS - LAG_MAX);
    assert_eq!(messages.len(), 1 + LAG_MAX);
    assert!(api.storage().events().since(0).len() <= mainstay::event::RING_MAX);
}

#[tokio::test]
async fn the_history_is_json_or_csv_of_one_backend_or_of_all() {
    let api = api().await;
    let wish = json!({ "state": "open", "reason": "=1+1, \"quoted\"" });
    post_json(&api, "/v1/backends/memory/breaker", &wish).await;
    let history = get(&api, "/v1/history?backend=memory&limit=100").await.json();
    assert_eq!(history["file"], Value::Null, "a storage without a folder");
    let entries = history["entries"].as_array().unwrap();
    assert_eq!((&entries[0]["kind"], &entries[0]["state"]), (&"storage".into(), &"open".into()));
    let forced = entries.last().unwrap();
    assert_eq!((&forced["to"], &forced["cause"]), (&"isolated".into(), &"forced".into()));
    assert_eq!(forced["actor"], "http");
    assert!(forced["retry_in_ms"].as_u64().is_some_and(|left| left > 0 && left <= 600_000));
    for page in [
        get(&api, "/v1/history?format=csv").await,
        get_with(&api, "/v1/history", "accept", "text/csv").await,
    ] {
        assert_eq!(page.header("content-type"), "text/csv; charset=utf-8");
        let lines: Vec<&str> = page.text().lines().collect();
        assert!(lines[0].starts_with("time,id,backend,kind,from,to,"), "{lines:?}");
        assert_eq!(lines.len(), 1 + entries.len());
        let forced =
            "memory,breaker,closed,isolated,forced,,\"forced: =1+1, \"\"quoted\"\"\",,,http,";
        assert!(lines.last().unwrap().contains(forced), "{lines:?}");
    }
    assert_eq!(
        get(&api, "/v1/history?limit=1").await.json()["entries"].as_array().unwrap().len(),
        1
    );
    get(&api, "/v1/history?backend=nope").await.problem(404);
    get(&api, "/v1/history?format=xml").await.problem(400);
    get(&api, "/v1/history?limit=0").await.problem(400);
}
