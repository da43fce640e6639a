//! The library against what it stands on: the guard alone, and GET on Redis against the raw client.
//! It must not know the front doors.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use mainstay::{
    CallOptions, Clock, Config, Key, Op, Storage,
    backend::{Backend, memory::Memory},
    config::{BackendConfig, RouteConfig},
};
use mainstay_testkit::servers::Redis;

use crate::{
    Failure,
    table::{Row, Table},
};

const GUARD_CALLS: u32 = 500_000;
const REDIS_CALLS: usize = 200_000;

/// What routing, guard and telemetry add to a call: a GET of memory through the storage, against the same GET on the
/// backend itself.
pub(crate) async fn guard(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    let route = RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
    let storage = Storage::open(Config { routes: vec![route], ..Config::default() }).await?;
    storage.set("k", "v").await?;
    let clock = Clock::system();
    let memory = Memory::new(&Config::default().memory, 1 << 20, clock.clone());
    memory.connect(clock.deadline_in(Duration::from_secs(1))).await?;
    let op = Op::Get { key: Key::from("k"), with_ttl: false };
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        for _ in 0..GUARD_CALLS {
            storage.execute(&op, CallOptions::default()).await?;
        }
        ours.push(begun.elapsed().as_nanos() as f64 / f64::from(GUARD_CALLS));
        let begun = Instant::now();
        for _ in 0..GUARD_CALLS {
            memory.execute(&op, clock.deadline_in(Duration::from_secs(5))).await?;
        }
        bare.push(begun.elapsed().as_nanos() as f64 / f64::from(GUARD_CALLS));
    }
    let name = "route + guard + counts, per call".to_owned();
    table.push(Row {
        name,
        unit: "ns",
        ours,
        reference_name: "the backend alone",
        reference: bare,
        target: "difference < 1000 ns",
    });
    storage.close(Duration::from_secs(5)).await;
    Ok(())
}

/// GET on Redis with 64 tasks.
pub(crate) async fn redis_get(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    let redis = Redis::start().await?;
    let mut config = Config::default();
    config.backends.insert("redis".to_owned(), BackendConfig::at(redis.url()));
    let storage = Storage::open(config).await?;
    storage.set("k", "some value").await?;
    let raw = redis::Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    for tasks in [1, 64] {
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(storage_gets(&storage, tasks).await?);
            reference.push(raw_gets(&raw, tasks).await?);
        }
        let name = format!("library GET on Redis, {tasks} tasks");
        table.push(Row {
            name,
            unit: "/s",
            ours,
            reference_name: "redis crate",
            reference,
            target: "ratio >= 0.9",
        });
    }
    storage.close(Duration::from_secs(5)).await;
    Ok(())
}

async fn storage_gets(storage: &Storage, tasks: usize) -> Result<f64, Failure> {
    let op = Arc::new(Op::Get { key: Key::from("k"), with_ttl: false });
    let begun = Instant::now();
    let each = REDIS_CALLS / tasks.max(10);
    let running = (0..tasks).map(|_| {
        let (storage, op) = (storage.clone(), Arc::clone(&op));
        tokio::spawn(async move {
            for _ in 0..each {
                storage.execute(&op, CallOptions::default()).await?;
            }
            Ok::<_, mainstay::Error>(())
        })
    });
    for outcome in try_join_all(running).await? {
        outcome?;
    }
    Ok((each * tasks) as f64 / begun.elapsed().as_secs_f64())
}

async fn raw_gets(raw: &redis::aio::MultiplexedConnection, tasks: usize) -> Result<f64, Failure> {
    let begun = Instant::now();
    let each = REDIS_CALLS / tasks.max(10);
    let running = (0..tasks).map(|_| {
        let mut raw = raw.clone();
        tokio::spawn(async move {
            for _ in 0..each {
                let _: Vec<u8> = redis::cmd("GET").arg("k").query_async(&mut raw).await?;
            }
            Ok::<_, redis::RedisError>(())
        })
    });
    for outcome in try_join_all(running).await? {
        outcome?;
    }
    Ok((each * tasks) as f64 / begun.elapsed().as_secs_f64())
}
