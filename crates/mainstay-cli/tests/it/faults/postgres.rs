//! PostgreSQL is ill: writes are refused with its reason, copies are served on.

use mainstay_testkit::servers::{Postgres, Redis};

use super::{let_it_run, light_load, nobody_noticed, nobody_was_misled, until_ill};
use crate::process::{Mainstay, TextClient};

/// Mainstay as the role `app`, which is not a superuser, with Redis as the cache; a copy of `known` is in it.
struct World {
    postgres: Postgres,
    _redis: Redis,
    mainstay: Mainstay,
    client: TextClient,
}

impl World {
    async fn start() -> Self {
        let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
        let role = "create role app login password 'app'; grant all on schema public to app";
        postgres.psql(role).await.unwrap();
        let url = postgres.url().replacen("mainstay:mainstay@", "app:app@", 1);
        let mainstay =
            Mainstay::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", &url)]).await;
        mainstay.wait_for("redis", "up").await;
        mainstay.wait_for("db", "up").await;
        let mut client = mainstay.client().await;
        assert_eq!(client.text(&["SET", "known", "1"]).await, "OK");
        mainstay.until_cached("known").await;
        Self { postgres, _redis: redis, mainstay, client }
    }

    async fn sql(&self, sql: &str) {
        self.postgres.psql(sql).await.unwrap();
    }

    async fn terminate_backends(&self) {
        self.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
            .await;
    }

    /// Writes are refused in these words, and so are reads that only the record could answer; copies are served.
    async fn assert_refuses(&mut self, words: &str) {
        for command in [&["SET", "known", "2"][..], &["GET", "unknown"], &["INCR", "n"]] {
            let refused = self.client.text(command).await;
            assert!(refused.starts_with("UNAVAILABLE db"), "{command:?}: {refused}");
            assert!(refused.contains(words), "{command:?}: {refused}");
            assert!(!refused.contains("outcome unknown"), "{command:?}: {refused}");
        }
        assert_eq!(self.client.text(&["GET", "known"]).await, "1");
    }

    async fn recovers(mut self) {
        self.mainstay.wait_for("db", "up").await;
        assert_eq!(self.client.text(&["SET", "known", "3"]).await, "OK");
        assert_eq!(self.client.text(&["GET", "known"]).await, "3");
        assert_eq!(self.client.text(&["GET", "unknown"]).await, "(nil)");
        self.mainstay.terminate().await;
    }
}

#[tokio::test]
async fn a_read_only_server_takes_no_writes_and_says_so() {
    let mut world = World::start().await;
    world.sql("alter system set default_transaction_read_only = on").await;
    world.sql("select pg_reload_conf()").await;
    // It may be faster than the reload: the same value again, so that either outcome leaves what is looked for below.
    let first = world.client.text(&["SET", "known", "1"]).await;
    assert!(first == "OK" || first.contains("read-only"), "{first}");
    until_ill(&world.mainstay, "db", "down", "wrong_node", "read-only").await;
    world.assert_refuses("read-only").await;
    world.sql("alter system reset default_transaction_read_only").await;
    world.sql("select pg_reload_conf()").await;
    world.recovers().await;
}

#[tokio::test]
async fn too_many_connections_are_named_and_waited_out() {
    let mut world = World::start().await;
    world.sql("alter role app connection limit 0").await;
    world.terminate_backends().await;
    until_ill(&world.mainstay, "db", "down", "overloaded", "too many connections").await;
    world.assert_refuses("too many connections").await;
    world.sql("alter role app connection limit -1").await;
    world.recovers().await;
}

#[tokio::test]
async fn fewer_connections_than_the_pool_may_have_are_shared() {
    let world = World::start().await;
    world.sql("alter role app connection limit 2").await;
    world.terminate_backends().await;
    world.mainstay.wait_for("db", "up").await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "few connections").await;
    let_it_run(&load, "and again").await;
    nobody_noticed(&load.finish().await);
    world.sql("alter role app connection limit -1").await;
    world.recovers().await;
}

#[tokio::test]
async fn terminated_backends_are_replaced() {
    let world = World::start().await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "steady").await;
    for _ in 0..3 {
        world.terminate_backends().await;
        let_it_run(&load, "terminated").await;
    }
    nobody_was_misled(&load.finish().await);
    world.recovers().await;
}

#[tokio::test]
async fn a_role_that_may_not_log_in_is_named_and_an_operator_hastens_the_return() {
    let mut world = World::start().await;
    world.sql("alter role app nologin").await;
    world.terminate_backends().await;
    until_ill(&world.mainstay, "db", "down", "forbidden", "not permitted to log in").await;
    let isolated = |found: &serde_json::Value| found["breaker"]["state"] == "isolated";
    world.mainstay.until_backend("db", "isolated", isolated).await;
    world.assert_refuses("not permitted to log in").await;
    world.sql("alter role app login").await;
    world.mainstay.operator_auto("db").await;
    world.recovers().await;
}
