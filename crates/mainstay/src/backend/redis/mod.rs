//! Redis, alone, behind Sentinel, or as a cluster: when there is a client, and what each call may do with it.
//! It must not know routes, guards, events or other backends; it never reconnects by itself.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{Backend, Capabilities, Durability, Feed, ProbeDepth, ProbeReport, Scope};
use crate::{
    clock::{Clock, Deadline, Instant},
    config::{BackendConfig, text},
    error::{Effect, Error, ErrorKind, Result},
    op::{Op, OpClass},
    reply::Reply,
};

mod batch;
mod beacon;
mod classify;
mod client;
mod cluster;
mod command;
mod connect;
mod copies;
mod feed;
mod info;
mod locks;
mod many;
mod perform;
mod probe;
mod reply;
mod scan;
mod script;
mod spread;
mod tls;
mod transact;
mod url;

use client::Client;
use connect::Connector;

/// The key that probes write; scans and counts leave it out.
const PROBE_KEY: &str = "mainstay:probe:";

/// A server that turns out to be the wrong one is given up at most this often.
const WRONG_NODE_PERIOD: Duration = Duration::from_secs(3);

/// A call whose own deadline left less time than this says nothing about the connection.
const PATIENCE: Duration = Duration::from_millis(100);

/// Redis as a backend: `redis:`, `rediss:`, `valkey:`, `redis+unix:`, `redis-sentinel:`, `redis-cluster:`.
///
/// Differs from the other engines: no versions; `INCRBYFLOAT` computes with long doubles; `Written::previous` carries
/// no TTL; a many-key write on a cluster is applied key by key.
pub struct Redis {
    connector: Connector,
    shown: String,
    value_max: usize,
    patience: Duration,
    clock: Clock,
    client: ArcSwapOption<Client>,
    was_connected: AtomicBool,
    closed: AtomicBool,
    gave_up_wrong_node: Mutex<Option<Instant>>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("url", &self.shown).finish_non_exhaustive()
    }
}

impl Redis {
    /// The engine at this URL, not connected yet. `value_max`: the longest value in bytes.
    ///
    /// # Errors
    /// `InvalidArgument` when the URL cannot be read; the message names the part and the fix.
    pub fn new(config: &BackendConfig, value_max: usize) -> Result<Self> {
        let connector = Connector {
            target: url::parse(&config.url)?,
            timeout: config.connect_timeout,
            connections: config.connections().max(1),
        };
        Ok(Self {
            connector,
            shown: text::redact_url(&config.url),
            value_max,
            patience: config.timeout().min(PATIENCE),
            clock: Clock::system(),
            client: ArcSwapOption::empty(),
            was_connected: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            gave_up_wrong_node: Mutex::new(None),
        })
    }

    fn current(&self) -> Result<Arc<Client>> {
        self.client.load_full().ok_or_else(|| self.absent())
    }

    fn absent(&self) -> Error {
        if self.closed.load(Ordering::Acquire) {
            return Error::new(ErrorKind::OutOfUse, "closed");
        }
        if self.was_connected.load(Ordering::Acquire) {
            Error::new(ErrorKind::Disconnected, "the connection was lost")
        } else {
            Error::new(ErrorKind::OutOfUse, "not connected yet")
        }
    }

    /// Waits for a call until the deadline, and gives up what it shows to be broken.
    /// `effect`: what a write that got no answer may have done.
    async fn bounded<T>(
        &self,
        client: &Arc<Client>,
        op: Option<&Op>,
        effect: Effect,
        deadline: Deadline,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let started = self.clock.now();
        if deadline.passed(started) {
            return Err(Error::new(ErrorKind::DeadlineExceeded, "the deadline had passed before"));
        }
        match tokio::time::timeout_at(deadline.instant(), call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                self.settle(client, error.kind());
                if effect == Effect::None { Err(error.with_effect(effect)) } else { Err(error) }
            }
            Err(_) => {
                let waited = deadline.left(started);
                if waited >= self.patience {
                    client.silent(op.and_then(perform::first_key));
                    self.settle(client, ErrorKind::Timeout);
                }
                let message = format!("no answer within {} ms", waited.as_millis());
                Err(Error::new(ErrorKind::Timeout, message).with_effect(effect))
            }
        }
    }

    /// Gives the client up where an error says that it is of no more use.
    fn settle(&self, client: &Arc<Client>, kind: ErrorKind) {
        let useless = match kind {
            // Of a cluster the other nodes go on; a reply out of step does not say which node it was.
            ErrorKind::Disconnected => {
                client.is_lost() || !client.nodes().iter().any(client::Node::is_lost)
            }
            ErrorKind::Timeout => client.is_lost(),
            ErrorKind::WrongNode => self.may_give_up_wrong_node(),
            _ => false,
        };
        if useless {
            // Only this client: a newer one may have come in its place.
            self.client.compare_and_swap(client, None);
        }
    }

    fn may_give_up_wrong_node(&self) -> bool {
        let now = self.clock.now();
        let mut last = self.gave_up_wrong_node.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.duration_since(last) >= WRONG_NODE_PERIOD);
        if may {
            *last = Some(now);
        }
        may
    }

    async fn connect_now(&self, deadline: Deadline) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(self.absent());
        }
        let connected = tokio::time::timeout_at(deadline.instant(), self.connector.connect()).await;
        let Ok(client) = connected else {
            return Err(Error::new(ErrorKind::Timeout, "no connection before the deadline"));
        };
        self.client.store(Some(Arc::new(client?)));
        self.was_connected.store(true, Ordering::Release);
        if self.closed.load(Ordering::Acquire) {
            self.client.store(None);
            return Err(self.absent());
        }
        Ok(())
    }
}

impl Backend for Redis {
    fn engine(&self) -> &'static str {
        "redis"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            scope: Scope::Shared,
            // A cache by role: what it keeps on disk does not count.
            durability: Durability::Volatile,
            versions: false,
            atomic_many: !matches!(self.connector.target.place, url::Place::Cluster(_)),
            copies: true,
            control: false,
            locks: true,
            value_max: self.value_max,
            keeps_deadlines: true,
        }
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.connect_now(deadline))
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move {
            let client = self.current()?;
            let effect = if op.class() == OpClass::Read { Effect::None } else { Effect::Unknown };
            let call = perform::perform(&client, op, self.value_max, &self.clock);
            self.bounded(&client, Some(op), effect, deadline, call).await
        })
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async move {
            let client = self.current()?;
            let call = probe::probe(&client, depth);
            self.bounded(&client, None, Effect::None, deadline, call).await
        })
    }

    fn follow(&self, prefix: Bytes, deadline: Deadline) -> BoxFuture<'_, Result<Box<dyn Feed>>> {
        Box::pin(async move {
            let client = self.current()?;
            let call = feed::open(&self.connector, &client, &prefix, &self.clock);
            match tokio::time::timeout_at(deadline.instant(), call).await {
                Ok(feed) => feed
                    .map(|feed| Box::new(feed) as Box<dyn Feed>)
                    .map_err(|error| error.with_effect(Effect::None)),
                Err(_) => Err(Error::new(ErrorKind::Timeout, "no feed before the deadline")),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.store(true, Ordering::Release);
        self.client.store(None);
        Box::pin(std::future::ready(()))
    }
}
