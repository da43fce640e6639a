//! Values that end before their time: by key, by prefix, by tag, in every process, also while they are being loaded.

use super::*;
use crate::exec::tests::{REFUSES, WELL};

/// Reads this key; which of the loads it got.
async fn read_key(world: &World, storage: &Storage, key: &str, tags: &[&str]) -> u64 {
    let loads = Arc::clone(&world.loads);
    let loader = move || async move {
        let number = loads.fetch_add(1, Relaxed) + 1;
        tokio::time::sleep(5 * MS).await;
        io::Result::Ok(Some(number.to_string()))
    };
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let options = LoadOptions { tags, ttl: 3_000 * S, ..LoadOptions::default() };
    let entry = storage.get_or_load(key, options, loader).await.unwrap().unwrap();
    text(&entry).parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_ends_in_every_process_that_shares_the_cache() {
    for route in [cached(), near(), failover(), record_alone(), memory_alone()] {
        let world = World::new();
        let a = world.process(route.clone()).await;
        let shared = [cached(), near(), failover()].contains(&route);
        let b = if shared { world.process(route.clone()).await } else { a.clone() };
        for round in 1..20 {
            assert_eq!(read_key(&world, &a, "k", &[]).await, round, "{route:?}");
            tokio::time::sleep(10 * MS).await;
            assert_eq!(read_key(&world, &b, "k", &[]).await, round, "{route:?}");
            if round % 2 == 0 { &a } else { &b }.invalidate("k").await.unwrap();
        }
        let storage = &a.status().loads[0];
        assert!(storage.invalidations >= 9, "{storage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_being_loaded_when_its_key_ended_is_not_kept() {
    for route in [cached(), failover(), record_alone(), memory_alone()] {
        let world = World::new();
        let storage = world.process(route.clone()).await;
        let early = world.read(&storage, LoadOptions::default());
        let late = async {
            tokio::time::sleep(20 * MS).await;
            storage.invalidate("k").await.unwrap();
            world.read(&storage, LoadOptions::default()).await
        };
        let (early, late) = tokio::join!(early, late);
        assert_eq!(text(&early.unwrap().unwrap()), "load 1", "{route:?}");
        assert_eq!(
            text(&late.unwrap().unwrap()),
            "load 2",
            "{route:?}: not the one that was overtaken"
        );
        tokio::time::sleep(S).await;
        let entry = world.read(&storage, LoadOptions::default()).await.unwrap().unwrap();
        assert_eq!(text(&entry), "load 2", "{route:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_load_is_not_joined_while_another_process_loads_anew() {
    for route in [cached(), near(), failover()] {
        let world = World::new();
        let (a, b) = (world.process(route.clone()).await, world.process(route.clone()).await);
        let early = world.read_in(&a, LoadOptions::default(), 500 * MS);
        let anew = async {
            tokio::time::sleep(100 * MS).await;
            b.invalidate("k").await.unwrap();
            world.read_in(&b, LoadOptions::default(), 200 * MS).await
        };
        let late = async {
            tokio::time::sleep(200 * MS).await;
            world.read_in(&a, LoadOptions::default(), 10 * MS).await
        };
        let (early, anew, late) = tokio::join!(early, anew, late);
        assert_eq!(text(&early.unwrap().unwrap()), "load 1", "{route:?}");
        assert_eq!(text(&anew.unwrap().unwrap()), "load 2", "{route:?}");
        assert_eq!(text(&late.unwrap().unwrap()), "load 2", "{route:?}: that one ended before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefix_ends_what_begins_with_it_and_nothing_else() {
    for route in [cached(), near(), failover(), record_alone()] {
        let world = World::new();
        let a = world.process(route.clone()).await;
        let b =
            if route == record_alone() { a.clone() } else { world.process(route.clone()).await };
        for round in 0..5 {
            let ours = read_key(&world, &a, "user:1", &[]).await;
            let others = read_key(&world, &a, "item:1", &[]).await;
            tokio::time::sleep(10 * MS).await;
            assert_eq!(read_key(&world, &b, "user:1", &[]).await, ours, "{route:?} {round}");
            a.invalidate_prefix("user:").await.unwrap();
            assert!(read_key(&world, &b, "user:1", &[]).await > ours, "{route:?} {round}");
            assert_eq!(read_key(&world, &b, "item:1", &[]).await, others, "{route:?} {round}");
            tokio::time::sleep(10 * MS).await;
        }
        let before = world.loads();
        for n in 0..100 {
            a.invalidate_prefix(format!("other:{n}")).await.unwrap();
        }
        read_key(&world, &b, "user:1", &[]).await;
        read_key(&world, &b, "item:1", &[]).await;
        assert_eq!(world.loads(), before, "{route:?}: merged prefixes end no more than they share");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_ends_what_was_loaded_with_it_and_nothing_else() {
    for route in [cached(), near(), failover(), record_alone()] {
        let world = World::new();
        let a = world.process(route.clone()).await;
        let b =
            if route == record_alone() { a.clone() } else { world.process(route.clone()).await };
        let tagged = read_key(&world, &a, "one", &["red", "blue"]).await;
        let other = read_key(&world, &a, "two", &["blue"]).await;
        tokio::time::sleep(10 * MS).await;
        // A reader that does not know the tags goes by what the value carries.
        assert_eq!(read_key(&world, &b, "one", &[]).await, tagged, "{route:?}");
        a.invalidate_tag("red").await.unwrap();
        assert!(read_key(&world, &b, "one", &["red", "blue"]).await > tagged, "{route:?}");
        assert_eq!(read_key(&world, &b, "two", &["blue"]).await, other, "{route:?}");
        b.invalidate_tag("blue").await.unwrap();
        assert!(read_key(&world, &a, "two", &[]).await > other, "{route:?}");
        assert_eq!(a.count("").await.unwrap(), 0, "{route:?}: marks are not seen");
        assert_eq!(a.scan("", None, 100).await.unwrap().keys.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_ends_also_while_its_cache_is_away() {
    let world = World::new();
    let (a, b) = (world.process(cached()).await, world.process(cached()).await);
    assert_eq!(read_key(&world, &a, "k", &[]).await, 1);
    tokio::time::sleep(S).await;
    world.cache.is(REFUSES);
    a.invalidate("k").await.unwrap();
    world.cache.is(WELL);
    tokio::time::sleep(60 * S).await;
    assert!(read_key(&world, &b, "k", &[]).await >= 2, "the copy is there, and is not served");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_an_error_and_a_bad_tag_too() {
    let world = World::new();
    let storage = world.process(cached()).await;
    read_key(&world, &storage, "k", &[]).await;
    world.record.is(REFUSES);
    for outcome in [
        storage.invalidate("k").await,
        storage.invalidate_prefix("k").await,
        storage.invalidate_tag("t").await,
    ] {
        assert!(!outcome.unwrap_err().kind().is_callers());
    }
    let error = storage.invalidate_tag("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_prefix_or_tag_has_ended_does_not_get_what_was_being_loaded_then() {
    for route in [cached(), failover(), record_alone()] {
        for by_tag in [false, true] {
            let world = World::new();
            let a = world.process(route.clone()).await;
            let b = match route == record_alone() {
                true => a.clone(),
                false => world.process(route.clone()).await,
            };
            let options = LoadOptions { tags: vec!["t".into()], ..LoadOptions::default() };
            let early = world.read_in(&b, options.clone(), 500 * MS);
            let late = async {
                tokio::time::sleep(100 * MS).await;
                match by_tag {
                    true => a.invalidate_tag("t").await.unwrap(),
                    false => a.invalidate_prefix("").await.unwrap(),
                }
                world.read(&b, options.clone()).await
            };
            let (early, late) = tokio::join!(early, late);
            assert_eq!(text(&early.unwrap().unwrap()), "load 1");
            assert_eq!(text(&late.unwrap().unwrap()), "load 2", "{route:?}, by tag: {by_tag}");
            tokio::time::sleep(S).await;
            let entry = world.read(&a, options).await.unwrap().unwrap();
            assert_eq!(text(&entry), "load 2", "{route:?}, by tag: {by_tag}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_not_served_instead_of_an_error() {
    for route in [cached(), failover(), record_alone()] {
        let world = World::new();
        let storage = world.process(route.clone()).await;
        for round in 0..3 {
            let options = LoadOptions { tags: vec!["t".into()], ..LoadOptions::default() };
            world.read(&storage, options.clone()).await.unwrap();
            tokio::time::sleep(S).await;
            match round {
                0 => storage.invalidate("k").await.unwrap(),
                1 => storage.invalidate_prefix("k").await.unwrap(),
                _ => storage.invalidate_tag("t").await.unwrap(),
            }
            let loader = || async { Err::<Option<Bytes>, _>(io::Error::other("down")) };
            let outcome = storage.get_or_load("k", options, loader).await;
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LoadFailed, "{route:?} {round}");
        }
    }
}
