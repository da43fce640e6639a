//! The PostgreSQL adapter: one table, D's clock, and no statement by name unless the session is ours alone, so that poolers
//! do no harm.
//! It must not know routes, guards or other engines.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use tokio_postgres::types::Type;

use super::{
    TOMBSTONE_KEPT_MS,
    common::{BATCH_MAX, Intent, again_if_cut, lost, not_connected},
};
use crate::{
    backend::semantics::{Bounds, apply, keys_of},
    backend::{Backend, Capabilities, Durability, Feed, ProbeDepth, ProbeReport, Scope, skew},
    clock::{Clock, Deadline},
    config::BackendConfig,
    entropy::Entropy,
    error::{Error, ErrorKind, Result},
    live::{LiveDuration, LiveSize},
    op::{Op, OpClass},
    reply::Reply,
};

mod classify;
mod control;
mod guarded;
mod hosts;
mod journal;
mod listen;
mod locked;
mod locks;
mod pool;
mod query;
mod read;
mod schema;
mod session;
mod statement;
mod tls;
mod together;
mod transaction;
mod url;
mod write;

use pool::{Connections, PoolOptions, bounded};
use transaction::Frame;
use url::Target;

/// A PostgreSQL server, several of which one is the primary, or a pooler before them.
pub struct Postgres {
    target: Target,
    options: PoolOptions,
    value_max: LiveSize,
    connect_timeout: LiveDuration,
    entropy: Entropy,
    current: ArcSwapOption<Connections>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Postgres {
    /// An adapter for this URL that has opened nothing yet. Values are at most `value_max` bytes long.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that does not parse.
    pub fn new(config: &BackendConfig, value_max: usize, entropy: Entropy) -> Result<Self> {
        let options = PoolOptions {
            connections: config.connections(),
            connect_timeout: config.connect_timeout,
            statement_timeout: config.timeout(),
            in_session: true,
        };
        Ok(Self {
            target: Target::of(config)?,
            options,
            value_max: LiveSize::new(value_max),
            connect_timeout: LiveDuration::new(config.connect_timeout),
            entropy,
            current: ArcSwapOption::empty(),
        })
    }

    fn current(&self) -> Result<Arc<Connections>> {
        self.current.load_full().ok_or_else(not_connected)
    }

    async fn open(&self, deadline: Deadline) -> Result<()> {
        let options = PoolOptions { connect_timeout: self.connect_timeout.get(), ..self.options };
        let first = self.try_open(options, deadline).await;
        let connections = match first {
            Err(error)
                if error.kind() == ErrorKind::Misconfigured
                    && error.message().contains("startup parameter") =>
            {
                None
            }
            other => other?,
        };
        let connections = match connections {
            Some(connections) => connections,
            // A pooler that lets no session settings through: each transaction brings its own.
            None => {
                let options = PoolOptions { in_session: false, ..options };
                let opened = self.try_open(options, deadline).await?;
                opened.ok_or_else(|| Error::new(ErrorKind::Internal, "no limit was asked for"))?
            }
        };
        let connections = Arc::new(connections);
        connections.send_together();
        if let Some(old) = self.current.swap(Some(connections)) {
            old.close();
        }
        Ok(())
    }

    /// `None`: the session's limits did not reach the server.
    async fn try_open(
        &self,
        options: PoolOptions,
        deadline: Deadline,
    ) -> Result<Option<Connections>> {
        let mark = format!("{:032x}", self.entropy.nonce());
        let connections = Connections::new(&self.target, options, &mark)?;
        schema::role(connections.lease(deadline).await?, deadline).await?;
        if options.in_session {
            let began = schema::began(&connections, options.limit_ms(), &mark, deadline).await?;
            if !began.is_bounded {
                connections.close();
                return Ok(None);
            }
            if began.is_ours {
                connections.set_ours();
            }
        }
        schema::migrate(&connections, deadline).await?;
        Ok(Some(connections))
    }

    async fn run(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        let all = self.current()?;
        let bounds = Bounds { value_max: self.value_max.get() };
        if let Op::Record(op) = op {
            return control::run(&all, op, bounds, deadline).await;
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
        if keys_of(op).is_empty() {
            return apply(op, &mut [], 0, bounds);
        }
        let done = locked::run(&all, &Frame::plain(&all), op, bounds, deadline).await?;
        done.ok_or_else(guarded::unguarded)
    }

    async fn ask(&self, depth: ProbeDepth, deadline: Deadline) -> Result<ProbeReport> {
        let all = self.current()?;
        let lease = all.lease(deadline).await;
        let lease = lease.map_err(|error| if all.are_lost() { lost(&error) } else { error })?;
        let clock = Clock::system();
        let asked = clock.unix_ms();
        let role = schema::role(lease, deadline).await?;
        let skew = skew(Some(role.unix_ms), asked, &clock);
        if depth == ProbeDepth::WriteRead {
            let lease = all.lease(deadline).await?;
            let outcome =
                bounded(deadline, lease.client().query_typed(statement::WRITE_READ, &[])).await;
            lease.settle(outcome, Intent::Read)?;
        }
        let mut facts = vec![("version", role.version), ("role", "primary".to_owned())];
        if !all.bound_every_statement() {
            facts.push(("pooling", "transaction".to_owned()));
        }
        facts.extend((!skew.is_empty()).then_some(("clock_skew_ms", skew)));
        Ok(ProbeReport { facts, ..ProbeReport::default() })
    }

    async fn sweep(&self, limit: usize, deadline: Deadline) -> Result<usize> {
        let all = self.current()?;
        let mut removed = 0;
        while removed < limit {
            let batch = (limit - removed).min(BATCH_MAX);
            let count = i64::try_from(batch).unwrap_or(i64::MAX);
            let lease = all.lease(deadline).await?;
            let outcome = bounded(
                deadline,
                lease.client().execute_typed(
                    statement::PURGE,
                    &[(&TOMBSTONE_KEPT_MS, Type::INT8), (&count, Type::INT8)],
                ),
            )
            .await;
            let gone = usize::try_from(lease.settle(outcome, Intent::Read)?).unwrap_or(batch);
            removed += gone;
            if gone < batch {
                break;
            }
        }
        Ok(removed)
    }
}

impl Backend for Postgres {
    fn engine(&self) -> &'static str {
        "postgres"
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

    fn listen<'a>(
        &'a self,
        channel: &'a str,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Feed>>> {
        Box::pin(async move {
            let listener =
                listen::listen(&self.target, channel, &Clock::system(), deadline).await?;
            Ok(Box::new(listener) as Box<dyn Feed>)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(connections) = self.current.swap(None) {
                connections.close();
            }
        })
    }
}
