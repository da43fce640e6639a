//! Loaded values before a real Redis: four storages, as four processes have them, over one Redis and one PostgreSQL.
//! Knows nothing of how they are kept.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use mainstay::config::{BackendConfig, HedgeConfig, RouteConfig};
use mainstay::{Clock, Config, Entry, LoadOptions, Storage};
use mainstay_testkit::servers::{Postgres, Redis};

/// How long a loader takes.
const LOAD: Duration = Duration::from_millis(50);

/// Longer than it takes to find out that a cache is gone: who comes later joins who came first.
const LONG_LOAD: Duration = Duration::from_secs(2);

/// Long enough that only a failure reaches it.
const FOREVER: Duration = Duration::from_secs(30);

/// Longer than a busy machine stalls: who has lost patience with a cache loads for itself.
const PATIENCE: Duration = Duration::from_secs(10);

async fn storage(route: RouteConfig, backends: &[(&str, String)]) -> Storage {
    let mut config = Config { routes: vec![route], ..Config::default() };
    for (name, url) in backends {
        let mut backend = BackendConfig::at(url);
        if *name == "redis" {
            backend.timeout = Some(PATIENCE);
            backend.hedge = HedgeConfig { patience: PATIENCE, ..HedgeConfig::default() };
        }
        config.backends.insert((*name).to_owned(), backend);
    }
    Storage::open(config).await.unwrap()
}

fn record_route(cache: &[&str]) -> RouteConfig {
    RouteConfig {
        cache: cache.iter().map(|name| (*name).to_owned()).collect(),
        record: Some("db".into()),
        ..RouteConfig::default()
    }
}

fn failover_route() -> RouteConfig {
    RouteConfig { backends: vec!["redis".into(), "memory".into()], ..RouteConfig::default() }
}

async fn four(route: RouteConfig, backends: &[(&str, String)]) -> Vec<Storage> {
    let storages = join_all((0..4).map(|_| storage(route.clone(), backends))).await;
    for storage in &storages {
        until(|| async { storage.status().caches.iter().all(|cache| cache.readable) }).await;
    }
    storages
}

/// A read of `key` whose loader takes 50 ms and counts itself.
async fn read(storage: Storage, key: String, loads: Arc<AtomicU64>, ttl: Duration) -> Entry {
    read_in(storage, key, loads, ttl, LOAD).await
}

async fn read_in(
    storage: Storage,
    key: String,
    loads: Arc<AtomicU64>,
    ttl: Duration,
    takes: Duration,
) -> Entry {
    let loader = move || async move {
        let number = loads.fetch_add(1, Relaxed) + 1;
        tokio::time::sleep(takes).await;
        io::Result::Ok(Some(format!("load {number}")))
    };
    storage.get_or_load(key, LoadOptions::ttl(ttl), loader).await.unwrap().unwrap()
}

/// A thousand readers of a cold key over these storages; how often it was loaded.
async fn readers(storages: &[Storage], key: &str) -> u64 {
    readers_in(storages, key, LOAD).await
}

/// The readers make one load. Again, if a process has lost sight of the cache meanwhile: it may load for itself.
async fn make_one_load(storages: &[Storage], key: &str) {
    let (clock, round) = (Clock::system(), AtomicU64::new(0));
    until(|| async {
        let key = format!("{key} {}", round.fetch_add(1, Relaxed));
        let begun = clock.now();
        let loads = readers(storages, &key).await;
        let took = clock.now().duration_since(begun);
        let steady = storages.iter().all(|storage| {
            let cache = &storage.status().caches[0];
            cache.readable && cache.since >= took
        });
        assert!(loads == 1 || !steady, "{loads} loads");
        loads == 1
    })
    .await;
}

async fn readers_in(storages: &[Storage], key: &str, takes: Duration) -> u64 {
    let loads = Arc::new(AtomicU64::new(0));
    let tasks = (0..1_000).map(|reader| {
        let storage = storages[reader % storages.len()].clone();
        let (key, loads) = (key.to_owned(), Arc::clone(&loads));
        tokio::spawn(read_in(storage, key, loads, Duration::from_secs(60), takes))
    });
    for entry in join_all(tasks).await {
        assert!(entry.unwrap().value.starts_with(b"load "));
    }
    loads.load(Relaxed)
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let waited = tokio::time::timeout(FOREVER, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it never came true");
}

async fn close(storages: Vec<Storage>) {
    for storage in storages {
        storage.close(FOREVER).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_cold_key_make_one_load_over_four_processes() {
    let redis = Redis::start().await.unwrap();
    let record = Postgres::start().await.unwrap();
    let both = [("redis", redis.url()), ("db", record.url())];
    for route in [record_route(&["redis"]), record_route(&["memory", "redis"])] {
        let storages = four(route.clone(), &both).await;
        for round in 0..5 {
            let key = format!("{} {round}", route.cache.len());
            make_one_load(&storages, &key).await;
        }
        make_one_load(&storages[..1], &format!("{} alone", route.cache.len())).await;
        close(storages).await;
    }
    let storages = four(failover_route(), &both[..1]).await;
    for round in 0..5 {
        assert_eq!(readers(&storages, &format!("failover {round}")).await, 1);
    }
    close(storages).await;
    let storages = four(record_route(&[]), &both[1..]).await;
    let loads = readers(&storages, "without").await;
    assert_eq!(loads, 4, "one for each process where they share no cache");
    close(storages).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_refreshes_comes_to_the_memory_of_the_other() {
    let redis = Redis::start().await.unwrap();
    let record = Postgres::start().await.unwrap();
    let both = [("redis", redis.url()), ("db", record.url())];
    let storages = four(record_route(&["memory", "redis"]), &both).await;
    let loads = Arc::new(AtomicU64::new(0));
    let ttl = Duration::from_millis(1_500);
    let get = |at: usize| read(storages[at].clone(), "k".to_owned(), Arc::clone(&loads), ttl);
    until(|| async { &*get(1).await.source == "memory" }).await;
    let before = loads.load(Relaxed);
    // Only the first process reads near its end; a new value is loaded, and nobody serves what was before.
    until(|| async {
        get(0).await;
        loads.load(Relaxed) > before
    })
    .await;
    let newest = |entry: &Entry| entry.value == format!("load {}", loads.load(Relaxed));
    until(|| async {
        let entry = get(1).await;
        &*entry.source == "memory" && newest(&entry)
    })
    .await;
    close(storages).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_gone_or_comes_back_empty_is_no_stampede() {
    let mut redis = Redis::start().await.unwrap();
    let record = Postgres::start().await.unwrap();
    let both = [("redis", redis.url()), ("db", record.url())];
    let storages = four(record_route(&["redis"]), &both).await;
    make_one_load(&storages, "k").await;
    let generation = |storage: &Storage| storage.status().caches[0].generation;
    let before = generation(&storages[0]);
    redis.kill();
    assert!(readers_in(&storages, "gone", LONG_LOAD).await <= 4, "one for each process at most");
    redis.restart_empty().await.unwrap();
    until(|| async {
        let generations: BTreeSet<u64> = storages.iter().map(generation).collect();
        let readable = storages.iter().all(|storage| storage.status().caches[0].readable);
        // Whoever has yet to hear of the newest keeps its copies apart.
        readable && generations.len() == 1 && generations.iter().all(|one| *one > before)
    })
    .await;
    make_one_load(&storages, "back").await;
    close(storages).await;
}
