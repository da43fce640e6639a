//! Only Redis is ill: no client of a record route notices.

use mainstay_testkit::{
    load::Value,
    servers::{Redis, RedisOptions},
};

use super::{World, let_it_run, light_load, nobody_noticed, until_ill};
use crate::process::until;

#[tokio::test]
async fn a_changed_password_is_named_and_recovered_from_without_a_person_at_mainstay() {
    let options = RedisOptions { password: Some("old".to_owned()), ..RedisOptions::default() };
    let mut world = World::start(options).await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "steady").await;
    world.tell_redis(&["CONFIG", "SET", "requirepass", "new"]).await;
    world.cut_other_clients().await;
    until_ill(&world.mainstay, "redis", "down", "forbidden", "WRONGPASS").await;
    let_it_run(&load, "the password is wrong").await;
    world.tell_redis(&["CONFIG", "SET", "requirepass", "old"]).await;
    world.mainstay.wait_for("redis", "up").await;
    let_it_run(&load, "corrected").await;
    nobody_noticed(&load.finish().await);
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn a_new_password_is_named_and_an_operator_hastens_the_return() {
    let mut world = World::start(RedisOptions::default()).await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "steady").await;
    world.tell_redis(&["CONFIG", "SET", "requirepass", "secret"]).await;
    world.cut_other_clients().await;
    until_ill(&world.mainstay, "redis", "down", "forbidden", "NOAUTH").await;
    let isolated = |found: &serde_json::Value| found["breaker"]["state"] == "isolated";
    world.mainstay.until_backend("redis", "isolated", isolated).await;
    let_it_run(&load, "isolated").await;
    world.tell_redis(&["CONFIG", "SET", "requirepass", ""]).await;
    world.mainstay.operator_auto("redis").await;
    world.mainstay.wait_for("redis", "up").await;
    nobody_noticed(&load.finish().await);
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn a_permission_taken_away_is_named_and_comes_back() {
    let mut world = World::start(RedisOptions::default()).await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "steady").await;
    world.tell_redis(&["ACL", "SETUSER", "default", "-@write", "-@read"]).await;
    until_ill(&world.mainstay, "redis", "degraded", "forbidden", "NOPERM").await;
    let_it_run(&load, "no permission").await;
    world.tell_redis(&["ACL", "SETUSER", "default", "+@all"]).await;
    world.mainstay.operator_auto("redis").await;
    world.mainstay.wait_for("redis", "up").await;
    world.mainstay.until_cached("load:4").await;
    nobody_noticed(&load.finish().await);
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn a_replica_is_not_used_until_it_is_promoted() {
    let primary = Redis::start().await.unwrap();
    let mut world = World::start(RedisOptions::default()).await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "steady").await;
    // The other one holds copies that grow old.
    let port = world.redis.port().to_string();
    primary.redis_cli(&["REPLICAOF", "127.0.0.1", &port]).await.unwrap();
    until("the other one to hold the copies", async || {
        let info = primary.redis_cli(&["INFO", "replication"]).await.unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    primary.redis_cli(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    let_it_run(&load, "steady still").await;
    // Until it is known to be a replica its copies are believed: they are replaced by the old ones only then.
    let delay = ["CONFIG", "SET", "repl-diskless-sync-delay"];
    primary.redis_cli(&[&delay[..], &["3600"]].concat()).await.unwrap();
    world.tell_redis(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]).await;
    until_ill(&world.mainstay, "redis", "down", "wrong_node", "replica").await;
    primary.redis_cli(&[&delay[..], &["0"]].concat()).await.unwrap();
    until("the old copies to be there", async || {
        let info = world.redis.redis_cli(&["INFO", "replication"]).await.unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    let_it_run(&load, "a replica").await;
    world.tell_redis(&["REPLICAOF", "NO", "ONE"]).await;
    world.mainstay.wait_for("redis", "up").await;
    let_it_run(&load, "promoted").await;
    nobody_noticed(&load.finish().await);
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn a_loading_server_is_waited_for() {
    let debug = ("enable-debug-command".to_owned(), "yes".to_owned());
    let options = RedisOptions { settings: vec![debug], ..RedisOptions::default() };
    let mut world = World::start(options).await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "steady").await;
    world.tell_redis(&["DEBUG", "POPULATE", "3000"]).await;
    world.tell_redis(&["CONFIG", "SET", "loading-process-events-interval-bytes", "1024"]).await;
    // Microseconds for each key: long enough to be seen.
    world.tell_redis(&["CONFIG", "SET", "key-load-delay", "1000"]).await;
    let World { operator, mainstay, .. } = &mut world;
    let reload = async { operator.command(&[b"DEBUG", b"RELOAD"]).await.unwrap() };
    let meanwhile = async {
        until_ill(mainstay, "redis", "down", "not_ready", "LOADING").await;
        let_it_run(&load, "loading").await;
    };
    let (loaded, ()) = tokio::join!(reload, meanwhile);
    assert_eq!(loaded, Value::Simple("OK".to_owned()));
    mainstay.wait_for("redis", "up").await;
    let_it_run(&load, "loaded").await;
    nobody_noticed(&load.finish().await);
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn a_full_memory_is_named_and_copies_are_served_on() {
    let mut world = World::start(RedisOptions::default()).await;
    let mut client = world.mainstay.client().await;
    assert_eq!(client.text(&["SET", "before", "1"]).await, "OK");
    world.mainstay.until_cached("before").await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "steady").await;
    world.tell_redis(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    until_ill(&world.mainstay, "redis", "degraded", "storage_full", "OOM").await;
    let_it_run(&load, "no memory").await;
    world.mainstay.until_cached("before").await;
    assert_eq!(client.text(&["SET", "meanwhile", "2"]).await, "OK");
    assert_eq!(client.text(&["GET", "meanwhile"]).await, "2");
    let closed = |found: &serde_json::Value| found["breaker"]["state"] == "closed";
    world.mainstay.until_backend("redis", "served from, its breaker closed", closed).await;
    world.tell_redis(&["CONFIG", "SET", "maxmemory", "0"]).await;
    world.mainstay.wait_for("redis", "up").await;
    world.mainstay.until_cached("meanwhile").await;
    nobody_noticed(&load.finish().await);
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn no_room_for_another_client_is_named_and_waited_out() {
    let mut world = World::start(RedisOptions::default()).await;
    let load = light_load(&world.mainstay);
    let_it_run(&load, "steady").await;
    world.tell_redis(&["CONFIG", "SET", "maxclients", "1"]).await;
    world.cut_other_clients().await;
    until_ill(&world.mainstay, "redis", "down", "overloaded", "max number of clients").await;
    let_it_run(&load, "no room").await;
    world.tell_redis(&["CONFIG", "SET", "maxclients", "1000"]).await;
    world.mainstay.wait_for("redis", "up").await;
    let_it_run(&load, "room").await;
    nobody_noticed(&load.finish().await);
    world.mainstay.terminate().await;
}

#[tokio::test]
async fn a_server_that_comes_back_with_an_older_dump_serves_nothing_old() {
    let mut world = World::start(RedisOptions::default()).await;
    let mut client = world.mainstay.client().await;
    assert_eq!(client.text(&["SET", "k", "1"]).await, "OK");
    world.mainstay.until_cached("k").await;
    world.redis.snapshot().await.unwrap();
    assert_eq!(client.text(&["SET", "k", "2"]).await, "OK");
    world.redis.restart_from_snapshot().await.unwrap();
    let back = |found: &serde_json::Value| {
        found["health"] == "up" && found["reconnect"]["reconnects_total"].as_u64() >= Some(1)
    };
    world.mainstay.until_backend("redis", "reconnected", back).await;
    assert_eq!(client.text(&["GET", "k"]).await, "2");
    world.mainstay.until_cached("k").await;
    assert_eq!(client.text(&["GET", "k"]).await, "2");
    world.mainstay.terminate().await;
}
