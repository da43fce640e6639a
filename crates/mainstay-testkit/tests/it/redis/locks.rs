//! What a server may have forgotten, as a voter on locks.
//! Knows nothing of who counts the votes.

use super::{connected, within};
use mainstay::backend::Backend;
use mainstay::backend::redis::Redis as Adapter;
use mainstay::op::{Counting, Ground, LockOp, Member};
use mainstay::reply::Locked;
use mainstay_testkit::servers::Redis;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

async fn locked(backend: &Adapter, op: LockOp) -> Locked {
    backend.execute(&op.into(), within(SOON)).await.unwrap().into_locked().unwrap()
}

async fn member(backend: &Adapter) -> Member {
    let op = LockOp::Member { id: rand::random() };
    backend.execute(&op.into(), within(SOON)).await.unwrap().into_member().unwrap()
}

async fn admit(backend: &Adapter, identity: &str) -> bool {
    let op = LockOp::Admit { identity: identity.to_owned(), floor: 0 };
    matches!(locked(backend, op).await, Locked::Granted { .. })
}

async fn votes(backend: &Adapter, name: &str) -> bool {
    let op = LockOp::Acquire {
        name: name.into(),
        holder: rand::random(),
        ttl: SOON,
        counting: Counting::Later,
        note: String::new(),
        ground: Ground::Member,
        waiter: None,
    };
    matches!(locked(backend, op).await, Locked::Granted { .. })
}

#[tokio::test]
async fn an_emptied_or_restarted_server_is_another_and_one_that_may_evict_does_not_vote() {
    let mut server = Redis::start().await.unwrap();
    let backend = connected(server.url()).await;
    let first = member(&backend).await;
    assert!(!first.admitted && !votes(&backend, "a").await);
    assert!(admit(&backend, &first.identity).await && votes(&backend, "a").await);
    assert_eq!(member(&backend).await.identity, first.identity);

    server.redis_cli(&["flushall"]).await.unwrap();
    assert!(!votes(&backend, "b").await && !admit(&backend, &first.identity).await);
    let emptied = member(&backend).await;
    assert!(emptied.identity != first.identity && !emptied.admitted);
    assert!(admit(&backend, &emptied.identity).await && votes(&backend, "b").await);

    server.snapshot().await.unwrap();
    server.restart_from_snapshot().await.unwrap();
    let backend = connected(server.url()).await;
    assert!(!votes(&backend, "c").await, "what it was admitted as it is no more");
    let restarted = member(&backend).await;
    assert!(restarted.identity != emptied.identity && !restarted.admitted);
    assert!(admit(&backend, &restarted.identity).await && votes(&backend, "c").await);

    for setting in [["maxmemory", "100mb"], ["maxmemory-policy", "allkeys-lru"]] {
        server.redis_cli(&["config", "set", setting[0], setting[1]]).await.unwrap();
    }
    assert!(!member(&backend).await.admitted && !votes(&backend, "d").await);
    assert!(!admit(&backend, &restarted.identity).await, "not while it may evict");
}
