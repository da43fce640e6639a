//! Failover routes with the real binary: what the database took for Redis is in Redis in the end, whatever died in between.

use std::net::SocketAddr;

use mainstay_testkit::{
    load::Client,
    servers::{MariaDb, Postgres, Redis},
};

use crate::process::{Mainstay, until};

const FAILOVER: &str = r#"
[[route]]
prefix = ""
backends = ["redis", "db"]
select = "failover"
"#;

/// What Redis held before it died, as if it had come back with its disk.
async fn old_values(redis: &Redis, keys: &[&str]) {
    let address = redis.url();
    let address = address.trim_start_matches("redis://").trim_end_matches('/');
    let address: SocketAddr = address.parse().unwrap();
    let mut client = Client::connect(address).await.unwrap();
    for key in keys {
        client.command(&[b"SET", key.as_bytes(), b"old"]).await.unwrap();
    }
}

impl Mainstay {
    /// Waits until nothing of a lower backend is left to be moved.
    async fn until_moved(&self) {
        until("everything to be moved up", async || {
            self.http_get("/v1/status").await.contains("\"overflowed_keys\":0")
        })
        .await;
    }
}

async fn a_crash_between(database_url: &str) {
    let mut redis = Redis::start().await.unwrap();
    let variables = [("REDIS_URL", &*redis.url()), ("DATABASE_URL", database_url)];
    let mut mainstay = Mainstay::start_with(FAILOVER, &variables).await;
    mainstay.wait_for("db", "up").await;
    mainstay.wait_for("redis", "up").await;
    let mut client = mainstay.client().await;
    let keys = ["k", "gone", "n"];
    for key in keys {
        assert_eq!(client.text(&["SET", key, "old"]).await, "OK");
    }
    redis.kill();
    mainstay.wait_for("redis", "down").await;
    assert_eq!(client.text(&["SET", "k", "new"]).await, "OK");
    assert_eq!(client.text(&["DEL", "gone"]).await, "0", "the database never had it");
    assert_eq!(client.text(&["SET", "n", "41"]).await, "OK");
    assert_eq!(client.text(&["INCR", "n"]).await, "42");
    mainstay.kill().await;
    redis.restart().await.unwrap();
    old_values(&redis, &keys).await;

    mainstay.start_again().await;
    mainstay.wait_for("db", "up").await;
    mainstay.wait_for("redis", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["GET", "k"]).await, "new");
    assert_eq!(client.text(&["GET", "gone"]).await, "(nil)");
    client.until(&["INCR", "n"], "43").await;
    mainstay.until_moved().await;
    let read = mainstay.http_get("/v1/kv/k?meta").await;
    assert!(read.contains(r#""source":"redis""#) && read.contains(r#""stale":false"#), "{read}");
    mainstay.terminate().await;
}

#[tokio::test]
async fn what_postgres_took_survives_the_process() {
    let postgres = Postgres::start().await.unwrap();
    a_crash_between(&postgres.url()).await;
    let rows = postgres.psql("SELECT count(*) FROM mainstay_dirty").await.unwrap();
    assert_eq!(rows.trim(), "0");
}

#[tokio::test]
async fn what_mariadb_took_survives_the_process() {
    let mariadb = MariaDb::start().await.unwrap();
    a_crash_between(&mariadb.url()).await;
    let rows = mariadb.sql("SELECT count(*) FROM mainstay_dirty").await.unwrap();
    assert_eq!(rows.split_whitespace().last(), Some("0"), "{rows}");
}

#[tokio::test]
async fn what_sqlite_took_survives_the_process() {
    a_crash_between("sqlite:./lower.db").await;
}

#[tokio::test]
async fn two_processes_agree_on_what_the_database_took() {
    let (mut redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let variables = [("REDIS_URL", &*redis.url()), ("DATABASE_URL", &*postgres.url())];
    let mut one = Mainstay::start_with(FAILOVER, &variables).await;
    let other = Mainstay::start_with(FAILOVER, &variables).await;
    for process in [&one, &other] {
        process.wait_for("db", "up").await;
        process.wait_for("redis", "up").await;
    }
    redis.kill();
    for process in [&one, &other] {
        process.wait_for("redis", "down").await;
    }
    let mut clients = [one.client().await, other.client().await];
    let keys: Vec<String> = (0..50).map(|number| format!("key:{number}")).collect();
    for round in 0..5_usize {
        for (number, key) in keys.iter().enumerate() {
            let writer = &mut clients[(round + number) % 2];
            assert_eq!(writer.text(&["SET", key, &format!("{round}")]).await, "OK");
        }
    }
    for key in keys.iter().step_by(5) {
        assert_eq!(clients[0].text(&["DEL", key]).await, "1");
    }
    one.kill().await;
    redis.restart().await.unwrap();
    old_values(&redis, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    other.wait_for("redis", "up").await;
    for (number, key) in keys.iter().enumerate() {
        let expected = if number % 5 == 0 { "(nil)" } else { "4" };
        clients[1].until(&["GET", key], expected).await;
    }
    other.until_moved().await;
    assert_eq!(clients[1].text(&["SET", "key:1", "later"]).await, "OK");
    one.start_again().await;
    one.wait_for("redis", "up").await;
    let mut client = one.client().await;
    assert_eq!(client.text(&["GET", "key:1"]).await, "later");
    assert_eq!(client.text(&["GET", "key:2"]).await, "4");
    let rows = postgres.psql("SELECT count(*) FROM mainstay_dirty").await.unwrap();
    assert_eq!(rows.trim(), "0");
    one.terminate().await;
    other.terminate().await;
}
