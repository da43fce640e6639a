//! Hashes and transactions mean the same on every backend.

use mainstay::Clock;
use mainstay_testkit::servers::{MariaDb, Postgres, Redis};

use crate::process::{Mainstay, redis_alone};

/// Commands that follow each other, and what they answer. TTL: when no time has passed since the expiry was set.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["hset", "h", "b", "1", "a", "2"], "2"),
    (&["hincrby", "h", "a", "40"], "42"),
    (&["hincrbyfloat", "h", "a", "0.5"], "42.5"),
    (&["hmget", "h", "a", "none"], "[Bulk(Some(b\"42.5\")), Bulk(None)]"),
    (&["hdel", "h", "b"], "1"),
    (&["hgetall", "h"], "[Bulk(Some(b\"a\")), Bulk(Some(b\"42.5\"))]"),
    (&["type", "h"], "hash"),
    (&["get", "h"], "WRONGTYPE Operation against a key holding the wrong kind of value"),
    (&["incr", "h"], "WRONGTYPE Operation against a key holding the wrong kind of value"),
    (&["append", "h", "x"], "WRONGTYPE Operation against a key holding the wrong kind of value"),
    (&["getdel", "h"], "WRONGTYPE Operation against a key holding the wrong kind of value"),
    (&["expire", "h", "100"], "1"),
    (&["hset", "h", "a", "1"], "0"),
    (&["ttl", "h"], "100"),
    (&["rename", "h", "i"], "OK"),
    (&["multi"], "OK"),
    (&["hincrby", "i", "a", "1"], "QUEUED"),
    (&["set", "s", "x", "ex", "100"], "QUEUED"),
    (&["incr", "s"], "QUEUED"),
    (&["copy", "s", "t"], "QUEUED"),
    (&["ttl", "t"], "QUEUED"),
    (&["del", "i"], "QUEUED"),
    (
        &["exec"],
        "[Integer(2), Simple(\"OK\"), Error(\"ERR value is not an integer or out of range\"), Integer(1), Integer(100), Integer(1)]",
    ),
    (&["exists", "i"], "0"),
    (&["get", "t"], "x"),
    (&["ttl", "t"], "100"),
    (&["eval", "return redis.call('hset', KEYS[1], 'a', 1)", "1", "h"], "1"),
    (&["hget", "h", "a"], "1"),
];

/// TTL of what had so many seconds to live at most so many milliseconds ago. It is rounded.
#[track_caller]
fn is_left(backend: &str, answer: &str, at_first: &str, passed: u128) {
    let [left, at_first] = [answer, at_first].map(|text| text.parse::<u128>().unwrap());
    let least = (at_first * 1000).saturating_sub(passed + 1) + 500;
    assert!((least / 1000..=at_first).contains(&left), "{backend}: {left} s after {passed} ms");
}

async fn means_the_same(mainstay: &Mainstay, backend: &str) {
    let (mut client, mut other) = (mainstay.client().await, mainstay.client().await);
    let clock = Clock::system();
    let mut set = clock.now();
    for (args, expected) in COMMANDS {
        if matches!(args[0], "expire" | "exec") {
            set = clock.now();
        }
        let answer = client.text(args).await;
        if args[0] == "ttl" && *expected != "QUEUED" {
            let passed = clock.now().duration_since(set).as_millis();
            is_left(backend, &answer, expected, passed);
        } else {
            assert_eq!(answer, *expected, "{backend}: {args:?}");
        }
    }
    assert_eq!(client.text(&["watch", "s", "none"]).await, "OK", "{backend}");
    assert_eq!(other.text(&["set", "s", "other"]).await, "OK", "{backend}");
    assert_eq!(client.text(&["multi"]).await, "OK", "{backend}");
    assert_eq!(client.text(&["set", "s", "mine"]).await, "QUEUED", "{backend}");
    assert_eq!(client.text(&["exec"]).await, "[]", "{backend}: a watched key has changed");
    assert_eq!(client.text(&["get", "s"]).await, "other", "{backend}");
    let fields = ["a", "b"].into_iter().cycle().take(8);
    futures_util::future::join_all(fields.map(async |field| {
        let mut client = mainstay.client().await;
        for _ in 0..10 {
            let answer = client.text(&["hincrby", "n", field, "1"]).await;
            assert!(answer.parse::<i64>().is_ok(), "{backend}: {answer}");
        }
    }))
    .await;
    assert_eq!(client.list(&["hvals", "n"]).await, ["40", "40"], "{backend}");
}

#[tokio::test]
async fn hashes_and_transactions_mean_the_same_on_every_backend() {
    let postgres = Postgres::start().await.unwrap();
    let maria = MariaDb::start().await.unwrap();
    let redis = Redis::start().await.unwrap();
    let record = |url: &str| format!("[backends.db]\nurl = \"{url}\"\n");
    for (backend, name, config) in [
        ("sqlite", "db", record("sqlite:./hashes.db")),
        ("postgres", "db", record(&postgres.url())),
        ("mariadb", "db", record(&maria.url())),
        ("redis", "redis", redis_alone(&redis.url())),
    ] {
        let mainstay = Mainstay::start_with(&config, &[]).await;
        mainstay.wait_for(name, "up").await;
        means_the_same(&mainstay, backend).await;
        mainstay.terminate().await;
    }
}
