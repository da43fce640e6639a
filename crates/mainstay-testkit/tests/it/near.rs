//! What processes keep of their own before a real Redis: two storages over one Redis and one PostgreSQL.
//! Knows nothing of how it is kept.

use mainstay::config::{BackendConfig, ConsistencyConfig, RouteConfig};
use mainstay::status::L1Status;
use mainstay::{Clock, Config, Freshness, Storage};
use mainstay_testkit::servers::{Postgres, Redis};
use std::time::Duration;

/// Long enough that only a failure reaches it.
const FOREVER: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(2);

struct World {
    redis: Redis,
    _record: Postgres,
    a: Storage,
    b: Storage,
}

async fn storage(redis: &str, record: &str) -> Storage {
    let route = RouteConfig {
        cache: vec!["memory".into(), "redis".into()],
        record: Some("db".into()),
        ..RouteConfig::default()
    };
    let consistency = ConsistencyConfig { lease: LEASE, ..ConsistencyConfig::default() };
    let mut config = Config { routes: vec![route], consistency, ..Config::default() };
    config.backends.insert("redis".into(), BackendConfig::at(redis));
    config.backends.insert("db".into(), BackendConfig::at(record));
    Storage::open(config).await.unwrap()
}

impl World {
    async fn new() -> Self {
        let redis = Redis::start().await.unwrap();
        let record = Postgres::start().await.unwrap();
        let a = storage(&redis.url(), &record.url()).await;
        let b = storage(&redis.url(), &record.url()).await;
        let world = Self { redis, _record: record, a, b };
        for storage in [&world.a, &world.b] {
            until(|| async { storage.status().caches[0].readable }).await;
        }
        world
    }

    async fn near(&self, key: &str) {
        until(|| async { source(&self.b, key).await == "memory" }).await;
    }

    /// Reads through b until it finds this; for how long after now a read that found something else was begun.
    async fn behind(&self, key: &str, value: &str) -> Duration {
        let clock = Clock::system();
        let (begun, mut behind) = (clock.now(), Duration::ZERO);
        let waited = tokio::time::timeout(FOREVER, async {
            loop {
                let now = clock.now();
                if get(&self.b, key).await == value {
                    return behind;
                }
                behind = now - begun;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        waited.await.expect("the new value")
    }

    fn l1(&self) -> L1Status {
        self.b.status().caches[0].l1.clone().unwrap()
    }

    async fn close(self) {
        self.a.close(FOREVER).await;
        self.b.close(FOREVER).await;
    }
}

async fn get(storage: &Storage, key: &str) -> String {
    let entry = storage.get(key).await.unwrap().unwrap();
    String::from_utf8(entry.value.to_vec()).unwrap()
}

async fn source(storage: &Storage, key: &str) -> String {
    storage.get(key).await.unwrap().unwrap().source.to_string()
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let waited = tokio::time::timeout(FOREVER, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it never came true");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_through_one_process_is_told_to_the_memory_of_the_other() {
    let world = World::new().await;
    world.a.set("k", "0").await.unwrap();
    world.near("k").await;
    let entry = world.b.get("k").await.unwrap().unwrap();
    assert_eq!(entry.freshness, Freshness::Bounded(LEASE));
    for round in 1..100 {
        let value = round.to_string();
        world.a.set("k", value.clone()).await.unwrap();
        assert!(world.behind("k", &value).await <= LEASE);
        if round % 10 == 0 {
            world.near("k").await;
        }
    }
    for round in 0..100 {
        world.b.set("own", round.to_string()).await.unwrap();
        assert_eq!(get(&world.b, "own").await, round.to_string());
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_key_that_is_written_all_the_time_never_go_back() {
    const LAST: u64 = 300;
    let world = World::new().await;
    world.a.set("n", "0").await.unwrap();
    world.near("n").await;
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let b = world.b.clone();
            tokio::spawn(async move {
                let mut last = 0;
                while last < LAST {
                    let n: u64 = get(&b, "n").await.parse().unwrap();
                    assert!(n >= last, "{n} after {last}");
                    last = n;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for n in 1..=LAST {
        world.a.set("n", n.to_string()).await.unwrap();
        if n % 20 == 0 {
            world.near("n").await;
        }
    }
    for reader in readers {
        tokio::time::timeout(FOREVER, reader).await.expect("the last one is seen").unwrap();
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_empties_the_memory_and_what_is_hot_is_filled_again() {
    let world = World::new().await;
    world.a.set("k", "1").await.unwrap();
    world.near("k").await;
    // A beacon is known to the record from its second raise on.
    until(|| async {
        let key = world.redis.redis_cli(&["KEYS", "mainstay:*:beacon"]).await.unwrap();
        let beacon = world.redis.redis_cli(&["GET", key.trim()]).await.unwrap();
        beacon.trim().parse::<u64>().is_ok_and(|beacon| beacon >= 2)
    })
    .await;
    world.near("k").await;
    let generation = world.b.status().caches[0].generation;
    world.redis.redis_cli(&["FLUSHALL"]).await.unwrap();
    until(|| async { world.b.status().caches[0].generation > generation }).await;
    // Before anybody reads it.
    until(|| async {
        let keys = world.redis.redis_cli(&["KEYS", "mainstay:*:k"]).await.unwrap();
        !keys.is_empty()
    })
    .await;
    world.near("k").await;
    world.a.set("k", "2").await.unwrap();
    assert!(world.behind("k", "2").await <= LEASE);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_feed_empties_the_memory_and_begins_again() {
    let world = World::new().await;
    world.a.set("k", "1").await.unwrap();
    world.near("k").await;
    let followers = async || {
        let clients = world.redis.redis_cli(&["CLIENT", "LIST"]).await.unwrap();
        let lines = clients.lines().filter(|line| line.contains("flags=tB"));
        let ids = lines.filter_map(|line| line.strip_prefix("id=")?.split(' ').next());
        ids.map(str::to_owned).collect::<Vec<_>>()
    };
    until(|| async { followers().await.len() == 2 }).await;
    let before = followers().await;
    assert_eq!(before.len(), 2);
    for id in &before {
        world.redis.redis_cli(&["CLIENT", "KILL", "ID", id]).await.unwrap();
    }
    world.a.set("k", "2").await.unwrap();
    assert!(world.behind("k", "2").await <= LEASE);
    until(|| async { followers().await.iter().filter(|id| !before.contains(id)).count() == 2 })
        .await;
    world.near("k").await;
    assert_eq!(get(&world.b, "k").await, "2");
    until(|| async { world.l1().feed == "following" }).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_redis_ends_the_hits_within_a_lease() {
    let world = World::new().await;
    world.a.set("k", "1").await.unwrap();
    world.near("k").await;
    world.redis.stop();
    // The mark cannot be placed: it goes around, and b knows nothing of it but by its lease.
    world.a.set("k", "2").await.unwrap();
    assert!(world.behind("k", "2").await <= LEASE);
    until(|| async { world.l1().feed == "broken" }).await;
    assert_eq!((world.l1().entries, source(&world.b, "k").await.as_str()), (0, "db"));
    world.redis.cont();
    world.near("k").await;
    assert_eq!(get(&world.b, "k").await, "2");
    world.close().await;
}
