//! The feed of changes on real servers: what it tells, and how it ends.
//! Knows nothing of who believes it.

use super::*;
use bytes::Bytes;
use mainstay::ErrorKind;
use mainstay::backend::{Feed, Told};
use mainstay::op::CopyOp;
use mainstay_testkit::servers::{Redis as Server, RedisCluster, RedisOptions, Sentinel};
use std::collections::BTreeSet;

/// With feeds that outlast a stall of the machine: most tests are not about silence.
async fn connected(url: impl Into<String>) -> Arc<Redis> {
    let backend = Arc::into_inner(self::backend(url)).expect("nobody else has it");
    let backend = Arc::new(backend.with_feed_patience(FOREVER));
    backend.connect(within(FOREVER)).await.expect("a server that is up");
    backend
}

async fn follow(backend: &Redis, prefix: &'static str) -> Result<Box<dyn Feed>, Error> {
    backend.follow(Bytes::from(prefix), within(FOREVER)).await
}

async fn next(feed: &mut Box<dyn Feed>) -> Result<Told, Error> {
    tokio::time::timeout(FOREVER, feed.next()).await.expect("news, or an end")
}

/// The keys told until a sign of life that was asked for after this call.
async fn told(feed: &mut Box<dyn Feed>) -> BTreeSet<Key> {
    let (begun, mut keys) = (Clock::system().now(), BTreeSet::new());
    loop {
        match next(feed).await.expect("news") {
            Told::Changed(more) => keys.extend(more),
            Told::UpTo(moment) if moment >= begun => return keys,
            Told::UpTo(_) => {}
            Told::All => panic!("nothing was flushed"),
        }
    }
}

async fn end(feed: &mut Box<dyn Feed>) -> ErrorKind {
    loop {
        if let Err(error) = next(feed).await {
            let again = next(feed).await.expect_err("it stays at its end");
            assert_eq!(again.kind(), error.kind());
            return error.kind();
        }
    }
}

fn set_of(keys: &[&str]) -> BTreeSet<Key> {
    keys.iter().map(|key| Key::from(*key)).collect()
}

#[tokio::test]
async fn changes_by_others_and_by_oneself_are_told_before_the_sign_of_life() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    assert_eq!(told(&mut feed).await, BTreeSet::new());
    server.redis_cli(&["SET", "copy:a", "1"]).await.unwrap();
    server.redis_cli(&["SET", "other", "1"]).await.unwrap();
    assert_eq!(told(&mut feed).await, set_of(&["copy:a"]));
    let keys = vec![Key::from("copy:b"), Key::from("copy:c")];
    let mark = Op::Copy(CopyOp::Mark { keys, nonce: 1, life: FOREVER });
    backend.execute(&mark, within(FOREVER)).await.unwrap();
    server.redis_cli(&["DEL", "copy:a"]).await.unwrap();
    assert_eq!(told(&mut feed).await, set_of(&["copy:a", "copy:b", "copy:c"]));
}

#[tokio::test]
async fn every_change_that_was_answered_is_told_in_a_crowd_of_writers() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let mut feed = follow(&backend, "").await.unwrap();
    let mut number = 0;
    for _ in 0..20 {
        let mut written = BTreeSet::new();
        let ops: Vec<Op> = (0..100)
            .map(|_| {
                number += 1;
                let key = format!("k{number}");
                written.insert(Key::from(key.as_str()));
                set_op(&key, "v")
            })
            .collect();
        let sets = ops.iter().map(|op| backend.execute(op, within(FOREVER)));
        for answer in futures_util::future::join_all(sets).await {
            answer.unwrap();
        }
        assert_eq!(told(&mut feed).await, written);
    }
}

#[tokio::test]
async fn a_flush_means_every_key() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    for flush in ["FLUSHALL", "FLUSHDB"] {
        server.redis_cli(&["SET", "copy:a", "1"]).await.unwrap();
        server.redis_cli(&[flush]).await.unwrap();
        while next(&mut feed).await.expect("news") != Told::All {}
    }
    assert_eq!(told(&mut feed).await, BTreeSet::new());
}

#[tokio::test]
async fn signs_of_life_go_on_and_rise() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    let mut last = Clock::system().now();
    for _ in 0..5 {
        // Dropped and asked again: nothing is lost by that.
        drop(tokio::time::timeout(Duration::from_millis(1), feed.next()).await);
        let Told::UpTo(moment) = next(&mut feed).await.unwrap() else { panic!("nothing changed") };
        assert!(moment > last && moment <= Clock::system().now());
        last = moment;
    }
}

#[tokio::test]
async fn a_sign_of_life_is_dated_when_it_was_asked_for() {
    let server = Server::start().await.unwrap();
    let backend = super::connected(server.url()).await;
    let silence = Duration::from_millis(300);
    // A machine that is busy may need more tries: the feed ends when nothing is heard for a second.
    for _ in 0..20 {
        let mut feed = follow(&backend, "copy:").await.unwrap();
        told(&mut feed).await;
        server.stop();
        // After as long a silence the question is on its way.
        while tokio::time::timeout(silence, feed.next()).await.is_ok_and(|told| told.is_ok()) {}
        let resumed = Clock::system().now();
        server.cont();
        if let Ok(told) = next(&mut feed).await {
            let Told::UpTo(moment) = told else { panic!("nothing changed, and {told:?}") };
            assert!(moment < resumed);
            return;
        }
    }
    panic!("the machine never let a feed live");
}

#[tokio::test]
async fn dropped_waits_lose_no_change() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let mut feed = follow(&backend, "").await.unwrap();
    let (mut seen, mut written) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..300 {
        let key = format!("k{number}");
        set(&backend, &key, "v").await.unwrap();
        written.insert(Key::from(key.as_str()));
        let waited = tokio::time::timeout(Duration::from_micros(100), feed.next()).await;
        if let Ok(Told::Changed(keys)) = waited.unwrap_or(Ok(Told::All)) {
            seen.extend(keys);
        }
    }
    seen.extend(told(&mut feed).await);
    assert_eq!(seen, written);
}

#[tokio::test]
async fn a_feed_that_nobody_reads_overflows() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let mut feed = follow(&backend, "").await.unwrap();
    for thousand in 0..11 {
        let entry = |number| (Key::from(format!("{thousand}/{number}").as_str()), "v".into());
        let entries = (0..1_000).map(entry).collect();
        let op = Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false };
        backend.execute(&op, within(FOREVER)).await.unwrap();
    }
    assert_eq!(end(&mut feed).await, ErrorKind::Overloaded);
}

#[tokio::test]
async fn a_killed_server_ends_the_feed() {
    let mut server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    told(&mut feed).await;
    server.kill();
    assert_eq!(end(&mut feed).await, ErrorKind::Disconnected);
    assert!(follow(&backend, "copy:").await.is_err());
}

#[tokio::test]
async fn a_stopped_server_ends_the_feed() {
    let server = Server::start().await.unwrap();
    let backend = super::connected(server.url()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    told(&mut feed).await;
    server.stop();
    assert_eq!(end(&mut feed).await, ErrorKind::Timeout);
    server.cont();
    assert_eq!(end(&mut feed).await, ErrorKind::Timeout, "for good");
    let hasty = async || backend.follow(Bytes::new(), within(Duration::from_millis(1))).await;
    server.stop();
    assert_eq!(hasty().await.expect_err("no answer").kind(), ErrorKind::Timeout);
    server.cont();
}

#[tokio::test]
async fn a_killed_connection_ends_the_feed_but_not_the_client() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    told(&mut feed).await;
    let clients = server.redis_cli(&["CLIENT", "LIST"]).await.unwrap();
    let line = clients.lines().find(|line| line.contains("flags=tB")).expect("one that follows");
    let id = line.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).unwrap();
    server.redis_cli(&["CLIENT", "KILL", "ID", id]).await.unwrap();
    assert_eq!(end(&mut feed).await, ErrorKind::Disconnected);
    set(&backend, "k", "v").await.unwrap();
}

#[tokio::test]
async fn another_server_is_not_followed() {
    let (left, right) = (Server::start().await.unwrap(), Server::start().await.unwrap());
    let proxy = TwoFaced::start(left.port(), right.port()).await;
    let backend = connected(format!("redis://127.0.0.1:{}", proxy.port)).await;
    let other = follow(&backend, "copy:").await.expect_err("the second connection leads elsewhere");
    assert_eq!(other.kind(), ErrorKind::WrongNode);
    follow(&backend, "copy:").await.expect("the third leads back");
}

#[tokio::test]
async fn a_replica_is_not_followed_and_a_restarted_server_is_followed_anew() {
    let mut server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    told(&mut feed).await;
    server.redis_cli(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    let replica = follow(&backend, "copy:").await.expect_err("a replica");
    assert_eq!(replica.kind(), ErrorKind::WrongNode);
    server.redis_cli(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    server.restart_empty().await.unwrap();
    assert_eq!(end(&mut feed).await, ErrorKind::Disconnected);
    until(async || backend.connect(within(FOREVER)).await.is_ok()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    told(&mut feed).await;
}

#[tokio::test]
async fn behind_sentinels_and_tls_and_sockets() {
    let sentinel = Sentinel::start_with(steady()).await.unwrap();
    let backend = connected(sentinel.url()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    sentinel.primary.redis_cli(&["SET", "copy:a", "1"]).await.unwrap();
    assert_eq!(told(&mut feed).await, set_of(&["copy:a"]));

    let options = RedisOptions {
        tls: true,
        password: Some("secret".to_owned()),
        unix_socket: true,
        ..Default::default()
    };
    let server = Server::start_with(options).await.unwrap();
    let url = format!("{}?tls_ca_file={}", server.url(), server.ca_path().display());
    let backend = connected(url).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    set(&backend, "copy:a", "1").await.unwrap();
    assert_eq!(told(&mut feed).await, set_of(&["copy:a"]));

    let options = RedisOptions { unix_socket: true, ..Default::default() };
    let server = Server::start_with(options).await.unwrap();
    let backend = connected(server.unix_url()).await;
    let mut feed = follow(&backend, "copy:").await.unwrap();
    set(&backend, "copy:a", "1").await.unwrap();
    assert_eq!(told(&mut feed).await, set_of(&["copy:a"]));
}

#[tokio::test]
async fn where_there_is_no_feed() {
    let server = Server::start().await.unwrap();
    let backend = connected(format!("{}?protocol=2", server.url())).await;
    let refused = follow(&backend, "copy:").await.expect_err("no RESP3");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let unconnected = self::backend(server.url());
    let refused = follow(&unconnected, "copy:").await.expect_err("not connected");
    assert_eq!(refused.kind(), ErrorKind::OutOfUse);
    let cluster = RedisCluster::start().await.unwrap();
    let backend = connected(cluster.url()).await;
    let refused = follow(&backend, "copy:").await.expect_err("a cluster");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}
