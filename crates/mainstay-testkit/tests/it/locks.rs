//! Locks on real servers: two storages, as two processes would be, and servers that die and forget.
//! Knows nothing of how a lock is granted.

use mainstay::backend::semantics::locks::PASSES_MAX;
use mainstay::config::{BackendConfig, LockModeConfig, LocksConfig};
use mainstay::{
    Config, ErrorKind, Guarantee, LockGuard, LockMode, LockOptions, Released, SetOptions, Storage,
};
use mainstay_testkit::servers::{MariaDb, Postgres, Redis};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Long enough that only a failure reaches it.
const FOREVER: Duration = Duration::from_secs(60);

/// How long a server may take on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(10);

fn locks(mode: LockModeConfig, backends: &[&str]) -> LocksConfig {
    LocksConfig {
        mode,
        backends: backends.iter().map(|name| (*name).to_owned()).collect(),
        ttl_max: Duration::from_secs(4),
        wait_max: FOREVER,
        view: Duration::from_millis(500),
    }
}

async fn storage(backends: &[(&str, String)], locks: LocksConfig) -> Storage {
    let mut config = Config { locks, ..Config::default() };
    for (name, url) in backends {
        let backend = BackendConfig {
            timeout: Some(PATIENCE),
            connect_timeout: PATIENCE,
            ..BackendConfig::at(url)
        };
        config.backends.insert((*name).into(), backend);
    }
    Storage::open(config).await.unwrap()
}

async fn take(storage: &Storage, name: &str) -> LockGuard {
    storage.lock(name).await.unwrap()
}

/// Reads, adds one and writes, under the lock and its fence: nothing is lost if there is one holder at a time.
async fn counting(storages: [&Storage; 2], rounds: u64) {
    let mut workers = JoinSet::new();
    for number in 0..8_usize {
        let storage = storages[number % 2].clone();
        workers.spawn(async move {
            let mut tokens = Vec::new();
            for _ in 0..rounds {
                let guard = take(&storage, "counter").await;
                let found = storage.get("count").await.unwrap();
                let count: u64 = found
                    .map_or(0, |entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap());
                let options = SetOptions { fence: Some(guard.fence()), ..SetOptions::default() };
                let next = (count + 1).to_string();
                assert!(storage.set_with("count", next, options).await.unwrap().applied);
                tokens.push(guard.token());
                assert_eq!(guard.release().await, Released::Released);
            }
            tokens
        });
    }
    let mut tokens: Vec<u64> = workers.join_all().await.into_iter().flatten().collect();
    tokens.sort_unstable();
    let given = tokens.len();
    tokens.dedup();
    assert_eq!(tokens.len(), given, "no token twice");
    let count = storages[0].get("count").await.unwrap().unwrap();
    assert_eq!(count.value, (8 * rounds).to_string().as_str());
}

async fn record(url: String) -> [Storage; 2] {
    let backends = [("db", url)];
    let settings = LocksConfig { ttl_max: FOREVER, ..locks(LockModeConfig::Auto, &[]) };
    let a = storage(&backends, settings.clone()).await;
    let b = storage(&backends, settings).await;
    assert_eq!(a.locks().guarantee(), Some(Guarantee::Fenced));
    for storage in [&a, &b] {
        // A server that has just started may take its time for the first connection.
        let connected = async {
            while storage.set("there", "1").await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(FOREVER, connected).await.expect("it connects");
    }
    counting([&a, &b], 6).await;
    [a, b]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_row_of_postgres_and_its_server_is_killed() {
    let mut postgres = Postgres::start().await.unwrap();
    let [a, b] = record(postgres.url()).await;
    let options = LockOptions { ttl: Some(Duration::from_secs(30)), ..LockOptions::default() };
    let guard = a.lock_with("kept", options).await.unwrap().unwrap();
    postgres.kill();
    assert!(b.try_lock("kept").await.is_err(), "nobody can say");
    postgres.restart().await.unwrap();
    let waited = async {
        loop {
            match b.try_lock("kept").await {
                Ok(held) => return held,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let held = tokio::time::timeout(FOREVER, waited).await.expect("it is back");
    assert!(held.is_none(), "the row has outlived the server");
    guard.check().unwrap();
    let token = guard.token();
    drop(guard);
    assert!(take(&b, "kept").await.token() > token);
    for storage in [a, b] {
        storage.close(FOREVER).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_row_of_mariadb() {
    let mariadb = MariaDb::start().await.unwrap();
    for storage in record(mariadb.url()).await {
        storage.close(FOREVER).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_database_ends_the_guard_at_its_deadline_and_not_later() {
    let postgres = Postgres::start().await.unwrap();
    let storage = storage(&[("db", postgres.url())], locks(LockModeConfig::Record, &["db"])).await;
    let guard = take(&storage, "a").await;
    postgres.stop();
    tokio::time::timeout(FOREVER, guard.lost()).await.expect("lost without an answer");
    assert_eq!(guard.check().unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(guard.release().await, Released::AlreadyLost);
    postgres.cont();
    storage.close(FOREVER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_of_three_engines_and_redis_forgets() {
    let mut redis = Redis::start().await.unwrap();
    let (postgres, mut mariadb) =
        (Postgres::start().await.unwrap(), MariaDb::start().await.unwrap());
    let backends = [("redis", redis.url()), ("db", postgres.url()), ("maria", mariadb.url())];
    let settings = locks(LockModeConfig::Quorum, &["redis", "db", "maria"]);
    let a = storage(&backends, settings.clone()).await;
    let b = storage(&backends, settings).await;
    let first = take(&a, "a").await;
    assert_eq!((first.mode(), first.guarantee()), (LockMode::Quorum, Guarantee::Fenced));
    assert!(b.try_lock("a").await.unwrap().is_none());
    let mut last = first.token();
    drop(first);
    redis.kill();
    for storage in [&b, &a] {
        let guard = take(storage, "a").await;
        assert!(guard.token() > last);
        last = guard.token();
        guard.release().await;
    }
    counting([&a, &b], 3).await;
    redis.restart_empty().await.unwrap();
    let admitted = async {
        let votes = |event: &mainstay::Event| {
            event.kind.as_str() == "lock" && event.backend.as_deref() == Some("redis")
        };
        let votes = || {
            [&a, &b]
                .iter()
                .flat_map(|storage| storage.events().since(0))
                .filter(|event| votes(event))
                .count()
        };
        let before = votes();
        while votes() == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(FOREVER, admitted).await.expect("it votes again");
    mariadb.kill();
    for storage in [&a, &b] {
        let guard = take(storage, "a").await;
        assert!(guard.token() > last, "{} after {last}", guard.token());
        last = guard.token();
        guard.release().await;
    }
    for storage in [a, b] {
        storage.close(FOREVER).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_grants_while_the_database_says_so_and_its_memory_is_emptied_and_it_dies() {
    let mut redis = Redis::start().await.unwrap();
    let postgres = Postgres::start().await.unwrap();
    let backends = [("redis", redis.url()), ("db", postgres.url())];
    let settings = locks(LockModeConfig::Failover, &["redis", "db"]);
    let a = storage(&backends, settings.clone()).await;
    let b = storage(&backends, settings).await;
    let authority = |storage: &Storage| storage.status().locks.authority;
    let first = take(&a, "a").await;
    assert_eq!(authority(&a), Some(("redis".into(), 1)));
    counting([&a, &b], 3).await;
    assert!(b.try_lock("a").await.unwrap().is_none());
    redis.redis_cli(&["flushall"]).await.unwrap();
    let second = take(&b, "a").await;
    assert!(!first.is_held(), "its lease had ended before");
    assert!(second.token() > first.token());
    assert_eq!(authority(&b), Some(("redis".into(), 2)));
    redis.kill();
    let third = take(&a, "a").await;
    assert!(!second.is_held() && third.token() > second.token());
    assert_eq!(authority(&a), Some(("db".into(), 3)));
    for storage in [a, b] {
        storage.close(FOREVER).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_may_evict_never_has_the_authority() {
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    for setting in [["maxmemory", "100mb"], ["maxmemory-policy", "allkeys-lru"]] {
        redis.redis_cli(&["config", "set", setting[0], setting[1]]).await.unwrap();
    }
    let backends = [("redis", redis.url()), ("db", postgres.url())];
    let storage = storage(&backends, locks(LockModeConfig::Failover, &["redis", "db"])).await;
    let guard = take(&storage, "a").await;
    assert_eq!(storage.status().locks.authority, Some(("db".into(), 1)));
    assert_eq!(guard.release().await, Released::Released);
    storage.close(FOREVER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_the_fence_refuses_leaves_no_trace_in_the_cache() {
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let backends = [("redis", redis.url()), ("db", postgres.url())];
    let settings = LocksConfig { ttl_max: FOREVER, ..locks(LockModeConfig::Auto, &[]) };
    let a = storage(&backends, settings.clone()).await;
    let b = storage(&backends, settings).await;
    let readable = async {
        while !a.status().caches[0].readable || !b.status().caches[0].readable {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(FOREVER, readable).await.expect("the cache serves");
    let under =
        |guard: &LockGuard| SetOptions { fence: Some(guard.fence()), ..SetOptions::default() };
    let old = take(&a, "lock").await;
    let stale = under(&old);
    a.set_with("k", "old", under(&old)).await.unwrap();
    old.release().await;
    let new = take(&b, "lock").await;
    b.set_with("k", "new", under(&new)).await.unwrap();
    for _ in 0..20 {
        let error = a.set_with("k", "stale", stale.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        for storage in [&a, &b] {
            assert_eq!(storage.get("k").await.unwrap().unwrap().value, "new");
        }
    }
    counting([&a, &b], 4).await;
    for storage in [a, b] {
        storage.close(FOREVER).await;
    }
}

/// Waits of `b` over holds of `a`: once it has heard of a release, it looks a few times and then rarely.
async fn woken(a: &Storage, b: &Storage) {
    let in_vain = || b.status().locks.contended;
    for _ in 0..20 {
        let (guard, before, began) = (take(a, "told").await, in_vain(), Instant::now());
        let waiting = b.clone();
        let waiting = tokio::spawn(async move { take(&waiting, "told").await.release().await });
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(guard.release().await, Released::Released);
        assert_eq!(waiting.await.unwrap(), Released::Released);
        let lasted = began.elapsed();
        let looks = in_vain() - before;
        assert!(looks > 0, "it was held");
        // Six that grow, then one each quarter of a second; else each fortieth of one.
        if u128::from(looks) <= 7 + lasted.as_millis() / 250 {
            return;
        }
    }
    unreachable!("nobody was ever told");
}

/// How many of sixteen in two processes take the lock in five waits of another process.
async fn passed([a, b, alone]: [&Storage; 3]) -> u64 {
    let granted = || a.status().locks.granted + b.status().locks.granted;
    let mut busy = JoinSet::new();
    for number in 0..16 {
        let storage = [a, b][number % 2].clone();
        busy.spawn(async move {
            loop {
                take(&storage, "busy").await.release().await;
            }
        });
    }
    let go_on = async |more: u64| {
        let then = granted();
        while granted() < then + more {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut passed = 0;
    for _ in 0..5 {
        tokio::time::timeout(FOREVER, go_on(50)).await.expect("they are busy");
        let before = granted();
        let guard = take(alone, "busy").await;
        passed += granted() - before;
        guard.release().await;
    }
    busy.shutdown().await;
    passed
}

/// Three processes on one server.
async fn across(url: String) {
    let settings = LocksConfig { ttl_max: FOREVER, ..locks(LockModeConfig::Auto, &[]) };
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(storage(&[("db", url.clone())], settings.clone()).await);
    }
    woken(&all[0], &all[1]).await;
    let passed = passed([&all[0], &all[1], &all[2]]).await;
    // Each wait: some that have waited longer, in two processes, and whom they let pass. Where a moment was missed, again.
    assert!(passed <= 5 * 20 * (PASSES_MAX + 1), "{passed} passed in five waits");
    for storage in all {
        storage.close(FOREVER).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_tells_of_releases_and_a_single_waiter_is_served() {
    let postgres = Postgres::start().await.unwrap();
    across(postgres.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_tells_of_releases_and_a_single_waiter_is_served() {
    let redis = Redis::start().await.unwrap();
    across(redis.url()).await;
}
