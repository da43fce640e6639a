//! Many calls at once on one connection: what travels as one command, and what each caller is told.
//! Knows nothing of how batches are formed.

use futures_util::future::join_all;
use mainstay::backend::{Backend, redis::Redis};
use mainstay::{Effect, Error, ErrorKind, Key, Op, Reply};
use mainstay_testkit::servers::Redis as Server;

use super::{FOREVER, connected, get, set, within};

const CALLERS: usize = 200;

fn names() -> Vec<String> {
    (0..CALLERS).map(|number| format!("k{number}")).collect()
}

async fn set_all(backend: &Redis, value: &'static str) -> Vec<Result<Reply, Error>> {
    join_all(names().iter().map(|key| set(backend, key, value))).await
}

async fn assert_all_hold(backend: &Redis, value: &'static str) {
    for held in join_all(names().iter().map(|key| get(backend, key))).await {
        assert_eq!(held.unwrap().as_deref(), Some(value.as_bytes()));
    }
}

/// How often the server performed a command.
async fn performed(server: &Server, command: &str) -> usize {
    let info = server.redis_cli(&["INFO", "commandstats"]).await.unwrap();
    let prefix = format!("cmdstat_{command}:calls=");
    let line = info.lines().find_map(|line| line.strip_prefix(&prefix));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn sets_and_gets_of_a_crowd_are_few_commands() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    for answer in set_all(&backend, "v").await {
        assert!(answer.unwrap().into_written().unwrap().applied);
    }
    assert_all_hold(&backend, "v").await;
    for (one, many) in [("set", "mset"), ("get", "mget")] {
        let (one, many) = (performed(&server, one).await, performed(&server, many).await);
        assert!(one < CALLERS / 4, "{one} of {CALLERS} went alone");
        assert!((1..=CALLERS / 4).contains(&many), "{many} commands");
    }
}

#[tokio::test]
async fn a_set_keeps_no_expiry_that_was_there() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    let with_expiry = ["k7", "k150"];
    for key in with_expiry {
        server.redis_cli(&["SET", key, "old", "EX", "1000"]).await.unwrap();
    }
    for answer in set_all(&backend, "new").await {
        answer.unwrap();
    }
    assert_all_hold(&backend, "new").await;
    for key in with_expiry {
        assert_eq!(server.redis_cli(&["TTL", key]).await.unwrap().trim(), "-1");
    }
}

#[tokio::test]
async fn who_may_set_one_key_but_not_many_at_once_sets_all_of_them() {
    let server = Server::start().await.unwrap();
    let rule = ["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-mset", "-mget"];
    server.redis_cli(&rule).await.unwrap();
    let url = server.url().replace("redis://", "redis://app:secret@");
    let backend = connected(url).await;
    for value in ["1", "2"] {
        for answer in set_all(&backend, value).await {
            answer.unwrap();
        }
        assert_all_hold(&backend, value).await;
    }
    assert_eq!(performed(&server, "mset").await, 0);
}

#[tokio::test]
async fn who_may_not_read_many_at_once_reads_each_and_asks_again_only_later() {
    let server = Server::start().await.unwrap();
    let rule = ["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-mget"];
    server.redis_cli(&rule).await.unwrap();
    server.redis_cli(&["SET", "a", "1"]).await.unwrap();
    server.redis_cli(&["LPUSH", "list", "x"]).await.unwrap();
    let backend = connected(server.url().replace("redis://", "redis://app:secret@")).await;
    let keys = ["a", "none", "list", "a"].map(Key::from).to_vec();
    for _ in 0..20 {
        let op = Op::GetMany { keys: keys.clone() };
        let reply = backend.execute(&op, within(FOREVER)).await.unwrap();
        let records = reply.into_records().unwrap();
        let values: Vec<_> = records.into_iter().map(|found| found.map(|one| one.value)).collect();
        assert_eq!(values, [Some("1".into()), None, None, Some("1".into())]);
    }
    assert_eq!((performed(&server, "mget").await, performed(&server, "get").await), (0, 80));
    let info = server.redis_cli(&["INFO", "commandstats"]).await.unwrap();
    let refused = info.lines().find(|line| line.starts_with("cmdstat_mget:")).unwrap();
    assert!(refused.contains("rejected_calls=2,"), "{refused}");
}

#[tokio::test]
async fn where_there_is_no_memory_each_is_told_and_nothing_was_set() {
    let server = Server::start().await.unwrap();
    let backend = connected(server.url()).await;
    server.redis_cli(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    for answer in set_all(&backend, "v").await {
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::StorageFull, Effect::None));
    }
    assert_eq!(server.redis_cli(&["DBSIZE"]).await.unwrap().trim(), "0");
}
