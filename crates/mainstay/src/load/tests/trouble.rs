//! What is served while loads are slow, fail or are shed.

use super::*;
use crate::exec::tests::{REFUSES, WELL};

/// A read whose loader fails, and counts itself.
async fn failing(world: &World, storage: &Storage, options: LoadOptions) -> Result<Option<Entry>> {
    let loads = Arc::clone(&world.loads);
    let loader = move || async move {
        loads.fetch_add(1, Relaxed);
        Err::<Option<Bytes>, _>(io::Error::other("the table is locked"))
    };
    storage.get_or_load("k", options, loader).await
}

fn counted(storage: &Storage) -> LoadStatus {
    storage.status().loads.first().cloned().unwrap_or_default()
}

fn short() -> LoadOptions {
    let stale_if_error = Some(1_000 * S);
    LoadOptions { refresh_ahead: 0.0, stale_if_error, ..LoadOptions::ttl(10 * S) }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_while_its_loader_fails_and_the_loader_has_its_rest() {
    for route in [cached(), near(), failover(), record_alone()] {
        let world = World::new();
        let storage = world.process(route.clone()).await;
        world.read(&storage, short()).await.unwrap();
        tokio::time::sleep(20 * S).await;
        for _ in 0..20 {
            let entry = failing(&world, &storage, short()).await.unwrap().unwrap();
            assert_eq!((text(&entry), entry.stale), ("load 1", true), "{route:?}");
            assert!(matches!(entry.freshness, Freshness::Unverified(since) if since > 9 * S));
            tokio::time::sleep(S).await;
        }
        assert_eq!(world.loads(), 2, "{route:?}: not again for 30 s");
        tokio::time::sleep(11 * S).await;
        assert!(failing(&world, &storage, short()).await.unwrap().unwrap().stale);
        assert_eq!(world.loads(), 3, "{route:?}");
        tokio::time::sleep(31 * S).await;
        let entry = world.read(&storage, short()).await.unwrap().unwrap();
        assert_eq!((text(&entry), entry.stale), ("load 4", false), "{route:?}");
        assert_eq!((counted(&storage).stale, counted(&storage).load_errors), (21, 2));
        tokio::time::sleep(1_020 * S).await;
        let error = failing(&world, &storage, short()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LoadFailed, "{route:?}: too old");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_near_its_end_is_refreshed_behind_its_readers_by_one() {
    for route in [cached(), near(), failover(), record_alone()] {
        let world = World::new();
        let (a, b) = (world.process(route.clone()).await, world.process(route.clone()).await);
        let shared = route != record_alone();
        let options = LoadOptions { ttl_jitter: 0.0, ..LoadOptions::ttl(100 * S) };
        for storage in [&a, &b] {
            world.read(storage, options.clone()).await.unwrap();
        }
        let cold = world.loads();
        tokio::time::sleep(81 * S).await;
        let reads = [&a, &b]
            .into_iter()
            .flat_map(|storage| (0..50).map(|_| world.read(storage, options.clone())));
        for entry in join_all(reads).await {
            let entry = entry.unwrap().unwrap();
            assert!(
                entry.age.is_some_and(|age| age > 80 * S),
                "{route:?}: at once, what was there"
            );
        }
        tokio::time::sleep(S).await;
        assert_eq!(world.loads() - cold, if shared { 1 } else { 2 }, "{route:?}");
        for storage in [&a, &b] {
            let entry = world.read(storage, options.clone()).await.unwrap().unwrap();
            assert!(entry.age.is_some_and(|age| age < 2 * S), "{route:?}: {entry:?}");
        }
        assert_eq!(world.loads() - cold, if shared { 1 } else { 2 }, "{route:?}");
        assert!(counted(&a).refreshes + counted(&b).refreshes >= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_soft_timeout_a_stale_value_is_served_and_the_load_goes_on() {
    let world = World::new();
    let storage = world.process(cached()).await;
    world.read(&storage, short()).await.unwrap();
    tokio::time::sleep(20 * S).await;
    let options = LoadOptions { soft_timeout: Some(20 * MS), ..short() };
    let begun = storage.clock().now();
    let entry = world.read_in(&storage, options.clone(), 500 * MS).await.unwrap().unwrap();
    assert_eq!((text(&entry), entry.stale), ("load 1", true));
    assert!(storage.clock().now() - begun < 50 * MS);
    tokio::time::sleep(S).await;
    let entry = world.read(&storage, options).await.unwrap().unwrap();
    assert_eq!((text(&entry), entry.stale, world.loads()), ("load 2", false, 2));
}

#[tokio::test(start_paused = true)]
async fn without_anything_else_there_is_the_default_and_then_the_error() {
    let world = World::new();
    let storage = world.process(cached()).await;
    let options = LoadOptions { default: Some("calm".into()), ..LoadOptions::default() };
    let entry = failing(&world, &storage, options).await.unwrap().unwrap();
    assert_eq!((text(&entry), &*entry.source, entry.stale), ("calm", "default", true));
    let error = failing(&world, &storage, LoadOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::LoadFailed, None));
    assert_eq!(counted(&storage).defaults, 1);
}

#[tokio::test(start_paused = true)]
async fn more_loads_than_there_are_places_are_shed_with_their_reason() {
    let world = World::new();
    let load = LoadConfig { inflight_max: 2, queue_max: 3, ..LoadConfig::default() };
    let storage = world.process_with(cached(), load).await;
    let reads = (0..10).map(|key| {
        let loader = || async {
            tokio::time::sleep(S).await;
            io::Result::Ok(Some("v"))
        };
        storage.get_or_load(key.to_string(), LoadOptions::default(), loader)
    });
    let outcomes = join_all(reads).await;
    let shed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(shed.len(), 8, "two run; three wait in vain");
    for error in shed {
        let said = (error.kind(), error.reason(), error.retry_hint().is_some());
        assert_eq!(said, (ErrorKind::Overloaded, Some("database_saturated"), true));
    }
    assert_eq!(counted(&storage).shed_database_saturated, 8);
}

#[tokio::test(start_paused = true)]
async fn while_the_cache_is_away_only_so_many_load_without_it() {
    for route in [cached(), failover()] {
        let world = World::new();
        let load = LoadConfig { fallback_max: Some(5), ..LoadConfig::default() };
        let storage = world.process_with(route.clone(), load).await;
        world.cache.is(REFUSES);
        let reads = |from: u32| {
            let read = |key: u32| {
                let loader = || async { io::Result::Ok(Some("v")) };
                storage.get_or_load(key.to_string(), LoadOptions::default(), loader)
            };
            join_all((from..from + 20).map(read))
        };
        let shed: Vec<_> = reads(0).await.into_iter().filter_map(Result::err).collect();
        assert_eq!(shed.len(), 15, "{route:?}");
        for error in shed {
            let said = (error.kind(), error.reason(), error.retry_hint().is_some());
            assert_eq!(said, (ErrorKind::Overloaded, Some("cache_unavailable"), true));
        }
        tokio::time::sleep(S).await;
        let loaded = reads(20).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(loaded, 5, "{route:?}");
        world.cache.is(WELL);
        tokio::time::sleep(60 * S).await;
        let loaded = reads(40).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(loaded, 20, "{route:?}: no cap once it is back");
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_record_is_down_copies_are_served_unverified() {
    let world = World::new();
    let storage = world.process(cached()).await;
    let options = LoadOptions { stale_if_error: None, ..short() };
    world.read(&storage, options.clone()).await.unwrap();
    world.record.is(REFUSES);
    tokio::time::sleep(60 * S).await;
    let entry = failing(&world, &storage, options.clone()).await.unwrap().unwrap();
    assert_eq!((text(&entry), entry.stale, &*entry.source), ("load 1", true, "cache"));
    tokio::time::sleep(3_600 * S).await;
    let error = failing(&world, &storage, options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoadFailed, "after an hour not any more");
}
