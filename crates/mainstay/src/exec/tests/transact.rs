//! Several keys read, decided on and changed in one step: through outages, against others, and never twice.

use super::*;
use crate::{
    Key, Ttl,
    op::Change,
    storage::{Decision, Snapshot},
};

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| Key::from(*name)).collect()
}

fn number(read: &Snapshot, key: &Key) -> u64 {
    let record = read[key].as_ref();
    record.map_or(0, |record| String::from_utf8_lossy(&record.value).parse().unwrap())
}

fn put(key: &Key, value: impl ToString) -> (Key, Change) {
    (key.clone(), Change::Put { value: value.to_string().into(), ttl: TtlChange::Keep })
}

/// Adds one to each; what the first holds now.
async fn count_up(storage: &Storage, names: &[&str]) -> Result<u64> {
    let counted = keys(names);
    let work = async |read: Snapshot| {
        let changes = counted.iter().map(|key| put(key, number(&read, key) + 1)).collect();
        Ok(Decision { changes, output: number(&read, &counted[0]) + 1 })
    };
    storage.transact(counted.clone(), work).await
}

#[tokio::test(start_paused = true)]
async fn counting_together_loses_nothing_on_any_route() {
    for route in [record_route(), failover_route()] {
        let world = world(route).await;
        let counting = (0..8).map(async |_| {
            for _ in 0..5 {
                count_up(&world.storage, &["a", "b"]).await.unwrap();
            }
        });
        futures_util::future::join_all(counting).await;
        for key in ["a", "b"] {
            assert_eq!(world.value(key).await.as_deref(), Some("40"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_is_what_the_record_holds_and_copies_follow() {
    let world = world(record_route()).await;
    world.storage.set("a", "1").await.unwrap();
    world.until_cached("a").await;
    world.cache.is(REFUSES);
    world.until("cache", Health::Down).await;
    assert_eq!(count_up(&world.storage, &["a", "b"]).await.unwrap(), 2);
    assert_eq!(world.value("a").await.as_deref(), Some("2"));
    world.cache.is(WELL);
    world.until("cache", Health::Up).await;
    assert_eq!(world.value("a").await.as_deref(), Some("2"));
    world.until_cached("a").await;
    assert_eq!(count_up(&world.storage, &["a", "b"]).await.unwrap(), 3);
    assert_eq!(world.value("a").await.as_deref(), Some("3"));
    assert_eq!(world.value("b").await.as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_read_only_decision_commits_nothing() {
    let world = world(record_route()).await;
    let ttl = TtlChange::For(Duration::from_secs(60));
    let options = crate::SetOptions { ttl, ..crate::SetOptions::default() };
    let written = world.storage.set_with("a", "1", options).await.unwrap();
    let look = async |read: Snapshot| {
        let left = read[&Key::from("a")].as_ref().and_then(|record| record.ttl);
        assert!(left.is_some_and(|left| left <= Duration::from_secs(60)));
        Ok(Decision { changes: Vec::new(), output: number(&read, &"a".into()) })
    };
    assert_eq!(world.storage.transact(keys(&["a", "b", "a"]), look).await.unwrap(), 1);
    let entry = world.storage.get("a").await.unwrap().unwrap();
    assert_eq!(entry.version, written.version);
    assert_eq!(count_up(&world.storage, &["a"]).await.unwrap(), 2);
    assert!(matches!(world.storage.time_to_live("a").await.unwrap(), Ttl::Left(_)), "kept");
}

#[tokio::test(start_paused = true)]
async fn changes_that_may_have_been_made_are_never_made_again() {
    let world = world(record_route()).await;
    count_up(&world.storage, &["a"]).await.unwrap();
    world.record.is(BREAKS);
    let error = count_up(&world.storage, &["a"]).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
    assert_eq!(world.record.holds("a").await.as_deref(), Some(&b"2"[..]));
    world.record.is(REFUSES);
    let error = count_up(&world.storage, &["a"]).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None));
}

#[tokio::test(start_paused = true)]
async fn keys_that_never_rest_are_a_conflict_in_the_end() {
    let world = world(record_route()).await;
    let mut rounds = 0;
    let key = Key::from("a");
    let work = |read: Snapshot| {
        rounds += 1;
        let world = &world;
        let key = key.clone();
        async move {
            world.storage.increment("a", 1).await?;
            Ok(Decision { changes: vec![put(&key, number(&read, &key))], output: () })
        }
    };
    let error = world.storage.transact([key.clone()], work).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::None));
    assert!(rounds > 10, "{rounds}");
    assert_eq!(world.value("a").await, Some(rounds.to_string()), "none of the changes was made");
}

#[tokio::test(start_paused = true)]
async fn only_keys_of_one_route_that_were_read_are_changed() {
    let (cache, record) = (Remote::new(Durability::Volatile), Remote::new(Durability::Crash));
    let routes = vec![RouteConfig { prefix: "s:".into(), ..failover_route() }, record_route()];
    let storage = Storage::builder(Config { routes, ..Config::default() })
        .backend("cache", cache as Arc<dyn Backend>, BackendConfig::default())
        .backend("db", record as Arc<dyn Backend>, BackendConfig::default())
        .open()
        .await
        .unwrap();
    let error = count_up(&storage, &["s:1", "u:1"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("CROSSSLOT "), "{error}");
    let crossing =
        Op::Transact { expected: vec![("s:1".into(), None)], changes: vec![put(&"u:1".into(), 1)] };
    let error = storage.execute(&crossing, CallOptions::default()).await.unwrap_err();
    assert!(error.message().starts_with("CROSSSLOT "), "{error}");
    let other = async |_| Ok(Decision { changes: vec![put(&"b".into(), 1)], output: () });
    let error = storage.transact(keys(&["a"]), other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let refused = async |_| -> Result<Decision<()>> {
        Err(Error::new(ErrorKind::NotInteger, "the caller's own"))
    };
    let error = storage.transact(keys(&["a"]), refused).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotInteger);
    assert_eq!(storage.count("").await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_routes_ttl_and_caps_hold_for_each_change() {
    let route = RouteConfig { ttl: Some(Duration::from_secs(30)), ..record_route() };
    let world = world(route).await;
    let key = Key::from("a");
    let clear = async |_| {
        let change = Change::Put { value: Bytes::from("1"), ttl: TtlChange::Clear };
        Ok(Decision { changes: vec![(key.clone(), change)], output: () })
    };
    world.storage.transact([key.clone()], clear).await.unwrap();
    let left = world.storage.time_to_live("a").await.unwrap();
    assert!(matches!(left, Ttl::Left(left) if left <= Duration::from_secs(30)), "{left:?}");
    let persist = async |_| {
        let change = Change::Expire(TtlChange::Clear);
        Ok(Decision { changes: vec![(key.clone(), change)], output: () })
    };
    world.storage.transact([key.clone()], persist).await.unwrap();
    assert_eq!(world.storage.time_to_live("a").await.unwrap(), Ttl::Persistent);
}
