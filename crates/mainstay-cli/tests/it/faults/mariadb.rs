//! MariaDB is ill, or drops its connections.

use std::{process::Stdio, time::Duration};

use mainstay_testkit::servers::{MariaDb, Redis};
use tokio::{process::Command, task::JoinSet};

use super::{let_it_run, light_load, nobody_noticed, nobody_was_misled, until_ill};
use crate::process::{Mainstay, until};

/// Mainstay as the user `app`, who has no special privileges, with Redis as the cache.
struct World {
    mariadb: MariaDb,
    _redis: Redis,
    mainstay: Mainstay,
}

impl World {
    async fn without_redis() -> Self {
        Self::begin(false).await
    }

    async fn start() -> Self {
        Self::begin(true).await
    }

    async fn begin(cached: bool) -> Self {
        let (redis, mariadb) = (Redis::start().await.unwrap(), MariaDb::start().await.unwrap());
        let user = "create user app identified by 'app'; grant all on mainstay.* to app";
        mariadb.sql(user).await.unwrap();
        let url = mariadb.url().replacen("mainstay:mainstay@", "app:app@", 1);
        let redis_url = redis.url();
        let variables = [("DATABASE_URL", &*url), ("REDIS_URL", &*redis_url)];
        let mainstay = Mainstay::start(&variables[..if cached { 2 } else { 1 }]).await;
        if cached {
            mainstay.wait_for("redis", "up").await;
        }
        mainstay.wait_for("db", "up").await;
        Self { mariadb, _redis: redis, mainstay }
    }

    /// Other programs' connections, until it is dropped: each tries until it has one.
    fn sleepers(&self, count: usize) -> JoinSet<()> {
        let port = self.mariadb.port().to_string();
        let mut sleepers = JoinSet::new();
        for _ in 0..count {
            let port = port.clone();
            sleepers.spawn(async move {
                loop {
                    let mut client = Command::new("mariadb");
                    client.args([
                        "--no-defaults",
                        "-h127.0.0.1",
                        "-P",
                        &port,
                        "-uother",
                        "-pother",
                    ]);
                    client.args(["-e", "select sleep(600)"]).stderr(Stdio::null());
                    let _refused = client.kill_on_drop(true).status().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
        sleepers
    }

    async fn sql(&self, sql: &str) -> String {
        self.mariadb.sql(sql).await.unwrap()
    }
}

#[tokio::test]
async fn killed_connections_are_replaced() {
    let world = World::start().await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "steady").await;
    for _ in 0..3 {
        world.sql("kill user app").await;
        let_it_run(&load, "killed").await;
    }
    nobody_was_misled(&load.finish().await);
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn connections_that_idled_too_long_are_replaced_unnoticed() {
    // Without a cache: its leases would keep connections busy.
    let world = World::without_redis().await;
    world.sql("set global wait_timeout = 1").await;
    world.sql("kill user app").await;
    let mut client = world.mainstay.client().await;
    for round in ["1", "2"] {
        client.until(&["SET", "k", round], "OK").await;
        until("idle connections to be closed", async || {
            let left = "select count(*) from information_schema.processlist where user = 'app'";
            world.sql(left).await == "0"
        })
        .await;
        let incremented = client.text(&["INCR", round]).await;
        assert_eq!(incremented, "1");
        assert_eq!(client.text(&["SET", "k", round]).await, "OK");
        assert_eq!(client.text(&["GET", "k"]).await, round);
    }
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn a_restart_is_recovered_from() {
    let mut world = World::start().await;
    let mut client = world.mainstay.client().await;
    assert_eq!(client.text(&["SET", "k", "1"]).await, "OK");
    world.mainstay.until_cached("k").await;
    world.mariadb.kill();
    until_ill(&world.mainstay, "db", "down", "disconnected", "refused").await;
    let refused = client.text(&["SET", "k", "2"]).await;
    assert!(refused.starts_with("UNAVAILABLE db") && refused.contains("refused"), "{refused}");
    assert_eq!(client.text(&["GET", "k"]).await, "1");
    world.mariadb.restart().await.unwrap();
    world.mainstay.wait_for("db", "up").await;
    assert_eq!(client.text(&["SET", "k", "3"]).await, "OK");
    assert_eq!(client.text(&["GET", "k"]).await, "3");
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn a_read_only_server_takes_no_writes_and_says_so() {
    let world = World::start().await;
    let mut client = world.mainstay.client().await;
    assert_eq!(client.text(&["SET", "k", "1"]).await, "OK");
    world.mainstay.until_cached("k").await;
    world.sql("set global read_only = on").await;
    let first = client.text(&["SET", "k", "2"]).await;
    assert!(first.starts_with("UNAVAILABLE db") && first.contains("read-only"), "{first}");
    until_ill(&world.mainstay, "db", "down", "wrong_node", "read_only").await;
    let refused = client.text(&["SET", "k", "2"]).await;
    assert!(refused.starts_with("UNAVAILABLE db") && refused.contains("read_only"), "{refused}");
    assert_eq!(client.text(&["GET", "k"]).await, "1");
    world.sql("set global read_only = off").await;
    world.mainstay.wait_for("db", "up").await;
    assert_eq!(client.text(&["SET", "k", "3"]).await, "OK");
    assert_eq!(client.text(&["GET", "k"]).await, "3");
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn fewer_connections_than_the_pool_may_have_are_shared() {
    let world = World::start().await;
    world.sql("alter user app with max_user_connections 2").await;
    world.sql("kill user app").await;
    world.mainstay.wait_for("db", "up").await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "few connections").await;
    let_it_run(&load, "and again").await;
    nobody_noticed(&load.finish().await);
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn too_many_connections_are_named_and_waited_out() {
    let world = World::start().await;
    let mut client = world.mainstay.client().await;
    assert_eq!(client.text(&["SET", "k", "1"]).await, "OK");
    world.mainstay.until_cached("k").await;
    world.sql("create user other identified by 'other'; grant all on mainstay.* to other").await;
    world.sql("set global max_connections = 10").await;
    let others = world.sleepers(12);
    until("the others to have every connection", async || {
        // One beyond all is for an operator; somebody who is just being refused may be on it.
        let _ = world.mariadb.sql("kill user app").await;
        let asleep = "select count(*) from information_schema.processlist where user = 'other' and command = 'Query'";
        world.mariadb.sql(asleep).await.is_ok_and(|asleep| asleep == "10")
    })
    .await;
    until_ill(&world.mainstay, "db", "down", "overloaded", "Too many connections").await;
    let refused = client.text(&["SET", "k", "2"]).await;
    assert!(refused.starts_with("UNAVAILABLE db"), "{refused}");
    assert!(refused.contains("Too many connections"), "{refused}");
    assert_eq!(client.text(&["GET", "k"]).await, "1");
    drop(others);
    until("the others to be ended", async || world.mariadb.sql("kill user other").await.is_ok())
        .await;
    world.mainstay.wait_for("db", "up").await;
    assert_eq!(client.text(&["SET", "k", "3"]).await, "OK");
    assert_eq!(client.text(&["GET", "k"]).await, "3");
    world.mainstay.terminate().await;
}
