//! SQLite as a backend: one writer that commits in groups, readers beside it, one file.
//! It must not know what a write means (`semantics`), nor who reconnects it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use tokio::time::timeout_at;

use self::{
    client::{Client, Plan},
    location::Location,
    work::{Rules, Work},
};
use crate::{
    backend::{Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope},
    clock::{Clock, Deadline},
    config::BackendConfig,
    error::{Effect, Error, ErrorKind, Result},
    live::{LiveLimit, LiveSize},
    op::Op,
    reply::Reply,
};

mod classify;
mod client;
mod control;
mod group;
mod guarded;
mod journal;
mod lane;
mod location;
mod locks;
mod purge;
mod query;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod work;
mod write;

/// Readers at most: beyond that they wait for the same disk and processors.
const READERS_MAX: usize = 4;

/// Rows that one transaction of `purge` touches, so that writes get in between.
const PURGE_BATCH: usize = 500;

/// The SQLite backend.
///
/// A write is acknowledged when its transaction is on the disk (`synchronous = FULL`); those that wait at the same time
/// share one. Reads see every acknowledged write. Several processes may open the same file. Work is done on the
/// runtime's blocking threads, and only while there is some.
#[derive(Debug)]
pub struct Sqlite {
    plan: Plan,
    client: ArcSwapOption<Client>,
    /// From the first success on, a missing file is an error and not created again.
    was_open: AtomicBool,
    closed: AtomicBool,
}

impl Sqlite {
    /// Understands the configuration; opens nothing. `value_max` in bytes.
    ///
    /// # Errors
    /// `InvalidArgument` for an URL other than `sqlite:PATH`, `sqlite:///absolute/PATH` and `sqlite::memory:`.
    pub fn new(config: &BackendConfig, value_max: usize, clock: Clock) -> Result<Self> {
        let rules = Rules {
            clock,
            value_max: Arc::new(LiveSize::new(value_max)),
            ttl_max: Arc::new(LiveLimit::new(config.ttl_max)),
            file: None,
        };
        let plan = Plan {
            location: Location::parse(&config.url)?,
            readers: config.connections().clamp(1, READERS_MAX),
            queue_max: Arc::new(LiveSize::new(queue_max(config))),
            rules,
        };
        let (was_open, closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { plan, client: ArcSwapOption::empty(), was_open, closed })
    }

    fn client(&self) -> Result<Arc<Client>> {
        let none = || Error::new(ErrorKind::OutOfUse, "the database is not open");
        self.client.load_full().ok_or_else(none)
    }

    async fn connect_by(&self, deadline: Deadline) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::OutOfUse, "the database has been closed"));
        }
        // What is in memory would be lost with its connection.
        if self.plan.location == Location::Memory
            && let Ok(client) = self.client()
        {
            return client.run(Work::Ping, deadline).await.map(drop);
        }
        let (plan, create) = (self.plan.clone(), !self.was_open.load(Ordering::Acquire));
        let opening = tokio::task::spawn_blocking(move || Client::open(plan, create));
        let client = match timeout_at(deadline.instant(), opening).await {
            Ok(Ok(client)) => Arc::new(client?),
            Ok(Err(failed)) => {
                return Err(Error::new(ErrorKind::Internal, format!("opening ended: {failed}")));
            }
            Err(_elapsed) => {
                return Err(Error::new(ErrorKind::Timeout, "the database did not open in time"));
            }
        };
        client.run(Work::Ping, deadline).await?;
        self.was_open.store(true, Ordering::Release);
        let old = self.client.swap(Some(client));
        if self.closed.load(Ordering::Acquire) {
            self.close_now().await;
            return Err(Error::new(ErrorKind::OutOfUse, "the database has been closed"));
        }
        if let Some(old) = old
            && timeout_at(deadline.instant(), old.shut()).await.is_err()
        {
            tracing::warn!("the connections before this one are still at work");
        }
        Ok(())
    }

    async fn close_now(&self) {
        if let Some(client) = self.client.swap(None) {
            client.shut().await;
        }
    }

    async fn execute_by(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        let client = self.client()?;
        match (client.run(Work::Op(op.clone()), deadline).await?, op) {
            (Reply::Done, Op::Record(op)) => {
                let lease = client.run(Work::FirstLease(op.clone()), deadline).await;
                // A row that was made all the same changes nothing for anybody.
                lease.map_err(|error| error.with_effect(Effect::None))
            }
            (reply, _) => Ok(reply),
        }
    }

    async fn purge_by(&self, limit: usize, deadline: Deadline) -> Result<usize> {
        let client = self.client()?;
        let mut removed = 0;
        while removed < limit {
            let batch = PURGE_BATCH.min(limit - removed);
            let reply = client.run(Work::Purge(batch), deadline).await?;
            let count = usize::try_from(reply.into_integer()?).unwrap_or(0);
            removed += count;
            if count < batch {
                break;
            }
        }
        Ok(removed)
    }

    async fn probe_by(&self, depth: ProbeDepth, deadline: Deadline) -> Result<ProbeReport> {
        let work = match depth {
            ProbeDepth::Ping => Work::Ping,
            ProbeDepth::WriteRead => Work::WriteRead,
        };
        let epoch = self.client()?.run(work, deadline).await?.into_integer()?;
        let file = match &self.plan.location {
            Location::File(path) => path.display().to_string(),
            Location::Memory => ":memory:".to_owned(),
        };
        let version = rusqlite::version().to_owned();
        Ok(ProbeReport {
            facts: vec![("version", version), ("file", file), ("epoch", epoch.to_string())],
            ..ProbeReport::default()
        })
    }
}

/// Whoever the bulkhead lets in, or may wait before it, finds a place.
fn queue_max(config: &BackendConfig) -> usize {
    config.inflight_max().saturating_add(config.queue_max)
}

impl Backend for Sqlite {
    fn engine(&self) -> &'static str {
        "sqlite"
    }

    fn capabilities(&self) -> Capabilities {
        let (scope, durability) = match self.plan.location {
            Location::File(_) => (Scope::Host, Durability::Crash),
            Location::Memory => (Scope::Process, Durability::Volatile),
        };
        Capabilities {
            scope,
            durability,
            versions: true,
            atomic_many: true,
            copies: false,
            control: true,
            locks: true,
            value_max: self.plan.rules.value_max.get(),
        }
    }

    fn reconfigure(&self, config: &BackendConfig, value_max: usize) {
        self.plan.rules.value_max.set(value_max);
        self.plan.rules.ttl_max.set(config.ttl_max);
        self.plan.queue_max.set(queue_max(config));
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.connect_by(deadline))
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.execute_by(op, deadline))
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(self.probe_by(depth, deadline))
    }

    fn purge(&self, limit: usize, deadline: Deadline) -> BoxFuture<'_, Result<usize>> {
        Box::pin(self.purge_by(limit, deadline))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.closed.store(true, Ordering::Release);
            self.close_now().await;
        })
    }
}
