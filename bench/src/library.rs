//! The library against what it stands on: the guard alone, and GET on Redis against the raw client.
//! It must not know the front doors.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use mainstay::{
    CallOptions, Clock, Config, Key, Op, Storage,
    backend::{Backend, memory::Memory, open::open},
    config::{BackendConfig, RouteConfig},
};
use mainstay_testkit::servers::Redis;

use crate::{
    Failure,
    table::{Row, Table},
};

const GUARD_CALLS: u32 = 500_000;

/// What routing, guard and telemetry add to a call: a GET of memory through the storage, against the same GET on the
/// backend itself.
pub(crate) async fn guard(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    let route = RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
    let storage = Storage::open(Config { routes: vec![route], ..Config::default() }).await?;
    storage.set("k", "v").await?;
    let clock = Clock::system();
    let memory = Memory::new(&Config::default().memory, 1 << 20, clock.clone());
    memory.connect(clock.deadline_in(Duration::from_secs(1))).await?;
    let op = get();
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

/// GET on Redis by the library, by its adapter alone, and by the raw client; calls a second, and processor time of this
/// process per call, which foreign load disturbs less.
pub(crate) async fn redis_get(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    let redis = Redis::start().await?;
    let mut config = Config::default();
    config.backends.insert("redis".to_owned(), BackendConfig::at(redis.url()));
    let storage = Storage::open(config).await?;
    storage.set("k", "some value").await?;
    let raw = redis::Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    let clock = Clock::system();
    let adapter = open(&BackendConfig::at(redis.url()), 1 << 20, &clock)?;
    adapter.connect(clock.deadline_in(Duration::from_secs(5))).await?;
    for tasks in [1, 64] {
        let mut runs: [Vec<Measured>; 3] = Default::default();
        for _ in 0..rounds {
            runs[0].push(measure(tasks, |_| storage_gets(storage.clone())).await?);
            runs[1]
                .push(measure(tasks, |_| adapter_gets(Arc::clone(&adapter), clock.clone())).await?);
            runs[2].push(measure(tasks, |_| raw_gets(raw.clone())).await?);
        }
        let [ours, alone, reference] = runs;
        push(table, &format!("library GET on Redis, {tasks} tasks"), &ours, &reference);
        push(table, &format!("adapter GET on Redis, {tasks} tasks"), &alone, &reference);
    }
    storage.close(Duration::from_secs(5)).await;
    Ok(())
}

/// Calls a second, and nanoseconds of this process per call.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) rate: f64,
    cpu: f64,
}

fn push(table: &mut Table, name: &str, ours: &[Measured], reference: &[Measured]) {
    let rates = |all: &[Measured]| all.iter().map(|one| one.rate).collect();
    let cpus = |all: &[Measured]| all.iter().map(|one| one.cpu).collect();
    let row = |name, unit, ours, reference, target| Row {
        name,
        unit,
        ours,
        reference_name: "redis crate",
        reference,
        target,
    };
    table.push(row(name.to_owned(), "/s", rates(ours), rates(reference), "ratio >= 0.9"));
    table.push(row(format!("{name}, CPU a call"), "ns", cpus(ours), cpus(reference), ""));
}

pub(crate) async fn measure<F>(tasks: usize, task: impl Fn(usize) -> F) -> Result<Measured, Failure>
where
    F: Future<Output = Result<usize, Failure>> + Send + 'static,
{
    let (begun, cpu) = (Instant::now(), cpu_time()?);
    let running: Vec<_> = (0..tasks).map(|index| tokio::spawn(task(index))).collect();
    let mut calls = 0;
    for outcome in try_join_all(running).await? {
        calls += outcome?;
    }
    let calls = calls as f64;
    let cpu = (cpu_time()? - cpu).as_nanos() as f64 / calls;
    Ok(Measured { rate: calls / begun.elapsed().as_secs_f64(), cpu })
}

/// User and system time of this process, from the kernel's account in hundredths of a second.
fn cpu_time() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(") ").ok_or("an unknown form of /proc/self/stat")?.1;
    let ticks =
        fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Each task calls for this long.
pub(crate) const TIME: Duration = Duration::from_millis(700);

/// Between two looks at the clock.
const BATCH: usize = 16;

async fn storage_gets(storage: Storage) -> Result<usize, Failure> {
    let (op, begun, mut calls) = (get(), Instant::now(), 0);
    while begun.elapsed() < TIME {
        for _ in 0..BATCH {
            storage.execute(&op, CallOptions::default()).await?;
        }
        calls += BATCH;
    }
    Ok(calls)
}

async fn adapter_gets(adapter: Arc<dyn Backend>, clock: Clock) -> Result<usize, Failure> {
    let (op, begun, mut calls) = (get(), Instant::now(), 0);
    while begun.elapsed() < TIME {
        for _ in 0..BATCH {
            adapter.execute(&op, clock.deadline_in(TIME)).await?;
        }
        calls += BATCH;
    }
    Ok(calls)
}

pub(crate) async fn raw_gets(mut raw: redis::aio::MultiplexedConnection) -> Result<usize, Failure> {
    let (begun, mut calls) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        for _ in 0..BATCH {
            let _: Vec<u8> = redis::cmd("GET").arg("k").query_async(&mut raw).await?;
        }
        calls += BATCH;
    }
    Ok(calls)
}

fn get() -> Op {
    Op::Get { key: Key::from("k"), with_ttl: false }
}
