//! Loads on the paused clock, over every kind of route.

mod invalidation;
mod schedule;
mod trouble;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;

use super::LoadOptions;
use crate::{
    Config, Entry, ErrorKind, Freshness, Result, Storage,
    backend::{Backend, Durability},
    config::{BackendConfig, LoadConfig, RouteConfig},
    exec::tests::Remote,
    status::LoadStatus,
};

pub(in crate::load) const S: Duration = Duration::from_secs(1);
pub(in crate::load) const MS: Duration = Duration::from_millis(1);

/// Servers that processes share.
pub(in crate::load) struct World {
    cache: Arc<Remote>,
    record: Arc<Remote>,
    loads: Arc<AtomicU64>,
}

impl World {
    pub(in crate::load) fn new() -> Self {
        let [cache, record] = [Durability::Volatile, Durability::Crash].map(Remote::new);
        Self { cache, record, loads: Arc::default() }
    }

    /// One process.
    pub(in crate::load) async fn process(&self, route: RouteConfig) -> Storage {
        self.process_with(route, LoadConfig::default()).await
    }

    async fn process_with(&self, route: RouteConfig, load: LoadConfig) -> Storage {
        let timeouts =
            BackendConfig { timeout: Some(Duration::from_millis(500)), ..BackendConfig::default() };
        let storage = Storage::builder(Config { routes: vec![route], load, ..Config::default() })
            .backend("cache", Arc::clone(&self.cache) as Arc<dyn Backend>, timeouts.clone())
            .backend("db", Arc::clone(&self.record) as Arc<dyn Backend>, timeouts)
            .open()
            .await
            .unwrap();
        // What is loaded before is served and not kept.
        let readable = || storage.status().caches.iter().all(|cache| cache.readable);
        for _ in 0..100 {
            if readable() {
                break;
            }
            tokio::time::sleep(50 * MS).await;
        }
        assert!(readable(), "{:?}", storage.status().caches);
        storage
    }

    /// A read of `k` whose loader takes a while and counts itself.
    pub(in crate::load) async fn read(
        &self,
        storage: &Storage,
        options: LoadOptions,
    ) -> Result<Option<Entry>> {
        self.read_in(storage, options, 50 * MS).await
    }

    async fn read_in(
        &self,
        storage: &Storage,
        options: LoadOptions,
        takes: Duration,
    ) -> Result<Option<Entry>> {
        let loads = Arc::clone(&self.loads);
        let loader = move || async move {
            let number = loads.fetch_add(1, Relaxed) + 1;
            tokio::time::sleep(takes).await;
            io::Result::Ok(Some(format!("load {number}")))
        };
        storage.get_or_load("k", options, loader).await
    }

    fn loads(&self) -> u64 {
        self.loads.load(Relaxed)
    }
}

pub(in crate::load) fn cached() -> RouteConfig {
    RouteConfig { cache: vec!["cache".into()], record: Some("db".into()), ..RouteConfig::default() }
}

fn near() -> RouteConfig {
    RouteConfig { cache: vec!["memory".into(), "cache".into()], ..cached() }
}

fn failover() -> RouteConfig {
    RouteConfig { backends: vec!["cache".into(), "memory".into()], ..RouteConfig::default() }
}

fn record_alone() -> RouteConfig {
    RouteConfig { record: Some("db".into()), ..RouteConfig::default() }
}

fn memory_alone() -> RouteConfig {
    RouteConfig { backends: vec!["memory".into()], ..RouteConfig::default() }
}

fn text(entry: &Entry) -> &str {
    std::str::from_utf8(&entry.value).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_of_a_cold_key_make_one_load_on_every_kind_of_route() {
    for route in [cached(), near(), failover(), record_alone(), memory_alone()] {
        let world = World::new();
        let storage = world.process(route.clone()).await;
        let reads = (0..1_000).map(|_| world.read(&storage, LoadOptions::default()));
        for entry in join_all(reads).await {
            let entry = entry.unwrap().unwrap();
            assert_eq!((text(&entry), &*entry.source), ("load 1", "loader"), "{route:?}");
        }
        assert_eq!(world.loads(), 1, "{route:?}");
        tokio::time::sleep(S).await;
        let entry = world.read(&storage, LoadOptions::default()).await.unwrap().unwrap();
        assert_eq!((text(&entry), entry.freshness), ("load 1", Freshness::Loaded), "{route:?}");
        assert!(entry.age.is_some_and(|age| age >= S), "{route:?}: {entry:?}");
        let shared = [cached(), near(), failover()].contains(&route);
        let from = if shared { "cache" } else { "memory" };
        assert_eq!(&*entry.source, from, "{route:?}");
        assert!(entry.ttl.is_some_and(|ttl| ttl > 50 * S && ttl < 63 * S), "{route:?}: {entry:?}");
        assert_eq!(storage.get("k").await.unwrap(), None, "what is loaded is not stored");
        let (keys, count) = (storage.scan("", None, 10).await, storage.count("").await);
        assert_eq!((keys.unwrap().keys.len(), count.unwrap()), (0, 0), "{route:?}");
        assert_eq!(storage.road().loads.flights.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn readers_of_four_processes_make_one_load_where_they_share_a_cache() {
    for (route, most) in [(cached(), 1), (near(), 1), (failover(), 1), (record_alone(), 4)] {
        let world = World::new();
        let mut processes = Vec::new();
        for _ in 0..4 {
            processes.push(world.process(route.clone()).await);
        }
        let reads = processes
            .iter()
            .flat_map(|storage| (0..250).map(|_| world.read(storage, LoadOptions::default())));
        assert!(join_all(reads).await.into_iter().all(|entry| entry.is_ok_and(|e| e.is_some())));
        assert_eq!(world.loads(), most, "{route:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_loaded_anew_after_its_time_and_a_shared_one_by_one_process() {
    for route in [cached(), failover(), memory_alone()] {
        let world = World::new();
        let (a, b) = (world.process(route.clone()).await, world.process(route.clone()).await);
        let options = LoadOptions { refresh_ahead: 0.0, ..LoadOptions::ttl(10 * S) };
        let shared = route != memory_alone();
        for round in 1..5 {
            let [one, two] = [&a, &b].map(|storage| world.read(storage, options.clone()));
            let (one, two) = tokio::join!(one, two);
            let loads = if shared { round } else { 2 * round };
            assert_eq!(world.loads(), loads, "{route:?} {round}");
            assert_eq!(text(&one.unwrap().unwrap()) == text(&two.unwrap().unwrap()), shared);
            tokio::time::sleep(11 * S).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_remembered() {
    for route in [cached(), near(), failover(), record_alone()] {
        let world = World::new();
        let storage = world.process(route.clone()).await;
        let loads = Arc::clone(&world.loads);
        let read = || {
            let loads = Arc::clone(&loads);
            let loader = move || async move {
                loads.fetch_add(1, Relaxed);
                io::Result::Ok(None::<Bytes>)
            };
            let options = LoadOptions { negative_ttl: 5 * S, ..LoadOptions::default() };
            storage.get_or_load("k", options, loader)
        };
        for _ in 0..5 {
            assert_eq!(read().await.unwrap(), None);
            tokio::time::sleep(S / 2).await;
        }
        assert_eq!(world.loads(), 1, "{route:?}");
        tokio::time::sleep(3 * S).await;
        assert_eq!(read().await.unwrap(), None);
        assert_eq!(world.loads(), 2, "{route:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_fails_or_panics_is_an_error_to_all_and_poisons_nothing() {
    for route in [cached(), failover(), memory_alone()] {
        let world = World::new();
        let storage = world.process(route.clone()).await;
        let failing = (0..10).map(|_| {
            storage.get_or_load("k", LoadOptions::default(), || async {
                tokio::time::sleep(MS).await;
                Err::<Option<Bytes>, _>(io::Error::other("no such table"))
            })
        });
        for outcome in join_all(failing).await {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LoadFailed);
            assert_eq!(error.to_string(), "the loader failed: no such table");
            let source = std::error::Error::source(&error).unwrap();
            assert!(source.downcast_ref::<io::Error>().is_some());
        }
        let panicking = (0..10).map(|_| {
            storage.get_or_load("k", LoadOptions::default(), || async {
                tokio::time::sleep(MS).await;
                if true {
                    panic!("of a test: this one is meant to be seen");
                }
                io::Result::Ok(Some("never"))
            })
        });
        for outcome in join_all(panicking).await {
            let error = outcome.unwrap_err();
            assert_eq!(error.to_string(), "the loader panicked");
        }
        let entry = world.read(&storage, LoadOptions::default()).await.unwrap().unwrap();
        assert_eq!(text(&entry), "load 1", "{route:?}: at once, the right was given back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_cancels_nobody() {
    let world = World::new();
    let storage = world.process(cached()).await;
    let first = world.read(&storage, LoadOptions::default());
    let gone = tokio::time::timeout(10 * MS, first).await;
    assert!(gone.is_err(), "the first leads, and goes away");
    let second = world.read(&storage, LoadOptions::default()).await.unwrap().unwrap();
    assert_eq!((text(&second), world.loads()), ("load 1", 1));
}

#[tokio::test(start_paused = true)]
async fn a_load_has_an_end_and_a_caller_its_deadline() {
    let world = World::new();
    let storage = world.process(cached()).await;
    let options = LoadOptions { hard_timeout: S, ..LoadOptions::default() };
    let error = world.read_in(&storage, options.clone(), 60 * S).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let deadline = Some(storage.clock().deadline_in(100 * MS));
    let hasty = LoadOptions { deadline, ..options };
    let error = world.read_in(&storage, hasty, 500 * MS).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    tokio::time::sleep(S).await;
    let entry = world.read(&storage, LoadOptions::default()).await.unwrap().unwrap();
    assert_eq!(text(&entry), "load 2", "the load went on without its caller");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_it_loads_is_not_waited_for_longer_than_its_right_stands() {
    let world = World::new();
    let (a, b) = (world.process(cached()).await, world.process(cached()).await);
    let options = LoadOptions { hard_timeout: S, ..LoadOptions::default() };
    let slow = world.read_in(&a, options.clone(), 900 * MS);
    drop(tokio::time::timeout(10 * MS, slow).await);
    let begun = b.clock().now();
    let entry = world.read(&b, options).await.unwrap().unwrap();
    assert_eq!(text(&entry), "load 1", "while it lives, its value is waited for");
    assert!(b.clock().now() - begun <= S);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_away_is_no_miss_nothing_is_written_and_every_process_loads_once() {
    for route in [cached(), failover()] {
        let world = World::new();
        let (a, b) = (world.process(route.clone()).await, world.process(route.clone()).await);
        world.cache.is(crate::exec::tests::REFUSES);
        let reads = [&a, &b]
            .into_iter()
            .flat_map(|storage| (0..100).map(|_| world.read(storage, LoadOptions::default())));
        assert!(join_all(reads).await.into_iter().all(|entry| entry.is_ok()));
        assert_eq!(world.loads(), 2, "{route:?}");
        world.cache.is(crate::exec::tests::WELL);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_our_own_are_refused() {
    let world = World::new();
    let storage = world.process(cached()).await;
    let error = storage.set("\0mainstay:a:k", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let long = vec![b'k'; 2040];
    let loader = || async { io::Result::Ok(Some("v")) };
    let error = storage.get_or_load(&long[..], LoadOptions::default(), loader).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}
