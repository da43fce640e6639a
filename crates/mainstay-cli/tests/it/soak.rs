//! Load under every fault, over and over: nothing that the process holds may grow. The short form looks at tasks, files and
//! connections; `cargo xtask soak` runs long enough for memory to tell.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mainstay_testkit::{
    load::{Load, LoadOptions},
    proxy::{Direction, Proxy, Toxics},
    servers::{Postgres, Redis},
};
use tokio::task::JoinSet;

use crate::process::{Mainstay, until};

const FAULTS: usize = 9;
/// To the database, at most.
const CONNECTIONS: u64 = 2;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Without the one that each connection of the database's pool has.
    tasks: u64,
    /// Sockets among them; without the connections to the backends.
    files: u64,
    clients: u64,
    /// How many the pool holds depends on what was asked last.
    to_redis: u64,
    to_database: u64,
    memory_kib: u64,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tasks, files, clients, to_redis, to_database, memory_kib } = self;
        write!(f, "{tasks} tasks, {files} files, {clients} clients, ")?;
        write!(f, "{to_redis} to Redis, {to_database} to the database, {memory_kib} KiB")
    }
}

impl Held {
    /// A connection that comes or goes meanwhile would be counted in one place and not in the other: then it looks again.
    async fn of(world: &World) -> Self {
        loop {
            let before = world.links();
            let held = Self::read(world, before).await;
            if world.links() == before {
                return held;
            }
        }
    }

    async fn read(world: &World, (to_redis, to_database): (u64, u64)) -> Self {
        let process = &world.process;
        let metrics = process.http_get("/metrics").await;
        let metric = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value = line.unwrap_or_else(|| panic!("no {name}: {metrics}"));
            value.trim_end_matches(".0").parse::<u64>().unwrap()
        };
        let proc = format!("/proc/{}", process.pid());
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let files = std::fs::read_dir(format!("{proc}/fd")).unwrap().count() as u64;
        Self {
            tasks: metric("mainstay_tasks{}").saturating_sub(to_database),
            files: files.saturating_sub(to_redis + to_database),
            clients: metric("mainstay_connections{door=\"resp\"}"),
            to_redis,
            to_database,
            memory_kib: memory.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }

    /// The most that either holds of each.
    fn most(self, other: Self) -> Self {
        Self {
            tasks: self.tasks.max(other.tasks),
            files: self.files.max(other.files),
            clients: self.clients.max(other.clients),
            to_redis: self.to_redis.max(other.to_redis),
            to_database: self.to_database.max(other.to_database),
            memory_kib: self.memory_kib.max(other.memory_kib),
        }
    }

    fn is_within(&self, other: &Self) -> bool {
        self.tasks <= other.tasks
            && self.files <= other.files
            && self.clients == 0
            && self.to_redis <= other.to_redis
            && self.to_database <= CONNECTIONS
    }
}

/// A process and its two backends, each behind what breaks the network.
struct World {
    process: Mainstay,
    redis: Redis,
    postgres: Postgres,
    to_redis: Proxy,
    to_postgres: Proxy,
    /// How long each fault lasts, and the time after it.
    hold: Duration,
    clients: u64,
}

impl World {
    async fn open(hold: Duration, clients: u64) -> Self {
        let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
        let to_redis = Proxy::start(redis.port()).await.unwrap();
        let to_postgres = Proxy::start(postgres.port()).await.unwrap();
        let config = format!(
            "[backends.redis]\nurl = \"{}\"\nreconnect.max = \"500ms\"\nbreaker = {{ open = \"500ms\", open_max = \"1s\" }}\n\
             [backends.db]\nurl = \"{}\"\nreconnect.max = \"500ms\"\nbreaker = {{ open = \"500ms\", open_max = \"1s\" }}\nconnections = {CONNECTIONS}\n\
             [[route]]\nprefix = \"\"\ncache = [\"memory\", \"redis\"]\nrecord = \"db\"\n[consistency]\nlease = \"1s\"\n",
            to_redis.url(&redis.url(), redis.port()),
            to_postgres.url(&postgres.url(), postgres.port()),
        );
        let process = Mainstay::start_with(&config, &[]).await;
        let world = Self { process, redis, postgres, to_redis, to_postgres, hold, clients };
        world.is_up().await;
        world
    }

    /// Connections to Redis and to the database, as the proxies count them.
    fn links(&self) -> (u64, u64) {
        (self.to_redis.open(), self.to_postgres.open())
    }

    async fn is_up(&self) {
        self.process.wait_for("redis", "up").await;
        self.process.wait_for("db", "up").await;
    }

    async fn breaks(&mut self, fault: usize) {
        let slow = Toxics::slow(Duration::from_millis(60), Duration::from_millis(40));
        match fault {
            0 => self.redis.kill(),
            1 => self.to_redis.set(Toxics::black_hole()).await,
            2 => self.to_redis.set(Toxics::half_open(Direction::ToClient)).await,
            3 => self.redis.restart_empty().await.unwrap(),
            4 => self.to_redis.set(slow).await,
            5 => self.to_postgres.cut().await,
            6 => self.postgres.stop(),
            7 => self.postgres.kill(),
            _ => self.to_postgres.set(slow).await,
        }
    }

    async fn heals(&mut self, fault: usize) {
        match fault {
            0 => self.redis.restart().await.unwrap(),
            1 | 2 | 4 => self.to_redis.heal().await,
            6 => self.postgres.cont(),
            7 => self.postgres.restart().await.unwrap(),
            8 => self.to_postgres.heal().await,
            _ => {}
        }
    }

    /// Every fault once, under load; what was acknowledged is there afterwards.
    async fn round(&mut self) {
        let options = LoadOptions { clients: self.clients, keys: 2_000, ..LoadOptions::default() };
        let load = Load::start(self.process.resp(), options);
        let stop = Arc::new(AtomicBool::new(false));
        let mut comers = JoinSet::new();
        for _ in 0..4 {
            comers.spawn(comes_and_goes(self.process.http_address(), Arc::clone(&stop)));
        }
        for fault in 0..FAULTS {
            self.breaks(fault).await;
            tokio::time::sleep(self.hold).await;
            self.heals(fault).await;
            self.is_up().await;
            tokio::time::sleep(self.hold).await;
        }
        stop.store(true, Ordering::Relaxed);
        let requests: u64 = comers.join_all().await.into_iter().sum();
        let report = load.finish().await;
        assert_eq!((report.lost, report.total(|phase| phase.stale)), (0, 0), "{report}");
        assert!(report.total(|phase| phase.writes) > 0 && requests > 0, "{report}");
    }

    /// What it holds when nobody asks for anything and both backends are there.
    async fn rests(&self) -> Held {
        self.is_up().await;
        until("clients to be gone", async || Held::of(self).await.clients == 0).await;
        Held::of(self).await
    }

    /// The same once the allocator has given back what nobody uses: it takes its time.
    async fn settles(&self) -> Held {
        let mut least = self.rests().await;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let held = self.rests().await;
            least = if held.memory_kib < least.memory_kib { held } else { least };
        }
        least
    }
}

/// One request for each connection, as scrapers and small scripts make them.
async fn comes_and_goes(address: std::net::SocketAddr, stop: Arc<AtomicBool>) -> u64 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { continue };
        let request = "GET /v1/kv/load:1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let mut answer = Vec::new();
        if stream.write_all(request.as_bytes()).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
        {
            answered += u64::from(answer.starts_with(b"HTTP/1.1 "));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_and_no_connection_is_left_behind() {
    let mut world = World::open(Duration::from_millis(400), 8).await;
    world.round().await;
    // Some tasks live for a moment: the most of several looks is what it holds when it rests.
    let mut first = world.rests().await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        first = first.most(world.rests().await);
    }
    world.round().await;
    println!("{first}, then {}", world.rests().await);
    until(&format!("no more than {first}"), async || world.rests().await.is_within(&first)).await;
    world.process.terminate().await;
}

/// The long form: for how long, the variable of `cargo xtask soak` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes to hours; run by cargo xtask soak"]
async fn long() {
    let seconds = std::env::var("MAINSTAY_SOAK_SECONDS").map_or(600, |text| text.parse().unwrap());
    let clock = mainstay::Clock::system();
    let end = clock.now() + Duration::from_secs(seconds);
    let mut world = World::open(Duration::from_secs(2), 64).await;
    let mut rests = Vec::new();
    while clock.now() < end || rests.len() < 3 {
        world.round().await;
        let held = world.settles().await;
        println!("round {}: {held}", rests.len() + 1);
        rests.push(held);
    }
    // The first rounds fill what has a bound: copies in memory, buffers, the allocator's own store.
    let (first, last) = (rests[1], rests[rests.len() - 1]);
    until(&format!("no more than {first}"), async || world.rests().await.is_within(&first)).await;
    let most = rests[..3].iter().map(|held| held.memory_kib).max().unwrap();
    assert!(last.memory_kib <= most + most / 10, "memory grew from {most} KiB to {last}");
    world.process.terminate().await;
}
