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

use super::{Backend, Capabilities, Durability, Feed, Line, ProbeDepth, ProbeReport, Scope};
use crate::{
    clock::{Clock, Deadline, Instant},
    config::{BackendConfig, text},
    error::{Effect, Error, ErrorKind, Result},
    live::{LiveDuration, LiveSize},
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
mod raw;
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
    value_max: LiveSize,
    patience: LiveDuration,
    feed_patience: Duration,
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
            timeout: LiveDuration::new(config.connect_timeout),
            connections: config.connections().max(1),
        };
        Ok(Self {
            connector,
            shown: text::redact_url(&config.url),
            value_max: LiveSize::new(value_max),
            patience: LiveDuration::new(config.timeout().min(PATIENCE)),
            feed_patience: feed::PATIENCE,
            clock: Clock::system(),
            client: ArcSwapOption::empty(),
            was_connected: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            gave_up_wrong_node: Mutex::new(None),
        })
    }

    /// How long a feed waits for an answer before it ends; for tests on machines that stall.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_feed_patience(mut self, patience: Duration) -> Self {
        self.feed_patience = patience;
        self
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

    /// Waits for an answer that changes nothing until the deadline, and gives up what it shows to be broken.
    async fn bounded<T>(
        &self,
        client: &Arc<Client>,
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
                Err(error.with_effect(Effect::None))
            }
            Err(_) => {
                let waited = deadline.left(started);
                self.unanswered(client, None, waited);
                let message = format!("no answer within {} ms", waited.as_millis());
                Err(Error::new(ErrorKind::Timeout, message).with_effect(Effect::None))
            }
        }
    }

    /// A call got no answer for so long.
    fn unanswered(&self, client: &Arc<Client>, op: Option<&Op>, waited: Duration) {
        if waited >= self.patience.get() {
            client.silent(op.and_then(perform::first_key));
            self.settle(client, ErrorKind::Timeout);
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
            return Err(Error::new(ErrorKind::Timeout, classify::LATE));
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

/// A call that waits for its answer. Whoever made it drops it when the deadline has passed, and that says something about the
/// connection; one that is dropped before says nothing.
struct Waiting<'a> {
    redis: &'a Redis,
    client: &'a Arc<Client>,
    op: &'a Op,
    asked: Instant,
    deadline: Deadline,
}

impl Waiting<'_> {
    /// There was an answer.
    fn ends(self) {
        std::mem::forget(self);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.deadline.is_due(self.redis.clock.now()) {
            let waited = self.deadline.left(self.asked);
            self.redis.unanswered(self.client, Some(self.op), waited);
        }
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
            value_max: self.value_max.get(),
        }
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.connect_now(deadline))
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move {
            let client = self.current()?;
            let asked = self.clock.now();
            if deadline.passed(asked) {
                let text = "the deadline had passed before";
                return Err(Error::new(ErrorKind::DeadlineExceeded, text));
            }
            let waiting = Waiting { redis: self, client: &client, op, asked, deadline };
            let value_max = self.value_max.get();
            let answer =
                perform::perform(&client, &self.connector, op, value_max, &self.clock).await;
            waiting.ends();
            answer.map_err(|error| {
                self.settle(&client, error.kind());
                match op.class() {
                    OpClass::Read => error.with_effect(Effect::None),
                    OpClass::LastWriterWins | OpClass::Strict => error,
                }
            })
        })
    }

    fn reconfigure(&self, config: &BackendConfig, value_max: usize) {
        self.value_max.set(value_max);
        self.patience.set(config.timeout().min(PATIENCE));
        self.connector.timeout.set(config.connect_timeout);
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async move {
            let client = self.current()?;
            let call = probe::probe(&client, depth, &self.clock);
            self.bounded(&client, deadline, call).await
        })
    }

    fn follow(&self, prefix: Bytes, deadline: Deadline) -> BoxFuture<'_, Result<Box<dyn Feed>>> {
        Box::pin(async move {
            let client = self.current()?;
            let patience = self.feed_patience;
            let call = feed::open(&self.connector, &client, &prefix, &self.clock, patience);
            match tokio::time::timeout_at(deadline.instant(), call).await {
                Ok(feed) => feed
                    .map(|feed| Box::new(feed) as Box<dyn Feed>)
                    .map_err(|error| error.with_effect(Effect::None)),
                Err(_) => Err(Error::new(ErrorKind::Timeout, "no feed before the deadline")),
            }
        })
    }

    fn line(&self, resp3: bool, deadline: Deadline) -> BoxFuture<'_, Result<Box<dyn Line>>> {
        Box::pin(async move {
            let client = self.current()?;
            let opened = raw::open(&self.connector, &client, resp3);
            let line = self.bounded(&client, deadline, opened).await?;
            Ok(Box::new(line) as Box<dyn Line>)
        })
    }

    fn listen<'a>(
        &'a self,
        channel: &'a str,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Feed>>> {
        Box::pin(async move {
            let client = self.current()?;
            let patience = self.feed_patience;
            let call = feed::listen(&self.connector, &client, channel, &self.clock, patience);
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
