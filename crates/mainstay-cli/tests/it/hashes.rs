//! Hashes and transactions mean the same on every backend.

use mainstay_testkit::servers::{MariaDb, Postgres, Redis};

use crate::process::Mainstay;

/// Commands that follow each other, and what they answer.
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

async fn means_the_same(mainstay: &Mainstay, backend: &str) {
    let (mut client, mut other) = (mainstay.client().await, mainstay.client().await);
    for (args, expected) in COMMANDS {
        assert_eq!(client.text(args).await, *expected, "{backend}: {args:?}");
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
    for (backend, variables) in [
        ("sqlite", vec![("DATABASE_URL", "sqlite:./hashes.db".to_owned())]),
        ("postgres", vec![("DATABASE_URL", postgres.url())]),
        ("mariadb", vec![("DATABASE_URL", maria.url())]),
        ("redis", vec![("REDIS_URL", redis.url())]),
    ] {
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mainstay = Mainstay::start(&variables).await;
        let name = if backend == "redis" { "redis" } else { "db" };
        mainstay.wait_for(name, "up").await;
        means_the_same(&mainstay, backend).await;
        mainstay.terminate().await;
    }
}
