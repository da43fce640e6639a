//! status, health, events, breaker and drain against a server.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::Instant,
};

use serde_json::Value as Json;

use crate::support::{PATIENCE, Scratch, Server};

#[test]
fn status_and_health() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    server.run(&["set", "k", "v"]).ok();
    let page = server.run(&["status"]).ok();
    assert!(page.starts_with("mainstay ") && page.contains("memory"), "{page}");
    assert_eq!(server.run(&["status", "-o", "quiet"]).ok(), "");
    let status = server.json(&["status"]);
    assert!(status["backends"].as_array().is_some_and(|backends| !backends.is_empty()), "{status}");
    assert!(server.run(&["health"]).ok().starts_with("up  "));
    server.run(&["health", "--strict"]).ok();
}

#[test]
fn a_backend_that_is_down_degrades_but_does_not_stop() {
    let scratch = Scratch::new();
    // Nothing listens on port 1.
    let env = [("REDIS_URL", "redis://:hunter2@127.0.0.1:1"), ("DATABASE_URL", "sqlite:./own.db")];
    let server = Server::start_with(&scratch, &env);
    server.run(&["set", "k", "v"]).ok();
    assert_eq!(server.run(&["get", "k"]).ok(), "v");
    let health = server.json(&["health"]);
    assert_eq!(health["health"], "degraded", "{health}");
    server.run(&["health", "--strict"]).failed(1);
    let status = server.run(&["status", "-o", "json"]).ok();
    assert!(status.contains("redis") && !status.contains("hunter2"), "{status}");
    assert_eq!(server.stop(), Some(0));
    assert!(scratch.path().join("own.db").exists());
}

#[test]
fn a_breaker_is_forced_and_given_back() {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch, &[("DATABASE_URL", "sqlite:./own.db")]);
    server.run(&["set", "k", "v"]).ok();
    let forced = server.json(&["breaker", "open", "db", "--for", "5m", "--reason", "a test"]);
    assert_eq!(forced["breaker"]["forced"], true, "{forced}");
    let events = server.run(&["events", "--backend", "db"]).ok();
    assert!(
        events.lines().any(|line| line.contains("breaker ") && line.contains("a test")),
        "{events}"
    );
    let auto = server.run(&["breaker", "auto", "db"]).ok();
    assert!(auto.starts_with("db: breaker ") && !auto.contains("forced"), "{auto}");
    let unknown = server.run(&["breaker", "open", "nothing"]).failed(1);
    assert!(unknown.contains("db"), "{unknown}");
    server.run(&["breaker", "auto", "db", "--for", "5m"]).failed(2);
    server.run(&["breaker", "open", "db", "--for", "5"]).failed(2);
}

#[test]
fn a_backend_is_taken_out_of_use_and_back_and_a_follower_sees_it() {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch, &[("DATABASE_URL", "sqlite:./own.db")]);
    let mut follower = server
        .command(&["events", "--follow", "--backend", "db", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut drains = lines
        .map(|line| serde_json::from_str::<Json>(&line.unwrap()).unwrap())
        .filter(|event| event["kind"] == "drain");

    server.run(&["drain", "db", "--reason", "maintenance"]).ok();
    let drained = drains.next().unwrap();
    assert_eq!(drained["drained"], true);
    assert!(drained["reason"].as_str().unwrap().contains("maintenance"), "{drained}");
    server.run(&["undrain", "db"]).ok();
    assert_eq!(drains.next().unwrap()["drained"], false);
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test waits for a file, at most this long")]
fn the_history_says_who_did_it_also_after_a_restart_and_a_torn_line() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    server.run(&["drain", "sqlite", "--reason", "upgrade"]).ok();
    let page = server.run(&["events", "--history", "--backend", "sqlite"]).ok();
    let drained = "sqlite   out of use: upgrade (by cli 127.0.0.1)";
    assert!(page.lines().any(|line| line.contains(drained)), "{page}");
    // It is written in the background.
    let path = scratch.path().join("mainstay-data/history.jsonl");
    let begun = Instant::now();
    while !std::fs::read_to_string(&path).unwrap().contains("upgrade") {
        assert!(begun.elapsed() < PATIENCE, "the entry is not written");
    }
    server.signal("KILL");
    server.ended();

    // What a crash in the middle of a line leaves.
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"id\":99,\"unix_ms\":1,\"ki").unwrap();
    drop(file);
    let server = Server::start(&scratch);
    let status = server.json(&["status"]);
    assert_eq!(status["history"]["damaged_lines"], 1, "{status}");
    let events = server.run(&["events"]).ok();
    assert!(events.contains("history damaged: 1 lines"), "{events}");
    let page = server.run(&["events", "--history", "-o", "json", "-n", "1000"]).ok();
    let entries: Vec<Json> = page.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |wanted: &dyn Fn(&Json) -> bool| entries.iter().position(wanted);
    let drained = at(&|entry| entry["actor"] == "cli 127.0.0.1" && entry["drained"] == true);
    let opens = entries.iter().filter(|entry| entry["state"] == "open");
    assert_eq!(opens.count(), 2, "{page}");
    let last_start = entries.iter().rposition(|entry| entry["state"] == "open");
    assert!(drained.is_some() && drained < last_start, "{page}");
    server.run(&["events", "--history", "--backend", "nope"]).failed(1);
    server.run(&["events", "--history", "--follow"]).failed(2);
    assert_eq!(server.stop(), Some(0));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n') && text.contains("\"closing\""), "{text}");
}

#[test]
fn the_page_of_the_status_has_the_key_figures() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    server.run(&["set", "k", "v"]).ok();
    let page = server.run(&["status"]).ok();
    let line = |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap_or(&page);
    assert!(line("error rate").contains("0 %   target < 1 %"), "{page}");
    assert!(line("recovery time").contains("no outage seen"), "{page}");
    assert_eq!(server.json(&["status"])["kpis"]["error_rate"]["met"], true);
}
