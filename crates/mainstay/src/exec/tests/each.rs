//! Reads of several keys with an answer for each: how many calls they are, and that none pays for another.

use super::*;
use crate::{Key, storage::Answer};

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| Key::from(*name)).collect()
}

/// The values, or the kind of the error.
async fn read(storage: &Storage, names: &[&str]) -> Vec<std::result::Result<String, ErrorKind>> {
    let text = |answer: Result<Answer>| {
        let record = answer.and_then(|answer| answer.reply.into_record()).map_err(|e| e.kind())?;
        Ok(record.map_or_else(String::new, |record| String::from_utf8_lossy(&record.value).into()))
    };
    let answers = storage.get_each(keys(names), &CallOptions::default()).await;
    answers.into_iter().map(text).collect()
}

fn texts(values: &[&str]) -> Vec<std::result::Result<String, ErrorKind>> {
    values.iter().map(|value| Ok((*value).to_owned())).collect()
}

impl World {
    /// Reads by the cache and by the record since the last time.
    fn calls(&self) -> [u64; 2] {
        [&self.cache, &self.record].map(|remote| remote.reads.swap(0, Relaxed))
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_one_route_are_one_call_and_what_is_missing_is_asked_for_alone() {
    let world = world(failover_route()).await;
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        world.storage.set(key, value).await.unwrap();
    }
    world.calls();
    assert_eq!(read(&world.storage, &["c", "a", "b", "a"]).await, texts(&["3", "1", "2", "1"]));
    assert_eq!(world.calls(), [1, 0]);
    let found = read(&world.storage, &["a", "none", "b", "c"]).await;
    assert_eq!(found, texts(&["1", "", "2", "3"]));
    assert_eq!(world.calls(), [2, 0]);
    assert_eq!(read(&world.storage, &["a"]).await, texts(&["1"]));
    assert_eq!(read(&world.storage, &[]).await, []);
    assert_eq!(world.calls(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn where_much_is_missing_or_long_each_key_goes_alone_for_a_while() {
    let rests = async |names: &[&str], world: &World| {
        read(&world.storage, names).await;
        let asked = std::iter::repeat_with(|| world.storage.reads_as_one(keys(names).iter()));
        asked.take(100).take_while(|pays| !pays).count()
    };
    let world = world(failover_route()).await;
    world.storage.set("a", "1").await.unwrap();
    world.storage.set("long", "v".repeat(20_000)).await.unwrap();
    for (names, rested) in [
        (&["a", "a", "a", "a", "x"][..], 0),
        (&["a", "x", "y"], 0),
        (&["a", "a", "x", "y"], 16),
        (&["a", "a", "a", "a"], 0),
        (&["a", "a", "a", "long"], 16),
        (&["a", "a", "a", "long"], 32),
    ] {
        assert_eq!(rests(names, &world).await, rested, "{names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_many_keys_reads_each_alone() {
    let world = world(failover_route()).await;
    for (key, value) in [("a", "1"), ("b", "2")] {
        world.storage.set(key, value).await.unwrap();
        world.record.put(key, "of the other").await;
    }
    world.cache.is(FORBIDS_MANY);
    for _ in 0..10 {
        assert!(world.storage.reads_as_one(keys(&["a", "b"]).iter()));
        assert_eq!(read(&world.storage, &["a", "b"]).await, texts(&["1", "2"]));
        let asked = std::iter::repeat_with(|| world.storage.reads_as_one(keys(&["a", "b"]).iter()));
        assert!(asked.take(15).all(|pays| !pays));
        while !world.storage.reads_as_one(keys(&["a", "b"]).iter()) {}
    }
    let health =
        world.storage.status().backends.iter().map(|found| found.health).collect::<Vec<_>>();
    assert!(health.iter().all(|health| *health == Health::Up), "{health:?}");
}

/// The same, each by itself.
async fn read_alone(storage: &Storage, names: &[&str]) -> Vec<(Option<Bytes>, String, bool)> {
    let mut read = Vec::new();
    for key in keys(names) {
        let op = Op::Get { key, with_ttl: false };
        read.push(told(storage.execute(&op, CallOptions::default()).await));
    }
    read
}

fn told(answer: Result<Answer>) -> (Option<Bytes>, String, bool) {
    match answer {
        Err(error) => (None, format!("{:?}", error.kind()), false),
        Ok(answer) => {
            let record = answer.reply.into_record().unwrap();
            (record.map(|record| record.value), answer.source.to_string(), answer.stale)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_answer_is_what_a_read_of_its_key_alone_would_say() {
    let names = ["a", "none", "b", "a"];
    let in_turns = RouteConfig { select: Select::RoundRobin, ..failover_route() };
    let default = RouteConfig { default: Some("d".into()), ..failover_route() };
    for route in [failover_route(), default, in_turns, record_route()] {
        let own_values = route.record.is_none() && route.select == Select::Failover;
        for (cache, record) in [
            (WELL, WELL),
            (REFUSES, WELL),
            (HANGS, WELL),
            (WELL, REFUSES),
            (CRAWLS, REFUSES),
            (REFUSES, REFUSES),
        ] {
            let world = world(route.clone()).await;
            for (key, value) in [("a", "1"), ("b", "2")] {
                world.storage.set(key, value).await.unwrap();
                if own_values {
                    world.record.put(key, "of the other").await;
                }
            }
            world.cache.is(cache);
            world.record.is(record);
            // The first call after the change, and one after everybody has noticed.
            for _ in 0..2 {
                let answers = world.storage.get_each(keys(&names), &CallOptions::default()).await;
                let mut read: Vec<_> = answers.into_iter().map(told).collect();
                let mut alone = read_alone(&world.storage, &names).await;
                if !own_values {
                    // Whose turn it is changes with each, and copies are filled meanwhile: only the values are the same.
                    for (_, source, stale) in read.iter_mut().chain(&mut alone) {
                        source.clear();
                        *stale = false;
                    }
                }
                assert_eq!(read, alone, "{cache} {record} {}", world.storage.status().sentence);
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_found_in_different_places_go_alone() {
    let prefixed = |prefix: &str| RouteConfig { prefix: prefix.into(), ..failover_route() };
    let config = Config { routes: vec![prefixed("x:"), prefixed("")], ..Config::default() };
    let (cache, record) = (Remote::new(Durability::Volatile), Remote::new(Durability::Crash));
    let world = configured(cache, record, config).await;
    for key in ["x:a", "a"] {
        world.storage.set(key, key).await.unwrap();
    }
    world.calls();
    assert!(!world.storage.reads_as_one(keys(&["a", "x:a"]).iter()));
    assert_eq!(read(&world.storage, &["a", "x:a", "a"]).await, texts(&["a", "x:a", "a"]));
    assert_eq!(world.calls(), [3, 0]);
    assert!(world.storage.reads_as_one(keys(&["a", "a"]).iter()));
    assert!(!world.storage.reads_as_one(keys(&["a"]).iter()));
}

#[tokio::test(start_paused = true)]
async fn routes_on_which_a_key_may_be_found_elsewhere_read_each_alone() {
    let in_turns = RouteConfig { select: Select::RoundRobin, ..failover_route() };
    for route in [in_turns, record_route()] {
        let world = world(route).await;
        assert!(!world.storage.reads_as_one(keys(&["a", "b"]).iter()));
    }
    let world = world(failover_route()).await;
    assert!(world.storage.reads_as_one(keys(&["a", "b"]).iter()));
    world.cache.is(REFUSES);
    world.storage.set("a", "1").await.unwrap();
    assert!(
        !world.storage.reads_as_one(keys(&["a", "b"]).iter()),
        "what went below has to be moved up"
    );
}

#[tokio::test(start_paused = true)]
async fn more_keys_than_one_call_takes_are_read_alone_some_at_a_time() {
    let config = crate::config::LimitsConfig { keys_max: 100, ..Config::default().limits };
    let (cache, record) = (Remote::new(Durability::Volatile), Remote::new(Durability::Crash));
    let config = Config { routes: vec![failover_route()], limits: config, ..Config::default() };
    let world = configured(cache, record, config).await;
    world.storage.set("k1", "1").await.unwrap();
    for (count, calls) in [(100, 1 + 99), (101, 101), (500, 500)] {
        let names: Vec<String> = (0..count).map(|number| format!("k{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(world.storage.reads_as_one(keys(&names).iter()), count <= 100);
        world.calls();
        let found = read(&world.storage, &names).await;
        assert_eq!((found.len(), &found[1]), (count, &Ok("1".to_owned())));
        assert_eq!(world.calls(), [calls, 0], "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_key_pays_for_one_that_is_refused() {
    let world = world(record_route()).await;
    world.storage.set("a", "1").await.unwrap();
    let long = "k".repeat(Key::LEN_MAX + 1);
    let found = read(&world.storage, &["a", &long, "\0mainstay:x", "a"]).await;
    let (one, refused) = (Ok("1".to_owned()), Err(ErrorKind::InvalidArgument));
    assert_eq!(found, [one.clone(), Err(ErrorKind::TooLarge), refused, one]);
    world.storage.close(Duration::from_secs(1)).await;
    let closed = Err(ErrorKind::Closed);
    assert_eq!(read(&world.storage, &["a", "b"]).await, [closed.clone(), closed]);
}
