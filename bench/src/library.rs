//! The library against what it stands on: the guard alone, and calls on Redis against the raw client.
//! It must not know the front doors.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::try_join_all;
use mainstay::{
    CallOptions, Clock, Condition, Config, Entropy, Key, Op, Storage, TtlChange,
    backend::{Backend, memory::Memory, open::open},
    config::{BackendConfig, RouteConfig},
};
use mainstay_testkit::servers::Redis;

use crate::{
    Failure,
    process::cpu_of,
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
    let op = Call::Get.op();
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

/// GET, SET and MGET of sixteen keys on Redis by the library, by its adapter alone, and by the raw client: calls a second,
/// processor time of this process per call, which foreign load disturbs less, and the 99th percentile.
pub(crate) async fn on_redis(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    let redis = Redis::start().await?;
    let mut config = Config::default();
    config.backends.insert("redis".to_owned(), BackendConfig::at(redis.url()));
    let storage = Storage::open(config).await?;
    let raw = redis::Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    let clock = Clock::system();
    let adapter = open(&BackendConfig::at(redis.url()), 1 << 20, &clock, &Entropy::system())?;
    adapter.connect(clock.deadline_in(Duration::from_secs(5))).await?;
    for key in KEYS {
        storage.set(key, VALUE).await?;
    }
    let clients =
        [Client::Storage(storage.clone()), Client::Adapter(adapter, clock), Client::Raw(raw)];
    for call in [Call::Get, Call::Set, Call::GetMany] {
        for tasks in [1, 64, 512] {
            let mut runs: [Vec<Measured>; 3] = Default::default();
            for _ in 0..rounds {
                for (client, runs) in clients.iter().zip(&mut runs) {
                    runs.push(measure(tasks, |_| client.clone().calls(call)).await?);
                }
            }
            let [ours, alone, reference] = runs;
            let name = call.name();
            push(table, &format!("library {name}, {tasks} tasks"), &ours, &reference, tasks > 1);
            push(table, &format!("adapter {name}, {tasks} tasks"), &alone, &reference, false);
        }
    }
    storage.close(Duration::from_secs(5)).await;
    Ok(())
}

const KEYS: [&str; 16] = [
    "k", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11", "k12", "k13", "k14",
    "k15",
];
const VALUE: &str = "some value";

/// What is called.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    Get,
    Set,
    GetMany,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Set => "SET",
            Self::GetMany => "MGET of 16",
        }
    }

    fn op(self) -> Op {
        match self {
            Self::Get => Op::Get { key: Key::from(KEYS[0]), with_ttl: false },
            Self::Set => Op::Set {
                key: Key::from(KEYS[0]),
                value: Bytes::from_static(VALUE.as_bytes()),
                ttl: TtlChange::Clear,
                condition: Condition::Always,
                want_previous: false,
            },
            Self::GetMany => Op::GetMany { keys: KEYS.map(Key::from).to_vec() },
        }
    }

    fn command(self) -> redis::Cmd {
        match self {
            Self::Get => redis::cmd("GET").arg(KEYS[0]).take(),
            Self::Set => redis::cmd("SET").arg(KEYS[0]).arg(VALUE).take(),
            Self::GetMany => redis::cmd("MGET").arg(&KEYS).take(),
        }
    }
}

/// Calls a second, nanoseconds of this process per call, and the 99th percentile of some of them in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) rate: f64,
    cpu: f64,
    late: f64,
}

fn push(table: &mut Table, name: &str, ours: &[Measured], reference: &[Measured], is_judged: bool) {
    let mut row = |suffix: &str, unit, of: fn(&Measured) -> f64, target| {
        table.push(Row {
            name: format!("{name}{suffix}"),
            unit,
            ours: ours.iter().map(of).collect(),
            reference_name: "redis crate",
            reference: reference.iter().map(of).collect(),
            target: if is_judged { target } else { "" },
        });
    };
    row("", "/s", |run| run.rate, "ratio >= 0.95");
    row(", CPU a call", "ns", |run| run.cpu, "");
    row(", p99", "us", |run| run.late, "ratio <= 1.1");
}

/// What a task has done.
#[derive(Default)]
pub(crate) struct Calls {
    count: usize,
    /// How long some of them took, in nanoseconds.
    took: Vec<u128>,
}

impl From<usize> for Calls {
    fn from(count: usize) -> Self {
        Self { count, took: Vec::new() }
    }
}

pub(crate) async fn measure<F, C>(
    tasks: usize,
    task: impl Fn(usize) -> F,
) -> Result<Measured, Failure>
where
    F: Future<Output = Result<C, Failure>> + Send + 'static,
    C: Into<Calls> + Send + 'static,
{
    let (begun, cpu) = (Instant::now(), cpu_of("self")?);
    let running: Vec<_> = (0..tasks).map(|index| tokio::spawn(task(index))).collect();
    let mut all = Calls::default();
    for outcome in try_join_all(running).await? {
        let Calls { count, took } = outcome?.into();
        all.count += count;
        all.took.extend(took);
    }
    let calls = all.count as f64;
    let cpu = (cpu_of("self")? - cpu).as_nanos() as f64 / calls;
    all.took.sort_unstable();
    let late = all.took.get(all.took.len() * 99 / 100).map_or(0.0, |took| *took as f64 / 1e3);
    Ok(Measured { rate: calls / begun.elapsed().as_secs_f64(), cpu, late })
}

/// Each task calls for this long.
pub(crate) const TIME: Duration = Duration::from_millis(700);

/// Between two looks at the clock; the first call of each batch is timed.
const BATCH: usize = 16;

/// Who is called.
#[derive(Clone)]
pub(crate) enum Client {
    Storage(Storage),
    Adapter(Arc<dyn Backend>, Clock),
    Raw(redis::aio::MultiplexedConnection),
}

impl Client {
    async fn call(&mut self, call: Call) -> Result<(), Failure> {
        match self {
            Self::Storage(storage) => {
                storage.execute(&call.op(), CallOptions::default()).await?;
            }
            Self::Adapter(adapter, clock) => {
                adapter.execute(&call.op(), clock.deadline_in(TIME)).await?;
            }
            Self::Raw(raw) => {
                let _: redis::Value = call.command().query_async(raw).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn calls(mut self, call: Call) -> Result<Calls, Failure> {
        let (begun, mut calls) = (Instant::now(), Calls::default());
        while begun.elapsed() < TIME {
            let at = Instant::now();
            self.call(call).await?;
            calls.took.push(at.elapsed().as_nanos());
            for _ in 1..BATCH {
                self.call(call).await?;
            }
            calls.count += BATCH;
        }
        Ok(calls)
    }
}
