//! Nothing is there at the start; and Redis alone, which memory stands in for.

use mainstay_testkit::servers::{Redis, RedisOptions};

use super::until_ill;
use crate::{
    process::Mainstay,
    support::{Run, Scratch},
};

#[tokio::test]
async fn with_everything_missing_it_starts_and_names_each_backend_and_its_reason() {
    // Nothing listens on port 1.
    let mainstay = Mainstay::start(&[
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("DATABASE_URL", "postgres://app:hunter2@127.0.0.1:1/app"),
    ])
    .await;
    let mut client = mainstay.client().await;
    until_ill(&mainstay, "redis", "down", "disconnected", "refused").await;
    until_ill(&mainstay, "db", "down", "disconnected", "refused").await;
    let refused = client.text(&["SET", "k", "v"]).await;
    assert!(refused.starts_with("UNAVAILABLE db"), "{refused}");
    assert!(refused.contains("refused") && refused.contains("retry_after_ms="), "{refused}");
    let refused = client.text(&["GET", "k"]).await;
    assert!(refused.contains("db ") && refused.contains("redis "), "{refused}");
    assert_eq!(client.text(&["PING"]).await, "PONG");
    assert!(mainstay.http_get("/livez").await.starts_with("HTTP/1.1 200"));
    assert!(mainstay.http_get("/readyz").await.starts_with("HTTP/1.1 503"));
    let status = mainstay.status_text().await;
    assert!(status.contains("db") && status.contains("redis"), "{status}");
    assert!(status.contains("refused") && !status.contains("hunter2"), "{status}");
    mainstay.terminate().await;
}

#[tokio::test]
async fn memory_stands_in_for_redis_alone_and_what_it_took_is_discarded() {
    let mut redis = Redis::start().await.unwrap();
    let mainstay = Mainstay::start(&[("REDIS_URL", &redis.url())]).await;
    mainstay.wait_for("redis", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["SET", "kept", "1"]).await, "OK");
    assert_eq!(redis.redis_cli(&["GET", "kept"]).await.unwrap(), "1");
    redis.redis_cli(&["SAVE"]).await.unwrap();
    redis.kill();
    client.until(&["SET", "volatile", "2"], "OK").await;
    mainstay.wait_for("redis", "down").await;
    assert_eq!(client.text(&["GET", "volatile"]).await, "2");
    assert_eq!(client.text(&["SET", "kept", "3"]).await, "OK");
    let meta = mainstay.http_get("/v1/kv/volatile?meta").await;
    assert!(meta.contains("\"source\":\"memory\""), "{meta}");
    redis.restart().await.unwrap();
    mainstay.wait_for("redis", "up").await;
    assert_eq!(client.text(&["GET", "kept"]).await, "1");
    assert_eq!(client.text(&["GET", "volatile"]).await, "(nil)");
    // Discarded, not hidden: it does not come back with the next outage either.
    redis.kill();
    mainstay.wait_for("redis", "down").await;
    assert_eq!(client.text(&["GET", "volatile"]).await, "(nil)");
    mainstay.terminate().await;
}

/// `config check --probe` before this Redis, with a route of this consistency.
async fn probe(redis: &str, consistency: &str) -> Run {
    let scratch = Scratch::new();
    let file = format!(
        "[backends.redis]\nurl = \"{redis}\"\n[backends.db]\nurl = \"sqlite:./db\"\n\
         [[route]]\nprefix = \"s:\"\ncache = [\"redis\"]\nrecord = \"db\"\nconsistency = \"{consistency}\"\n"
    );
    scratch.write("mainstay.toml", &file);
    let mut command = scratch.command(&["config", "check", "--probe"]);
    tokio::task::spawn_blocking(move || Run::of(&mut command)).await.unwrap()
}

#[tokio::test]
async fn a_probe_connects_and_says_which_promise_cannot_be_kept_where() {
    let options =
        RedisOptions { max_memory: Some((64 << 20, "allkeys-lru")), ..RedisOptions::default() };
    let evicting = Redis::start_with(options).await.unwrap();
    let run = probe(&evicting.url(), "bounded").await;
    assert_eq!((run.code, &*run.stdout), (Some(0), "every backend answers\n"), "{run:?}");
    let run = probe(&evicting.url(), "strict").await;
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stdout.contains("route `s:` is strict, and redis may evict marks"), "{run:?}");
    let run = probe("redis://127.0.0.1:1", "bounded").await;
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stdout.contains("redis is down") && run.stdout.contains("refused"), "{run:?}");
}
