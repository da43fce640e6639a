//! What a storage says of its own course: the history, the key figures.

use std::path::{Path, PathBuf};

use super::*;
use crate::{
    Actor,
    config::{BackendConfig, ObserveConfig},
};

/// A folder of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mainstay-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A failover route over a Redis that is not there, and memory.
async fn without_redis(dir: Option<&Path>) -> Storage {
    let backends = ["redis", Config::MEMORY].map(str::to_owned).to_vec();
    let route = RouteConfig { backends, ..RouteConfig::default() };
    let redis = BackendConfig::at("redis://127.0.0.1:1");
    let observe = ObserveConfig { dir: dir.map(Path::to_owned), ..ObserveConfig::default() };
    let config = Config {
        backends: [("redis".to_owned(), redis)].into(),
        routes: vec![route],
        observe,
        ..Config::default()
    };
    let storage = Storage::open(config).await.unwrap();
    // On a busy machine the first attempt ends only after the opening.
    let tried = async {
        let entries = || storage.history(Some("redis"), 1000).unwrap();
        while !entries().iter().any(|entry| entry.connected == Some(false)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), tried).await.expect("an attempt");
    storage
}

fn kinds(storage: &Storage, backend: Option<&str>) -> Vec<String> {
    let entries = storage.history(backend, 1000).unwrap();
    entries.iter().map(|entry| entry.kind.to_string()).collect()
}

#[tokio::test]
async fn the_history_goes_on_after_a_restart_with_the_start_between() {
    let scratch = Scratch::new("restart");
    let storage = without_redis(Some(&scratch.0)).await;
    let status = storage.status().history;
    assert!(status.file.is_some_and(|file| file.ends_with("history.jsonl")));
    let failed = storage.history(Some("redis"), 1000).unwrap();
    let failed = failed.iter().find(|entry| entry.connected == Some(false)).expect("an attempt");
    let error = failed.error.as_ref().expect("says why");
    assert_eq!((&*error.kind, &*failed.actor), ("disconnected", "system"));
    assert!(failed.retry_in_ms.is_some());
    storage.drain_by("redis", true, "upgrade", &Actor::new("cli 127.0.0.1")).unwrap();
    assert!(storage.close(Duration::from_secs(20)).await);
    let before = kinds(&storage, None);
    assert_eq!((&*before[0], before.last().map(String::as_str)), ("storage", Some("storage")));

    let again = without_redis(Some(&scratch.0)).await;
    let after = kinds(&again, None);
    assert_eq!(after[..before.len()], before);
    assert_eq!(after[before.len()], "storage", "the start stands between");
    let all = again.history(Some("redis"), 1000).unwrap();
    let drained = all.iter().find(|entry| entry.drained == Some(true)).expect("is kept");
    assert_eq!((&*drained.actor, &*drained.reason), ("cli 127.0.0.1", "upgrade"));
    assert!(again.history(Some("memory"), 1000).unwrap().iter().all(|e| e.kind == "storage"));
    assert_eq!(again.history(Some("nope"), 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(again.close(Duration::from_secs(20)).await);
}

#[tokio::test]
async fn without_a_folder_or_with_one_that_cannot_be_used_the_history_is_in_memory() {
    let storage = without_redis(None).await;
    let status = storage.status();
    assert!(status.history.file.is_none() && status.warnings.is_empty());
    assert!(status.history.reason.contains("observe.dir") && status.history.entries > 0);

    let storage = without_redis(Some(Path::new("/dev/null/below"))).await;
    storage.set("k", "v").await.unwrap();
    let status = storage.status();
    assert!(status.history.file.is_none());
    assert!(status.warnings[0].contains("in memory alone"), "{:?}", status.warnings);
    let told = storage.events().since(0);
    let told = told.iter().filter(|event| matches!(event.kind, EventKind::History { .. }));
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn two_storages_do_not_share_a_history() {
    let scratch = Scratch::new("shared");
    let first = without_redis(Some(&scratch.0)).await;
    let second = without_redis(Some(&scratch.0)).await;
    assert!(first.status().history.file.is_some());
    assert!(second.status().history.reason.contains("another process"));
    assert!(kinds(&second, None).contains(&"storage".to_owned()));
}

#[tokio::test]
async fn the_key_figures_judge_what_was_counted() {
    let storage = without_redis(None).await;
    for number in 0..20 {
        storage.set(format!("k{number}").as_str(), "v").await.unwrap();
    }
    storage.get("k1").await.unwrap();
    storage.increment("k1", 1).await.unwrap_err();
    let status = storage.status();
    let kpis = &status.kpis;
    // All of it went to memory instead of Redis; the caller's mistake is no error.
    assert!(kpis.fallback_rate.value.is_some_and(|rate| rate > 0.9), "{kpis:?}");
    assert_eq!((kpis.fallback_rate.met, kpis.error_rate.value), (Some(false), Some(0.0)));
    assert_eq!((kpis.connection_success.met, kpis.hit_rate.value), (Some(false), None));
    assert_eq!(kpis.window, Duration::from_secs(60));
    assert!(status.resilience.connection_attempts > 0);
    assert_eq!(status.resilience.database_fallback_rate, kpis.fallback_rate.value);
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["kpis"]["error_rate"]["target"]["below"], 0.01);
    assert_eq!(json["resilience"]["last_recovery"], serde_json::Value::Null);
}

#[tokio::test]
async fn who_forced_a_breaker_stands_in_the_event_and_in_the_status() {
    let storage = without_redis(None).await;
    let time = Duration::from_secs(60);
    let actor = Actor::new("http 127.0.0.1");
    storage.breaker_by("memory", BreakerCommand::ForceOpen(time), "a test", &actor).unwrap();
    let status = storage.status();
    let memory = status.backends.last().unwrap();
    assert_eq!(memory.breaker.reason, "forced: a test (by http 127.0.0.1)");
    let transition = &memory.transitions[0];
    assert_eq!((transition.to, transition.reason, transition.count), ("isolated", "forced", 1));
    let events = storage.events().since(0);
    let event = events.iter().rfind(|event| event.kind.as_str() == "breaker").unwrap();
    assert_eq!((event.actor.as_str(), event.cause), ("http 127.0.0.1", Some("forced")));
    assert!(event.retry_in.is_some_and(|left| left <= time));
    let line = "memory breaker closed -> isolated: forced: a test (by http 127.0.0.1)";
    assert_eq!(event.to_string(), line);
    storage.breaker("memory", BreakerCommand::Auto, "").unwrap();
    let events = storage.events().since(event.id);
    assert_eq!(events[0].actor, Actor::PROGRAM);
}

#[tokio::test]
async fn a_backend_that_flaps_is_in_the_status_and_in_one_event() {
    let storage = without_redis(None).await;
    let mut listener = storage.events().subscribe();
    let redis: std::sync::Arc<str> = "redis".into();
    for _ in 0..6 {
        for to in ["up", "down"] {
            let kind = EventKind::Health { from: "?", to };
            storage.events().publish(Some(&redis), kind, "");
        }
    }
    let told = async {
        loop {
            let event = listener.recv().await.unwrap();
            if matches!(event.kind, EventKind::Flapping { .. }) {
                return event;
            }
        }
    };
    let event = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    assert_eq!(event.to_string(), "redis flapping: out of service 6 times");
    let status = storage.status();
    assert!(status.backends[0].flapping && !status.backends[1].flapping);
    assert_eq!(status.warnings, ["redis flaps: out of service 6 times in 5m"]);
}

#[tokio::test]
async fn a_folder_that_does_not_answer_does_not_keep_the_storage_from_opening() {
    let scratch = Scratch::new("hangs");
    std::fs::create_dir_all(&scratch.0).unwrap();
    let path = scratch.0.join("history.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let storage = without_redis(Some(&scratch.0)).await;
    storage.set("k", "v").await.unwrap();
    let history = storage.status().history;
    assert!(history.file.is_none() && history.reason.contains("does not answer"), "{history:?}");
    // The thread that opens it ends when somebody writes: in a pipe there is no place to go to.
    let release = move || drop(std::fs::OpenOptions::new().write(true).open(&path).unwrap());
    tokio::task::spawn_blocking(release).await.unwrap();
}
