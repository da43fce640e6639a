//! What processes keep of their own, on the paused clock: two storages over one cache and one record.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::{
    CallOptions, Clock, Config, Deadline, Error, ErrorKind, Freshness, Key, Op, Reply, Result,
    Session, Storage, Version,
    backend::{
        Backend, Capabilities, Durability, Feed, ProbeDepth, ProbeReport, Scope, Told,
        memory::Memory,
    },
    config::{BackendConfig, Consistency, ConsistencyConfig, RouteConfig},
    status::{CacheStatus, L1Status},
};

mod alone;
mod followed;

const WELL: u8 = 0;
const CUT: u8 = 1;
/// Reads are performed, and their replies held back.
const HOLDS: u8 = 2;
/// Feeds end, and none begins.
const NO_FEED: u8 = 3;
/// Feeds say nothing more.
const MUTE: u8 = 4;

const LEASE: Duration = Duration::from_secs(2);

/// One process's line to a server that others use as well.
#[derive(Debug)]
struct Line {
    server: Arc<Memory>,
    durability: Durability,
    state: Arc<AtomicU8>,
    held: Semaphore,
    free: Semaphore,
}

impl Line {
    fn to(server: &Arc<Memory>, durability: Durability) -> Arc<Self> {
        let (state, held, free) =
            (Arc::new(AtomicU8::new(WELL)), Semaphore::new(0), Semaphore::new(0));
        Arc::new(Self { server: Arc::clone(server), durability, state, held, free })
    }

    fn is(&self, state: u8) {
        self.state.store(state, Relaxed);
    }

    fn cable(&self) -> Result<()> {
        match self.state.load(Relaxed) {
            CUT => Err(Error::new(ErrorKind::Disconnected, "Connection refused")),
            _ => Ok(()),
        }
    }
}

fn feeds(state: &AtomicU8) -> Result<()> {
    match state.load(Relaxed) {
        NO_FEED | CUT => Err(Error::new(ErrorKind::Disconnected, "the feed has broken")),
        _ => Ok(()),
    }
}

/// A feed over a line.
#[derive(Debug)]
struct Wire {
    feed: Box<dyn Feed>,
    state: Arc<AtomicU8>,
}

impl Feed for Wire {
    fn next(&mut self) -> BoxFuture<'_, Result<Told>> {
        Box::pin(async {
            let told = self.feed.next().await;
            if self.state.load(Relaxed) == MUTE {
                std::future::pending::<()>().await;
            }
            feeds(&self.state)?;
            told
        })
    }
}

impl Backend for Line {
    fn engine(&self) -> &'static str {
        "line"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            scope: Scope::Shared,
            durability: self.durability,
            ..self.server.capabilities()
        }
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.cable()?;
            self.server.connect(deadline).await
        })
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move {
            self.cable()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            let reply = self.server.execute(op, deadline).await;
            let read = matches!(op, Op::Get { .. } | Op::GetMany { .. });
            if read && self.state.load(Relaxed) == HOLDS {
                self.held.add_permits(1);
                self.free.acquire().await.unwrap().forget();
            }
            reply
        })
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async move {
            self.cable()?;
            self.server.probe(depth, deadline).await
        })
    }

    fn follow(&self, prefix: Bytes, deadline: Deadline) -> BoxFuture<'_, Result<Box<dyn Feed>>> {
        Box::pin(async move {
            feeds(&self.state)?;
            let feed = self.server.follow(prefix, deadline).await?;
            Ok(Box::new(Wire { feed, state: Arc::clone(&self.state) }) as Box<dyn Feed>)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Two servers.
struct Servers {
    cache: Arc<Memory>,
    record: Arc<Memory>,
}

/// One process.
struct Process {
    storage: Storage,
    cache: Arc<Line>,
    record: Arc<Line>,
}

fn servers() -> Servers {
    let server = || Arc::new(Memory::new(&Config::default().memory, 4 << 20, Clock::system()));
    Servers { cache: server(), record: server() }
}

fn route(cache: &[&str]) -> RouteConfig {
    let cache = cache.iter().map(|name| (*name).to_owned()).collect();
    RouteConfig { cache, record: Some("db".into()), ..RouteConfig::default() }
}

impl Servers {
    async fn process(&self, route: RouteConfig) -> Process {
        let cache = Line::to(&self.cache, Durability::Volatile);
        let record = Line::to(&self.record, Durability::Crash);
        let timeouts =
            BackendConfig { timeout: Some(Duration::from_millis(500)), ..BackendConfig::default() };
        // No audit: it heals what these tests look at.
        let consistency =
            ConsistencyConfig { audit: Duration::ZERO, ..ConsistencyConfig::default() };
        let config = Config { routes: vec![route], consistency, ..Config::default() };
        let storage = Storage::builder(config)
            .backend("cache", Arc::clone(&cache) as Arc<dyn Backend>, timeouts.clone())
            .backend("db", Arc::clone(&record) as Arc<dyn Backend>, timeouts)
            .open()
            .await
            .unwrap();
        Process { storage, cache, record }
    }

    async fn two(&self) -> (Process, Process) {
        let followed = || route(&["memory", "cache"]);
        (self.process(followed()).await, self.process(followed()).await)
    }
}

impl Process {
    async fn set(&self, key: &str, value: &str) {
        self.storage.set(key, value.to_owned()).await.unwrap();
    }

    async fn value(&self, key: &str) -> Option<String> {
        let entry = self.storage.get(key).await.unwrap();
        entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
    }

    async fn source(&self, key: &str) -> String {
        self.storage.get(key).await.unwrap().unwrap().source.to_string()
    }

    fn cache(&self) -> CacheStatus {
        self.storage.status().caches[0].clone()
    }

    fn l1(&self) -> L1Status {
        self.cache().l1.unwrap()
    }

    async fn until(&self, what: &str, done: impl AsyncFn(&Self) -> bool) {
        for _ in 0..10_000 {
            if done(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never {what}: {:?}", self.cache());
    }

    async fn until_near(&self, key: &str) {
        let near = async |it: &Self| it.source(key).await == "memory";
        self.until("near", near).await;
    }

    /// Reads until it finds this; for how long after now it still found something else.
    async fn behind(&self, key: &str, value: &str) -> Duration {
        let (begun, mut behind) = (self.now(), Duration::ZERO);
        for _ in 0..10_000 {
            let now = self.now();
            if self.value(key).await.as_deref() == Some(value) {
                return behind;
            }
            behind = now - begun;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{key} is never {value}: {:?}", self.storage.status());
    }

    fn now(&self) -> crate::Instant {
        self.storage.clock().now()
    }
}
