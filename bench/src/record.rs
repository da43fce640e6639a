//! Record routes: what keeping copies true costs a read and a write, with the cache and without it; the drain of many
//! dirty keys; what a process does when nobody asks it for anything.
//! It must not know the front doors.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mainstay::{
    CallOptions, Clock, Condition, Config, Entropy, Key, Op, Storage, TtlChange,
    backend::{Backend, open::open},
    config::BackendConfig,
};
use mainstay_testkit::servers::{Postgres, Redis};

use crate::{
    Failure,
    library::{Call, Client, Measured, TIME, measure},
    table::{Row, Table},
};

/// Keys of the writes: enough that writers seldom meet.
pub(crate) const KEYS: usize = 1000;
/// Keys written around the cache, to be drained.
const DIRTY: usize = 100_000;

/// Everything about record routes before one Redis and one PostgreSQL.
pub(crate) async fn all(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    let (mut redis, postgres) = (Redis::start().await?, Postgres::start().await?);
    let storage = Storage::open(config(&redis.url(), &postgres.url())).await?;
    until(|| storage.status().caches[0].readable).await?;
    idle(&storage).await?;
    reads(table, rounds, &storage, &redis).await?;
    let clock = Clock::system();
    let bare = open(&BackendConfig::at(postgres.url()), 1 << 20, &clock, &Entropy::system())?;
    bare.connect(clock.deadline_in(Duration::from_secs(5))).await?;
    writes(table, rounds, &storage, &bare, "with Redis").await?;
    drain(&storage, &postgres).await?;
    redis.kill();
    until(|| !storage.status().caches[0].readable).await?;
    writes(table, rounds, &storage, &bare, "Redis down").await?;
    storage.close(Duration::from_secs(5)).await;
    Ok(())
}

pub(crate) fn config(redis: &str, postgres: &str) -> Config {
    let mut config = Config::default();
    config.backends.insert("redis".to_owned(), BackendConfig::at(redis));
    config.backends.insert("db".to_owned(), BackendConfig::at(postgres));
    config
}

pub(crate) async fn until(done: impl Fn() -> bool) -> Result<(), Failure> {
    for _ in 0..3_000 {
        if done() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("it never came to be".into())
}

/// Calls a second of a process that nobody asks for anything.
async fn idle(storage: &Storage) -> Result<(), Failure> {
    let calls = || -> Vec<u64> {
        storage.status().backends.iter().map(|backend| backend.calls.success).collect()
    };
    let (before, begun) = (calls(), Instant::now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (after, seconds) = (calls(), begun.elapsed().as_secs_f64());
    for (index, backend) in storage.status().backends.iter().enumerate() {
        let rate = (after[index] - before[index]) as f64 / seconds;
        println!("idle: {rate:.2} calls a second to {} (probes and purges apart)", backend.name);
    }
    Ok(())
}

async fn reads(
    table: &mut Table,
    rounds: usize,
    storage: &Storage,
    redis: &Redis,
) -> Result<(), Failure> {
    storage.set("k", "some value").await?;
    until_cached(storage, "k").await?;
    let raw = redis::Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    let _: () = redis::cmd("SET").arg("k").arg("some value").query_async(&mut raw.clone()).await?;
    for tasks in [1, 64] {
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(measure(tasks, |_| hits(storage.clone())).await?.rate);
            reference
                .push(measure(tasks, |_| Client::Raw(raw.clone()).calls(Call::Get)).await?.rate);
        }
        table.push(Row {
            name: format!("record route, copy read, {tasks} tasks"),
            unit: "/s",
            ours,
            reference_name: "redis crate, GET",
            reference,
            target: "ratio >= 0.9",
        });
    }
    Ok(())
}

async fn until_cached(storage: &Storage, key: &str) -> Result<(), Failure> {
    for _ in 0..1_000 {
        if storage.get(key).await?.is_some_and(|entry| &*entry.source == "redis") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("it is never cached".into())
}

async fn hits(storage: Storage) -> Result<usize, Failure> {
    let op = Op::Get { key: Key::from("k"), with_ttl: false };
    let (begun, mut calls) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        for _ in 0..16 {
            storage.execute(&op, CallOptions::default()).await?;
        }
        calls += 16;
    }
    Ok(calls)
}

async fn writes(
    table: &mut Table,
    rounds: usize,
    storage: &Storage,
    bare: &Arc<dyn Backend>,
    when: &str,
) -> Result<(), Failure> {
    for tasks in [1, 16] {
        let (mut ours, mut reference): (Vec<Measured>, Vec<Measured>) = Default::default();
        for _ in 0..rounds {
            ours.push(measure(tasks, |task| sets(storage.clone(), task)).await?);
            reference.push(measure(tasks, |task| commits(Arc::clone(bare), task)).await?);
        }
        let rates = |all: &[Measured]| all.iter().map(|one| one.rate).collect();
        table.push(Row {
            name: format!("record route, write, {when}, {tasks} tasks"),
            unit: "/s",
            ours: rates(&ours),
            reference_name: "PostgreSQL upsert, commit",
            reference: rates(&reference),
            target: if when == "with Redis" { "one round trip more" } else { "" },
        });
    }
    Ok(())
}

fn set(key: String) -> Op {
    Op::Set {
        key: Key::from(key),
        value: Bytes::from_static(b"some value"),
        ttl: TtlChange::Clear,
        condition: Condition::Always,
        want_previous: false,
    }
}

pub(crate) async fn sets(storage: Storage, task: usize) -> Result<usize, Failure> {
    let (begun, mut calls) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        let op = set(format!("w{task}:{}", calls % KEYS));
        storage.execute(&op, CallOptions::default()).await?;
        calls += 1;
    }
    Ok(calls)
}

async fn commits(bare: Arc<dyn Backend>, task: usize) -> Result<usize, Failure> {
    let clock = Clock::system();
    let (begun, mut calls) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        let op = set(format!("b{task}:{}", calls % KEYS));
        bare.execute(&op, clock.deadline_in(Duration::from_secs(5))).await?;
        calls += 1;
    }
    Ok(calls)
}

/// A second process, which cannot reach Redis, writes many keys around it; this one drains them and goes on serving.
async fn drain(storage: &Storage, postgres: &Postgres) -> Result<(), Failure> {
    // Nobody listens at the first port.
    let cut_off = config("redis://127.0.0.1:1", &postgres.url());
    let writer = Storage::open(cut_off).await?;
    until(|| writer.status().caches[0].epoch > 0).await?;
    let before = latency(storage, |_| false).await?;
    let drained = |storage: &Storage| storage.status().caches[0].drained_keys;
    let (already, begun) = (drained(storage), Instant::now());
    let load = tokio::spawn({
        let writer = writer.clone();
        async move {
            for batch in 0..DIRTY / 5_000 {
                let entries =
                    (0..5_000).map(|n| (Key::from(format!("d{batch}:{n}")), Bytes::from("v")));
                let op = Op::SetMany {
                    entries: entries.collect(),
                    ttl: TtlChange::Clear,
                    all_absent: false,
                };
                writer.execute(&op, CallOptions::default()).await?;
            }
            Ok::<_, Failure>(())
        }
    });
    let meanwhile =
        latency(storage, |elapsed| drained(storage) - already < DIRTY as u64 && elapsed < 120.0)
            .await?;
    load.await??;
    let (rows, seconds) = (drained(storage) - already, begun.elapsed().as_secs_f64());
    println!(
        "drain: {rows} dirty keys in {seconds:.1} s while they were written, {:.0} a second; reads of a copy meanwhile: \
         p50 {:.0} µs, p99 {:.0} µs (before: {:.0} and {:.0})",
        rows as f64 / seconds,
        meanwhile.0,
        meanwhile.1,
        before.0,
        before.1
    );
    writer.close(Duration::from_secs(5)).await;
    Ok(())
}

/// Median and 99th percentile of reads of one copy, microseconds: a thousand, and on while asked to.
async fn latency(storage: &Storage, go_on: impl Fn(f64) -> bool) -> Result<(f64, f64), Failure> {
    let (begun, mut took) = (Instant::now(), Vec::new());
    while took.len() < 1_000 || go_on(begun.elapsed().as_secs_f64()) {
        let asked = Instant::now();
        storage.get("k").await?;
        took.push(asked.elapsed().as_secs_f64() * 1e6);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    took.sort_by(f64::total_cmp);
    Ok((took[took.len() / 2], took[took.len() * 99 / 100]))
}
