//! Loaded values: a hit in this process and a shared load against caches that do nothing else; rows of a source over RESP
//! against a cache-aside written by hand.
//! It must not know how a value is kept.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use mainstay::{
    Config, Key, LoadOptions, Storage,
    config::{BackendConfig, RouteConfig},
};
use mainstay_testkit::servers::{Postgres, Redis};

use crate::{
    Failure, aside,
    table::{Row, Table},
};

const CALLS: u32 = 300_000;
/// Callers of one key that is being loaded.
const CALLERS: usize = 1_000;
/// Keys that are loaded one after the other.
const KEYS: usize = 20;
const LOAD: Duration = Duration::from_millis(1);
const TTL: Duration = Duration::from_secs(600);
const VALUE: Bytes = Bytes::from_static(b"some value");

type Moka = moka::future::Cache<Key, Bytes>;
type Foyer = foyer::Cache<Key, Bytes>;

/// Everything about loaded values.
pub(crate) async fn all(table: &mut Table, rounds: usize, binary: &str) -> Result<(), Failure> {
    let route = RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
    let storage = Storage::open(Config { routes: vec![route], ..Config::default() }).await?;
    let moka = Moka::builder().max_capacity(100_000).time_to_live(TTL).build();
    let foyer: Foyer = foyer::CacheBuilder::new(100_000).build();
    hits(table, rounds, &storage, &moka, &foyer).await?;
    joins(table, rounds, &storage, &moka, &foyer).await?;
    storage.close(Duration::from_secs(5)).await;
    let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
    kept(table, rounds, &redis, &postgres, &moka).await?;
    aside::all(table, rounds, binary, &redis, &postgres).await
}

fn row(name: &str, unit: &'static str, ours: &[f64], other: (&'static str, &[f64])) -> Row {
    let (name, reference_name) = (name.to_owned(), other.0);
    let target = if name.starts_with("get_or_load, hit") { "< 200 ns" } else { "" };
    Row { name, unit, ours: ours.to_vec(), reference_name, reference: other.1.to_vec(), target }
}

async fn hits(
    table: &mut Table,
    rounds: usize,
    storage: &Storage,
    moka: &Moka,
    foyer: &Foyer,
) -> Result<(), Failure> {
    let (key, options) = (Key::from("user:1"), LoadOptions::ttl(TTL));
    let sync = moka::sync::Cache::builder().max_capacity(100_000).time_to_live(TTL).build();
    let mut runs: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        let begun = Instant::now();
        for _ in 0..CALLS {
            let load = || async { io::Result::Ok(Some(VALUE)) };
            storage.get_or_load(key.clone(), options.clone(), load).await?.ok_or("nothing")?;
        }
        runs[0].push(per_call(begun, CALLS));
        let begun = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(moka.get_with_by_ref(&key, async { VALUE }).await);
        }
        runs[1].push(per_call(begun, CALLS));
        let begun = Instant::now();
        for _ in 0..CALLS {
            let load = || async { io::Result::Ok(VALUE) };
            std::hint::black_box(foyer.get_or_fetch(&key, load).await?.value().clone());
        }
        runs[2].push(per_call(begun, CALLS));
        let begun = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(sync.get_with_by_ref(&key, || VALUE));
        }
        runs[3].push(per_call(begun, CALLS));
    }
    for (name, run) in
        [("moka, future, with TTL", 1), ("foyer, no TTL", 2), ("moka, sync, with TTL", 3)]
    {
        table.push(row("get_or_load, hit in memory", "ns", &runs[0], (name, &runs[run])));
    }
    Ok(())
}

async fn joins(
    table: &mut Table,
    rounds: usize,
    storage: &Storage,
    moka: &Moka,
    foyer: &Foyer,
) -> Result<(), Failure> {
    let (mut runs, options): ([Vec<f64>; 3], _) = (Default::default(), LoadOptions::ttl(TTL));
    for round in 0..rounds {
        let key = |n: usize| Key::from(format!("cold:{round}:{n}"));
        let begun = Instant::now();
        for n in 0..KEYS {
            let callers = (0..CALLERS).map(|_| {
                storage.get_or_load(key(n), options.clone(), || async {
                    tokio::time::sleep(LOAD).await;
                    io::Result::Ok(Some(VALUE))
                })
            });
            for outcome in join_all(callers).await {
                outcome?.ok_or("nothing")?;
            }
        }
        runs[0].push(per_caller(begun));
        let begun = Instant::now();
        for n in 0..KEYS {
            join_all((0..CALLERS).map(|_| {
                moka.get_with(key(n), async {
                    tokio::time::sleep(LOAD).await;
                    VALUE
                })
            }))
            .await;
        }
        runs[1].push(per_caller(begun));
        let begun = Instant::now();
        for n in 0..KEYS {
            let key = key(n);
            let callers = (0..CALLERS).map(|_| {
                foyer.get_or_fetch(&key, || async {
                    tokio::time::sleep(LOAD).await;
                    io::Result::Ok(VALUE)
                })
            });
            for outcome in join_all(callers).await {
                outcome?;
            }
        }
        runs[2].push(per_caller(begun));
    }
    for (name, run) in [("moka, future", 1), ("foyer", 2)] {
        let what = "1000 join one load of 1 ms, each";
        table.push(row(what, "ns", &runs[0], (name, &runs[run])));
    }
    Ok(())
}

/// A value that is stored, not loaded: `get` before Redis, while the feed tells of changes.
async fn kept(
    table: &mut Table,
    rounds: usize,
    redis: &Redis,
    postgres: &Postgres,
    moka: &Moka,
) -> Result<(), Failure> {
    let mut config = Config::default();
    config.backends.insert("redis".to_owned(), BackendConfig::at(redis.url()));
    config.backends.insert("db".to_owned(), BackendConfig::at(postgres.url()));
    config.routes.push(RouteConfig {
        cache: vec![Config::MEMORY.to_owned(), "redis".to_owned()],
        record: Some("db".to_owned()),
        ..RouteConfig::default()
    });
    let storage = Storage::open(config).await?;
    until_kept(&storage).await?;
    let key = Key::from("k");
    moka.insert(key.clone(), VALUE).await;
    let mut runs: [Vec<f64>; 2] = Default::default();
    for _ in 0..rounds {
        let begun = Instant::now();
        for _ in 0..CALLS {
            storage.get(key.clone()).await?.ok_or("nothing")?;
        }
        runs[0].push(per_call(begun, CALLS));
        let begun = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(moka.get(&key).await);
        }
        runs[1].push(per_call(begun, CALLS));
    }
    table.push(row("get of a copy in memory", "ns", &runs[0], ("moka, get", &runs[1])));
    storage.close(Duration::from_secs(5)).await;
    Ok(())
}

/// Written once; from then on reads keep it.
async fn until_kept(storage: &Storage) -> Result<(), Failure> {
    while storage.set("k", VALUE).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..1_000 {
        let found = storage.get("k").await?;
        if found.is_some_and(|entry| &*entry.source == Config::MEMORY) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("it is never kept in memory".into())
}

fn per_call(begun: Instant, calls: u32) -> f64 {
    begun.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn per_caller(begun: Instant) -> f64 {
    begun.elapsed().as_nanos() as f64 / (KEYS * CALLERS) as f64
}
