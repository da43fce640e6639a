//! Copies and the beacon on real servers: forgotten scripts, restarts, role changes, eviction.
//! Knows nothing of what the entries mean: that is the conformance suite's.

use super::*;
use mainstay::backend::ProbeDepth;
use mainstay::backend::semantics::copies::{self, Seen};
use mainstay::op::{Beacon, CopyOp, CopyValue};
use mainstay::{Effect, ErrorKind, Version};
use mainstay_testkit::proxy::Proxy;
use mainstay_testkit::servers::{Redis as Server, RedisCluster, RedisOptions};

fn keys(count: usize) -> Vec<Key> {
    (0..count).map(|number| Key::from(format!("copy:{number}").as_str())).collect()
}

fn copy(counter: u64) -> CopyValue {
    CopyValue {
        value: bytes::Bytes::from(counter.to_string()),
        version: Version { epoch: 1, counter },
        life: FOREVER,
        ttl: None,
    }
}

async fn perform(backend: &Redis, op: CopyOp) -> Result<Reply, Error> {
    backend.execute(&Op::Copy(op), within(FOREVER)).await
}

async fn beacon(backend: &Redis, raise: bool) -> Result<Beacon, Error> {
    let ask = |raise| perform(backend, CopyOp::Beacon { key: Key::from("beacon"), raise });
    let stands = ask(None).await?.into_beacon()?;
    if raise { ask(Some(stands.beacon)).await?.into_beacon() } else { Ok(stands) }
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, Effect) {
    let error = result.expect_err("a fault");
    (error.kind(), error.effect())
}

/// Marks and publishes each key once; false as soon as one call was performed twice, or not at all.
async fn write_all(backend: &Redis, keys: &[Key], nonce: u128) -> bool {
    let mark = CopyOp::Mark { keys: keys.to_vec(), nonce, life: FOREVER };
    perform(backend, mark).await.unwrap();
    for key in keys {
        let publish = CopyOp::Publish { key: key.clone(), nonce, copy: copy(7) };
        let stood = perform(backend, publish).await.unwrap().into_flags().unwrap();
        let held = get(backend, std::str::from_utf8(key.as_bytes()).unwrap()).await.unwrap();
        // With a mark placed twice the second one would still hide the value.
        if stood != [true] || !matches!(held.map(copies::read), Some(Seen::Value { .. })) {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_and_nothing_is_done_twice() {
    let server = Server::start().await.unwrap();
    let config = BackendConfig { connections: Some(3), ..BackendConfig::at(server.url()) };
    let backend = with(config);
    backend.connect(within(FOREVER)).await.unwrap();
    let keys = keys(50);
    for nonce in 1..=3 {
        assert!(write_all(&backend, &keys, nonce).await, "round {nonce}");
        server.redis_cli(&["SCRIPT", "FLUSH"]).await.unwrap();
    }
}

#[tokio::test]
async fn scripts_that_are_forgotten_all_the_time_are_found_again() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let all = keys(300);
    let other = redis::Client::open(server.url()).unwrap();
    let mut other = other.get_multiplexed_async_connection().await.unwrap();
    let flush = async {
        loop {
            let flushed: redis::RedisResult<()> =
                redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut other).await;
            flushed.unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let work = async {
        for nonce in 1..=5 {
            assert!(write_all(&backend, &all, nonce).await, "round {nonce}");
        }
    };
    tokio::select! { () = work => {} () = flush => {} }
}

#[tokio::test]
async fn marks_follow_a_cluster_and_its_forgotten_scripts() {
    let cluster = RedisCluster::start().await.unwrap();
    let backend = connected(cluster.url()).await;
    let mut all = keys(30);
    // Slot 12182, of the last node.
    all.push(Key::from("foo"));
    assert!(write_all(&backend, &all, 1).await);
    for node in cluster.nodes() {
        node.redis_cli(&["SCRIPT", "FLUSH"]).await.unwrap();
        node.redis_cli(&["FLUSHALL"]).await.unwrap();
    }
    cluster.move_slot(12182, 0).await.unwrap();
    assert!(write_all(&backend, &all, 2).await, "moved, and the scripts forgotten");
    let token = CopyOp::Token { keys: all.clone(), token: 3, life: FOREVER };
    let granted = perform(&backend, token).await.unwrap().into_flags().unwrap();
    assert_eq!(granted, vec![false; all.len()], "values stand there");
}

#[tokio::test]
async fn marks_ask_on_where_a_slot_is_on_the_move() {
    let cluster = RedisCluster::start().await.unwrap();
    let backend = connected(cluster.url()).await;
    let [to, _, from] = cluster.nodes() else { panic!("three nodes") };
    let to_id = to.redis_cli(&["CLUSTER", "MYID"]).await.unwrap();
    let from_id = from.redis_cli(&["CLUSTER", "MYID"]).await.unwrap();
    to.redis_cli(&["CLUSTER", "SETSLOT", "12182", "IMPORTING", &from_id]).await.unwrap();
    from.redis_cli(&["CLUSTER", "SETSLOT", "12182", "MIGRATING", &to_id]).await.unwrap();
    let mut all = keys(10);
    all.push(Key::from("foo"));
    assert!(write_all(&backend, &all, 1).await);
    let there = to.redis_cli(&["CLUSTER", "GETKEYSINSLOT", "12182", "10"]).await.unwrap();
    assert_eq!(there, "foo", "on the node that the slot goes to");
}

#[tokio::test]
async fn a_mark_in_flight_when_the_server_dies_may_stand() {
    let mut server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    server.stop();
    for many in [1, 5] {
        let token = CopyOp::Token { keys: keys(many), token: 1, life: FOREVER };
        let hasty = timely(&backend, &Op::Copy(token), Duration::from_millis(20)).await;
        assert_eq!(kind(hasty), (ErrorKind::Timeout, Effect::Unknown));
    }
    let mark = perform(&backend, CopyOp::Mark { keys: keys(5), nonce: 1, life: FOREVER });
    let death = async {
        // Polled after the mark, which has been handed over by then.
        tokio::task::yield_now().await;
        server.kill();
    };
    let (marked, ()) = tokio::join!(mark, death);
    assert_eq!(kind(marked), (ErrorKind::Disconnected, Effect::Unknown));
    let again = perform(&backend, CopyOp::Unmark { keys: keys(5), nonce: 1, clean: false }).await;
    assert_eq!(kind(again), (ErrorKind::Disconnected, Effect::None), "not sent any more");
}

#[tokio::test]
async fn a_mark_that_is_refused_for_some_keys_may_stand_for_others() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let keys = keys(3);
    server.redis_cli(&["RPUSH", "copy:1", "x"]).await.unwrap();
    let marked = perform(&backend, CopyOp::Mark { keys, nonce: 1, life: FOREVER }).await;
    assert_eq!(kind(marked), (ErrorKind::WrongType, Effect::Unknown));
    let alone = vec![Key::from("copy:1")];
    let marked = perform(&backend, CopyOp::Mark { keys: alone, nonce: 2, life: FOREVER }).await;
    assert_eq!(kind(marked), (ErrorKind::WrongType, Effect::None));
}

#[tokio::test]
async fn the_identity_is_new_after_a_restart_and_the_beacon_shows_a_rollback() {
    let mut server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let first = beacon(&backend, true).await.unwrap();
    server.snapshot().await.unwrap();
    let second = beacon(&backend, true).await.unwrap();
    assert_eq!((first.beacon, second.beacon), (1, 2));
    assert_eq!(first.identity, second.identity);
    assert_eq!(first.identity.len(), 81, "run_id and replication id: {}", first.identity);
    server.restart_from_snapshot().await.unwrap();
    until(async || backend.connect(within(FOREVER)).await.is_ok()).await;
    let third = beacon(&backend, false).await.unwrap();
    assert_eq!(third.beacon, 1, "rolled back");
    assert_ne!(third.identity, second.identity);
}

#[tokio::test]
async fn the_identity_is_new_after_a_promotion() {
    let primary = Server::start().await.unwrap();
    let options = RedisOptions { replica_of: Some(primary.port()), ..Default::default() };
    let replica = Server::start_with(options).await.unwrap();
    until(async || replica.redis_cli(&["ROLE"]).await.unwrap().contains("connected")).await;
    let backend = connected(primary.url()).await;
    let before = beacon(&backend, true).await.unwrap();
    until(async || replica.redis_cli(&["GET", "beacon"]).await.unwrap() == "1").await;
    replica.redis_cli(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    let promoted = connected(replica.url()).await;
    let after = beacon(&promoted, false).await.unwrap();
    assert_eq!(after.beacon, 1, "the same data");
    assert_ne!(after.identity, before.identity);
    // And back to master on the same run: another history.
    primary.redis_cli(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    primary.redis_cli(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    let again = connected(primary.url()).await;
    assert_ne!(beacon(&again, false).await.unwrap().identity, before.identity);
}

#[tokio::test]
async fn a_demoted_master_on_live_connections_is_noticed() {
    let server = Server::start().await.unwrap();
    let config = BackendConfig { connections: Some(4), ..BackendConfig::at(server.url()) };
    let backend = with(config);
    backend.connect(within(FOREVER)).await.unwrap();
    beacon(&backend, true).await.unwrap();
    server.redis_cli(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    assert_eq!(kind(beacon(&backend, false).await), (ErrorKind::WrongNode, Effect::None));
    assert_eq!(kind(beacon(&backend, false).await).0, ErrorKind::Disconnected, "given up");
}

#[tokio::test]
async fn connections_to_two_servers_are_noticed() {
    let (left, right) = (Server::start().await.unwrap(), Server::start().await.unwrap());
    let proxy = TwoFaced::start(left.port(), right.port()).await;
    let config = BackendConfig {
        connections: Some(4),
        ..BackendConfig::at(format!("redis://127.0.0.1:{}", proxy.port))
    };
    let backend = with(config);
    backend.connect(within(FOREVER)).await.unwrap();
    let (kind, _) = kind(beacon(&backend, false).await);
    assert_eq!(kind, ErrorKind::WrongNode);
    assert!(beacon(&backend, false).await.is_err(), "given up");
}

#[tokio::test]
async fn a_cluster_has_one_identity_of_all_its_masters() {
    let mut cluster = RedisCluster::start().await.unwrap();
    let backend = connected(cluster.url()).await;
    let first = beacon(&backend, true).await.unwrap();
    let again = connected(cluster.url()).await;
    let second = beacon(&again, true).await.unwrap();
    assert_eq!((first.beacon, second.beacon), (1, 2));
    assert_eq!(first.identity, second.identity);
    // Any of them, also one that does not hold the beacon.
    for node in 0..3 {
        let before = beacon(&again, false).await.unwrap().identity;
        cluster.nodes_mut()[node].restart().await.unwrap();
        cluster.wait_until_ok().await.unwrap();
        until(async || again.connect(within(FOREVER)).await.is_ok()).await;
        let after = beacon(&again, false).await.unwrap();
        assert_ne!(after.identity, before, "node {node}");
        assert_eq!(after.beacon, 2);
    }
}

#[tokio::test]
async fn eviction_is_reported() {
    for (memory, evicts) in [
        (None, false),
        (Some((64 << 20, "noeviction")), false),
        (Some((64 << 20, "allkeys-lru")), true),
        (Some((64 << 20, "volatile-ttl")), true),
    ] {
        let options = RedisOptions { max_memory: memory, ..Default::default() };
        let server = Server::start_with(options).await.unwrap();
        let backend = connected(server.url()).await;
        assert_eq!(beacon(&backend, false).await.unwrap().evicts, evicts, "{memory:?}");
        let report = backend.probe(ProbeDepth::Ping, within(FOREVER)).await.unwrap();
        let policy = memory.map_or("noeviction", |(_, policy)| policy).to_owned();
        assert!(report.facts.contains(&("maxmemory_policy", policy)), "{report:?}");
        // Cached, but not for ever.
        server.redis_cli(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
        backend.connect(within(FOREVER)).await.unwrap();
        assert!(!beacon(&backend, false).await.unwrap().evicts, "{memory:?}");
    }
}

#[tokio::test]
async fn a_raise_without_an_answer_may_have_been_applied() {
    let server = Server::start().await.unwrap();
    let proxy = Proxy::start(server.port()).await.unwrap();
    let backend = connected(proxy.url(&server.url(), server.port())).await;
    server.stop();
    let ask = |raise| Op::Copy(CopyOp::Beacon { key: Key::from("beacon"), raise });
    let hasty = timely(&backend, &ask(Some(0)), Duration::from_millis(20)).await;
    assert_eq!(kind(hasty), (ErrorKind::Timeout, Effect::Unknown));
    let hasty = timely(&backend, &ask(None), Duration::from_millis(20)).await;
    assert_eq!(kind(hasty), (ErrorKind::Timeout, Effect::None), "a read");
    server.cont();
    assert!(beacon(&backend, false).await.unwrap().beacon <= 1);
}
