//! The MySQL and MariaDB adapter: one table, the server's clock, rows locked in the order of their keys.
//! It must not know routes, guards or other engines.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use mysql_async::{Opts, Row, Value, prelude::Queryable};

use super::{
    TOMBSTONE_KEPT_MS,
    common::{BATCH_MAX, Intent, again_if_cut, lost, not_connected},
};
use crate::{
    backend::{
        Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope, semantics::Bounds, skew,
    },
    clock::{Clock, Deadline},
    config::BackendConfig,
    entry::Key,
    error::{Error, ErrorKind, Result},
    live::{LiveDuration, LiveSize},
    op::{Op, OpClass},
    reply::Reply,
};

mod around;
mod classify;
mod control;
mod guard;
mod guarded;
mod journal;
mod locked;
mod locks;
mod pool;
mod query;
mod read;
mod schema;
mod statement;
mod together;
mod url;
mod write;

use pool::{Connections, bounded};
use statement::{Listed, listed};

/// A MySQL or MariaDB server.
pub struct Mysql {
    options: Opts,
    config: BackendConfig,
    value_max: LiveSize,
    connect_timeout: LiveDuration,
    current: ArcSwapOption<Connections>,
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Mysql {
    /// An adapter for this URL that has opened nothing yet. Values are at most `value_max` bytes long.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that does not parse or names no database.
    pub fn new(config: &BackendConfig, value_max: usize) -> Result<Self> {
        Ok(Self {
            options: url::options(config)?,
            config: config.clone(),
            value_max: LiveSize::new(value_max),
            connect_timeout: LiveDuration::new(config.connect_timeout),
            current: ArcSwapOption::empty(),
        })
    }

    fn current(&self) -> Result<Arc<Connections>> {
        self.current.load_full().ok_or_else(not_connected)
    }

    async fn open(&self, deadline: Deadline) -> Result<()> {
        let connections =
            Connections::new(&self.options, self.connect_timeout.get(), self.config.timeout());
        let lease = connections.lease(deadline).await?;
        let (version, _) = schema::role(&connections, lease, deadline).await?;
        schema::migrate(&connections, deadline).await?;
        let connections = Arc::new(connections);
        // MySQL bounds no write but its wait for a row, and that by whole seconds: one row would keep all others that long.
        if version.contains("MariaDB") {
            connections.send_together();
        }
        if let Some(old) = self.current.swap(Some(connections)) {
            old.retire();
        }
        Ok(())
    }

    async fn run(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        let all = self.current()?;
        if let Op::Record(op) = op {
            return control::run(&all, op, Bounds { value_max: self.value_max.get() }, deadline)
                .await;
        }
        if let Op::Lock(op) = op {
            return locks::run(&all, op, deadline).await;
        }
        if let Op::Query(query) = op {
            return query::run(&all, query, self.value_max.get(), deadline).await;
        }
        if op.class() == OpClass::Read {
            return read::run(&all, op, deadline).await;
        }
        if let Some(reply) = write::run(&all, op, self.value_max.get(), deadline).await? {
            return Ok(reply);
        }
        locked::run(&all, op, Bounds { value_max: self.value_max.get() }, deadline).await
    }

    async fn ask(&self, depth: ProbeDepth, deadline: Deadline) -> Result<ProbeReport> {
        let all = self.current()?;
        let lease = all.lease(deadline).await;
        let lease = lease.map_err(|error| if all.are_lost() { lost(&error) } else { error })?;
        let clock = Clock::system();
        let asked = clock.unix_ms();
        let (version, unix_ms) = schema::role(&all, lease, deadline).await?;
        let skew = skew(Some(unix_ms), asked, &clock);
        if depth == ProbeDepth::WriteRead {
            write_read(&all, deadline).await?;
        }
        let mut facts = vec![("version", version), ("role", "primary".to_owned())];
        facts.extend((!skew.is_empty()).then_some(("clock_skew_ms", skew)));
        Ok(ProbeReport { facts, ..ProbeReport::default() })
    }

    async fn sweep(&self, limit: usize, deadline: Deadline) -> Result<usize> {
        let all = self.current()?;
        let mut removed = 0;
        while removed < limit {
            let batch = (limit - removed).min(BATCH_MAX);
            let gone = sweep_batch(&all, batch, deadline).await?;
            removed += gone;
            if gone < batch {
                break;
            }
        }
        Ok(removed)
    }
}

async fn write_read(all: &Connections, deadline: Deadline) -> Result<()> {
    let mut lease = all.lease(deadline).await?;
    let outcome = bounded(deadline, async {
        let conn = lease.conn();
        conn.query_drop(statement::PROBE_WRITE).await?;
        conn.query_first::<Row, _>(statement::PROBE_READ).await
    })
    .await;
    match lease.settle(outcome, Intent::Read)? {
        Some(_) => Ok(()),
        None => Err(Error::new(ErrorKind::Corrupt, "what the probe wrote was not there to read")),
    }
}

async fn sweep_batch(all: &Connections, batch: usize, deadline: Deadline) -> Result<usize> {
    let mut lease = all.lease(deadline).await?;
    let kept = Value::Int(TOMBSTONE_KEPT_MS);
    let outcome = bounded(deadline, async {
        let conn = lease.conn();
        let limit = Value::UInt(u64::try_from(batch).unwrap_or(u64::MAX));
        let mut keys: Vec<Vec<u8>> =
            conn.exec(statement::PURGEABLE, vec![kept.clone(), limit]).await?;
        if keys.is_empty() {
            return Ok(0);
        }
        keys.sort_unstable();
        let keys: Vec<Key> = keys.into_iter().map(Key::new).collect();
        let (sql, places) = listed(Listed::Purge, keys.len());
        let mut arguments = vec![kept];
        arguments.extend(read::filled(&keys, places));
        conn.exec_drop(sql, arguments).await?;
        Ok(conn.affected_rows())
    })
    .await;
    Ok(usize::try_from(lease.settle(outcome, Intent::Read)?).unwrap_or(batch))
}

impl Backend for Mysql {
    fn engine(&self) -> &'static str {
        "mysql"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            scope: Scope::Shared,
            durability: Durability::Crash,
            versions: true,
            atomic_many: true,
            copies: false,
            control: true,
            locks: true,
            value_max: self.value_max.get(),
        }
    }

    fn reconfigure(&self, config: &BackendConfig, value_max: usize) {
        self.value_max.set(value_max);
        self.connect_timeout.set(config.connect_timeout);
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.open(deadline))
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.run(op, deadline))
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(again_if_cut(move || self.ask(depth, deadline)))
    }

    fn purge(&self, limit: usize, deadline: Deadline) -> BoxFuture<'_, Result<usize>> {
        Box::pin(self.sweep(limit, deadline))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(connections) = self.current.swap(None) {
                connections.close().await;
            }
        })
    }
}
