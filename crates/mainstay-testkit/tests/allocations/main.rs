//! How often one operation allocates. A program of its own: it counts for the whole process.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use mainstay::{
    CallOptions, Config, Key, LoadOptions, Op, Storage,
    config::{BackendConfig, RouteConfig},
};
use mainstay_testkit::servers::{Redis, workdir::WorkDir};
use tokio::runtime::{Builder, Runtime};

/// Calls that are counted: what happens in the background meanwhile is less than one for each.
const CALLS: u64 = 2_000;

/// Everything runs on this thread, whose allocations are counted.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Allocations of one call, after some that were not counted.
fn each<F: Future<Output = ()>>(runtime: &Runtime, call: impl Fn() -> F) -> u64 {
    runtime.block_on(async {
        for _ in 0..100 {
            call().await;
        }
    });
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            for _ in 0..CALLS {
                call().await;
            }
        });
    });
    counted.count_total / CALLS
}

fn with_memory_before_a_record(dir: &WorkDir) -> Config {
    let route = RouteConfig {
        cache: vec![Config::MEMORY.to_owned()],
        record: Some("db".to_owned()),
        l1_ttl: Some(Duration::from_secs(3_600)),
        ..RouteConfig::default()
    };
    let mut config = Config { routes: vec![route], ..Config::default() };
    config
        .backends
        .insert("db".to_owned(), BackendConfig::at(format!("sqlite:{}", dir.join("db").display())));
    config
}

#[test]
fn a_hit_in_memory_allocates_nothing_but_for_a_new_key() {
    let runtime = runtime();
    let dir = WorkDir::new("allocations").unwrap();
    let storage = runtime.block_on(Storage::open(with_memory_before_a_record(&dir))).unwrap();
    runtime.block_on(async {
        while storage.set("user:1", "some value").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let get = async |key: Key| {
        let found = storage.get(key).await.unwrap().unwrap();
        assert_eq!((&*found.value, &*found.source), (&b"some value"[..], "memory"));
    };
    runtime.block_on(async { storage.get("user:1").await.unwrap().unwrap() });
    let (kept, loaded) = (Key::from("user:1"), Key::from("loaded:1"));
    assert_eq!(each(&runtime, || get(kept.clone())), 0);
    let own = each(&runtime, || get(Key::from(format!("user:{}", 1))));
    assert!(own <= 4, "{own}");
    let load = || async {
        let loader = || async { Ok::<_, std::io::Error>(Some("loaded")) };
        let options = LoadOptions { ttl: Duration::from_secs(3_600), ..LoadOptions::default() };
        storage.get_or_load(loaded.clone(), options, loader).await.unwrap().unwrap();
    };
    assert_eq!(each(&runtime, load), 0);
}

#[test]
fn a_get_on_redis_allocates_a_dozen_times_at_most() {
    let runtime = runtime();
    let redis = runtime.block_on(Redis::start()).unwrap();
    let mut config = Config::default();
    config.backends.insert("redis".to_owned(), BackendConfig::at(redis.url()));
    let storage = runtime.block_on(async {
        let storage = Storage::open(config).await.unwrap();
        while storage.set("k", "some value").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        storage
    });
    let op = Op::Get { key: Key::from("k"), with_ttl: false };
    let get = || async {
        storage.execute(&op, CallOptions::default()).await.unwrap();
    };
    let found = each(&runtime, get);
    assert!(found <= 12, "{found}");
}
