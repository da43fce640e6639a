//! What the adapter says, and what it gives up, when servers die, hang, change roles or refuse.
//! Knows nothing of what the guard makes of it.

use super::*;
use mainstay::backend::ProbeDepth;
use mainstay::{Effect, ErrorKind, TtlChange};
use mainstay_testkit::proxy::{Proxy, Toxics};
use mainstay_testkit::servers::{Redis as Server, RedisCluster, RedisOptions, Sentinel};

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, Effect) {
    let error = result.expect_err("a fault");
    (error.kind(), error.effect())
}

#[tokio::test]
async fn a_killed_server_fails_fast_until_it_is_connected_again() {
    let mut server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    set(&backend, "k", "v").await.unwrap();
    server.kill();
    // The reader of the connection notices by itself; a write that is not sent any more has no effect.
    until(async || kind(set(&backend, "k", "w").await) == (ErrorKind::Disconnected, Effect::None))
        .await;
    assert_eq!(kind(get(&backend, "k").await), (ErrorKind::Disconnected, Effect::None));
    let refused = backend.connect(within(FOREVER)).await;
    assert_eq!(kind(refused), (ErrorKind::Disconnected, Effect::None));
    server.restart().await.unwrap();
    assert_eq!(kind(get(&backend, "k").await).0, ErrorKind::Disconnected, "not by itself");
    backend.connect(within(FOREVER)).await.unwrap();
    assert_eq!(get(&backend, "k").await.unwrap(), None);
}

#[tokio::test]
async fn a_write_in_flight_when_the_server_dies_may_have_been_applied() {
    let mut server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    server.stop();
    let write = set(&backend, "k", "v");
    let death = async {
        // Polled after the write, which has been handed over by then.
        tokio::task::yield_now().await;
        server.kill();
    };
    let (written, ()) = tokio::join!(write, death);
    assert_eq!(kind(written), (ErrorKind::Disconnected, Effect::Unknown));
}

#[tokio::test]
async fn three_silences_in_a_row_give_the_connection_up() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    server.stop();
    let op = set_op("k", "v");
    let patience = Duration::from_millis(150);
    for _ in 0..3 {
        let silent = timely(&backend, &op, patience).await;
        assert_eq!(kind(silent), (ErrorKind::Timeout, Effect::Unknown));
    }
    assert_eq!(kind(set(&backend, "k", "v").await), (ErrorKind::Disconnected, Effect::None));
    // The kernel accepts the connection; the handshake does not end.
    let hanging = backend.connect(within(patience)).await;
    assert_eq!(kind(hanging), (ErrorKind::Timeout, Effect::None));
    server.cont();
    backend.connect(within(FOREVER)).await.unwrap();
    set(&backend, "k", "v").await.unwrap();
}

#[tokio::test]
async fn a_callers_short_deadline_does_not_cost_the_connection() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    server.stop();
    let op = Op::Get { key: Key::from("k"), with_ttl: false };
    for _ in 0..10 {
        let hasty = timely(&backend, &op, Duration::from_millis(1)).await;
        let (kind, effect) = kind(hasty);
        assert!(matches!(kind, ErrorKind::Timeout | ErrorKind::DeadlineExceeded), "{kind:?}");
        assert_eq!(effect, Effect::None, "a read");
    }
    server.cont();
    assert_eq!(get(&backend, "k").await.unwrap(), None);
}

#[tokio::test]
async fn a_reset_connection_and_a_black_hole() {
    let server = Server::start().await.unwrap();
    let proxy = Proxy::start(server.port()).await.unwrap();
    let backend = connected(proxy.url(&server.url(), server.port())).await;
    proxy.cut().await;
    until(async || get(&backend, "k").await.is_err()).await;
    assert_eq!(kind(get(&backend, "k").await), (ErrorKind::Disconnected, Effect::None));
    proxy.set(Toxics::black_hole()).await;
    let hole = backend.connect(within(Duration::from_millis(150))).await;
    assert_eq!(kind(hole), (ErrorKind::Timeout, Effect::None));
    proxy.heal().await;
    backend.connect(within(FOREVER)).await.unwrap();
    assert_eq!(get(&backend, "k").await.unwrap(), None);
}

#[tokio::test]
async fn a_demoted_primary_is_the_wrong_node() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    server.redis_cli(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    assert_eq!(kind(set(&backend, "k", "v").await), (ErrorKind::WrongNode, Effect::None));
    assert_eq!(kind(set(&backend, "k", "v").await), (ErrorKind::Disconnected, Effect::None));
    let replica = backend.connect(within(FOREVER)).await;
    assert_eq!(kind(replica), (ErrorKind::WrongNode, Effect::None));
    server.redis_cli(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    backend.connect(within(FOREVER)).await.unwrap();
    // Again within three seconds: the error stays, the connection too.
    server.redis_cli(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    for _ in 0..3 {
        assert_eq!(kind(set(&backend, "k", "v").await), (ErrorKind::WrongNode, Effect::None));
    }
    let probe = backend.probe(ProbeDepth::Ping, within(FOREVER)).await;
    assert_eq!(kind(probe), (ErrorKind::WrongNode, Effect::None));
}

#[tokio::test]
async fn a_failover_is_followed_through_the_sentinels() {
    let options = SentinelOptions::default();
    let mut sentinel = Sentinel::start_with(options).await.unwrap();
    let backend = connected(sentinel.url()).await;
    set(&backend, "k", "before").await.unwrap();
    sentinel.primary.kill();
    sentinel.wait_for_failover().await.unwrap();
    until(async || backend.connect(within(FOREVER)).await.is_ok()).await;
    set(&backend, "k", "after").await.unwrap();
    assert_eq!(sentinel.replica.redis_cli(&["GET", "k"]).await.unwrap(), "after");
    let other = self::backend(sentinel.url().replace("/mainstay", "/another"));
    let unknown = other.connect(within(FOREVER)).await;
    assert_eq!(kind(unknown), (ErrorKind::Misconfigured, Effect::None));
}

/// `foo` and its slot, which is one of the last node's.
const SLOT: u16 = 12182;

#[tokio::test]
async fn a_moved_slot_is_followed() {
    let cluster = RedisCluster::start().await.unwrap();
    let backend = connected(cluster.url()).await;
    cluster.move_slot(SLOT, 0).await.unwrap();
    set(&backend, "foo", "moved").await.unwrap();
    assert_eq!(cluster.nodes()[0].redis_cli(&["GET", "foo"]).await.unwrap(), "moved");
    assert_eq!(get(&backend, "foo").await.unwrap().as_deref(), Some(&b"moved"[..]));
    backend.probe(ProbeDepth::WriteRead, within(FOREVER)).await.unwrap();
}

#[tokio::test]
async fn a_slot_on_the_move_is_asked_for_where_it_goes() {
    let cluster = RedisCluster::start().await.unwrap();
    let backend = connected(cluster.url()).await;
    let [to, _, from] = cluster.nodes() else { panic!("three nodes") };
    let (to_id, from_id) = (
        to.redis_cli(&["CLUSTER", "MYID"]).await.unwrap(),
        from.redis_cli(&["CLUSTER", "MYID"]).await.unwrap(),
    );
    let slot = SLOT.to_string();
    to.redis_cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await.unwrap();
    from.redis_cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await.unwrap();
    set(&backend, "foo", "ahead").await.unwrap();
    assert_eq!(get(&backend, "foo").await.unwrap().as_deref(), Some(&b"ahead"[..]));
    let there = to.redis_cli(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]).await.unwrap();
    assert_eq!(there, "foo", "on the node that the slot goes to");
    let condition = Condition::ValueIs("ahead".into());
    let delete = Op::Delete { key: Key::from("foo"), condition, want_previous: false };
    let deleted = backend.execute(&delete, within(FOREVER)).await.unwrap().into_written().unwrap();
    assert!(deleted.applied, "scripts go the same way");
}

#[tokio::test]
async fn a_lost_node_of_a_cluster_costs_its_keys_only() {
    let mut cluster = RedisCluster::start().await.unwrap();
    for node in cluster.nodes() {
        let partly = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        node.redis_cli(&partly).await.unwrap();
    }
    let backend = connected(cluster.url()).await;
    cluster.nodes_mut()[2].kill();
    until(async || kind(set(&backend, "foo", "v").await).0 == ErrorKind::Disconnected).await;
    assert_eq!(kind(set(&backend, "foo", "v").await), (ErrorKind::Disconnected, Effect::None));
    // The first node's.
    set(&backend, "bar", "v").await.unwrap();
    let probe = backend.probe(ProbeDepth::Ping, within(FOREVER)).await;
    assert_eq!(kind(probe).0, ErrorKind::Disconnected);
    cluster.nodes_mut()[2].restart().await.unwrap();
    until(async || backend.connect(within(FOREVER)).await.is_ok()).await;
    set(&backend, "foo", "v").await.unwrap();
}

#[tokio::test]
async fn refusals_have_their_kinds_and_no_effect() {
    let options = RedisOptions {
        password: Some("secret".to_owned()),
        max_memory: Some((2 << 20, "noeviction")),
        ..Default::default()
    };
    let server = Server::start_with(options).await.unwrap();
    let stranger = self::backend(format!("redis://127.0.0.1:{}", server.port()));
    let refused = stranger.connect(within(FOREVER)).await;
    assert_eq!(kind(refused), (ErrorKind::Forbidden, Effect::None));
    let wrong = self::backend(format!("redis://:guess@127.0.0.1:{}?protocol=2", server.port()));
    let refused = wrong.connect(within(FOREVER)).await;
    assert_eq!(kind(refused), (ErrorKind::Forbidden, Effect::None));

    let backend = connected(server.url()).await;
    server.redis_cli(&["RPUSH", "list", "x"]).await.unwrap();
    assert_eq!(kind(get(&backend, "list").await), (ErrorKind::WrongType, Effect::None));
    server.redis_cli(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    assert_eq!(kind(set(&backend, "k", "v").await), (ErrorKind::StorageFull, Effect::None));
    let entries = vec![(Key::from("a"), "1".into()), (Key::from("b"), "2".into())];
    let many = Op::SetMany { entries, ttl: TtlChange::For(FOREVER), all_absent: false };
    let refused = backend.execute(&many, within(FOREVER)).await;
    assert_eq!(kind(refused), (ErrorKind::StorageFull, Effect::None), "in a transaction");
    assert_eq!(get(&backend, "k").await.unwrap(), None, "reads go on");
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    for expected in 1..=3 {
        let append = Op::Append { key: Key::from("k"), value: "x".into() };
        let reply = backend.execute(&append, within(FOREVER)).await.unwrap();
        let written = reply.into_written().unwrap();
        assert_eq!(written.outcome, mainstay::Outcome::Integer(expected));
        server.redis_cli(&["SCRIPT", "FLUSH"]).await.unwrap();
    }
}

#[tokio::test]
async fn probes_tell_who_answered_and_leave_no_trace() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let report = backend.probe(ProbeDepth::WriteRead, within(FOREVER)).await.unwrap();
    let names: Vec<&str> = report.facts.iter().map(|(name, _)| *name).collect();
    let expected = [
        "version",
        "mode",
        "role",
        "run_id",
        "replication_id",
        "maxmemory",
        "maxmemory_policy",
        "persistence",
    ];
    assert_eq!(names, expected);
    assert_eq!(server.redis_cli(&["DBSIZE"]).await.unwrap(), "1");
    let count = Op::Count { prefix: bytes::Bytes::new() };
    let count = backend.execute(&count, within(FOREVER)).await.unwrap();
    assert_eq!(count.into_integer().unwrap(), 0);
    let scan = Op::Scan { prefix: bytes::Bytes::new(), cursor: None, limit: 10 };
    let page = backend.execute(&scan, within(FOREVER)).await.unwrap().into_page().unwrap();
    assert!(page.keys.is_empty() && page.next.is_none(), "{page:?}");
}
