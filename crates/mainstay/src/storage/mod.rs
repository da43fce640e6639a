//! The storage as its user meets it: open, the verbs, status, control, close.
//! It must not know how an operation is planned or guarded; it hands it to the road.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tracing::Span;

use crate::{
    clock::{Clock, Deadline, Instant},
    config::Config,
    entry::{Freshness, Worth},
    error::{Error, ErrorKind, Result},
    event::{Actor, EventKind, Events},
    exec::{self, Road, Served},
    lock::Locks,
    node::Node,
    observe::Observer,
    op::Op,
    reply::Reply,
    status::{BreakerCommand, Status},
    trace::{self, Answered, Share, Traced},
};

mod builder;
mod each;
mod inject;
mod journal;
mod limits;
mod load;
mod locks;
mod raw;
mod reconfigure;
mod sentence;
mod summary;
mod transact;
mod typed;
mod verbs;
mod watch;

pub use crate::sync::merge::{JournalConflict, Merged};
pub use crate::sync::session::Session;
pub use builder::Builder;
pub use inject::Injection;
pub use journal::{JournalContents, inspect_journal};
pub use limits::Refused;
use reconfigure::Settings;
pub use transact::{Decision, Snapshot};
pub use verbs::SetOptions;

#[cfg(test)]
mod tests;

/// One storage. Cheap to clone; `close` ends it for all clones.
#[derive(Clone, Debug)]
pub struct Storage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    road: Arc<Road>,
    events: Events,
    locks: Locks,
    observer: Observer,
    traces: Share,
    opened: Instant,
    refused: limits::Counts,
    /// Held while a fault is injected: there is one at a time.
    injecting: Mutex<()>,
    /// The answer's source when a route's default was served.
    default_source: Arc<str>,
    /// The answer's source when the journal took a write, or holds what was read.
    journal_source: Arc<str>,
    /// The answer's source when a loader has just given it.
    loader_source: Arc<str>,
}

/// What one call may ask for.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// By when an answer is due; `None`: `limits.deadline` from now.
    pub deadline: Option<Deadline>,
    /// Whose reads these are: they never go back behind what the session has seen. `None`: nobody's.
    pub session: Option<Session>,
}

impl CallOptions {
    /// Reads of this session, and nothing else asked for.
    pub fn of(session: &Session) -> Self {
        Self { session: Some(session.clone()), ..Self::default() }
    }
}

/// A reply, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// The backend that answered; `default` when a default was served, `journal` when the write waits there, `loader`
    /// when a loader has just given it.
    pub source: Arc<str>,
    /// Whether what was read is possibly older than the last acknowledged write.
    pub stale: bool,
    /// What the answer is worth: how true a read is, how safe a write.
    pub worth: Worth,
    /// How long ago the copy was taken from the record, when a cache answered.
    pub age: Option<Duration>,
}

impl Answer {
    /// For traces.
    fn told(&self) -> Answered<'_> {
        Answered { source: &self.source, worth: self.worth, stale: self.stale }
    }
}

/// A forced breaker expires after a day at most.
const FORCE_MAX: Duration = Duration::from_secs(86_400);

impl Storage {
    /// Opens a storage. A backend that is down never fails this: it is reconnected in the background. Returns when each
    /// backend has had one chance to connect, for at most 300 ms.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that does not validate; `Unsupported` for an engine whose feature is off;
    /// `Misconfigured` or `Corrupt` when a route wants the journal and its folder is in use or cannot be used.
    pub async fn open(config: Config) -> Result<Self> {
        Self::builder(config).open().await
    }

    /// Checks a configuration as `open` does, also the URL of each backend, without opening or connecting anything.
    ///
    /// # Errors
    /// As `open`; the message begins with the path of the value (`backends.redis.url: ...`).
    pub fn check(config: &Config) -> Result<()> {
        builder::check(config)
    }

    /// Parts to open a storage from: a configuration, custom backends, a clock and a seed.
    pub fn builder(config: Config) -> Builder {
        Builder::new(config)
    }

    /// Performs one operation.
    ///
    /// # Errors
    /// See `ErrorKind`. `Unavailable` names each backend and its reason.
    pub async fn execute(&self, op: &Op, options: CallOptions) -> Result<Answer> {
        if let Some(span) = trace::operation(&self.0.traces, op.name(), Some(op)) {
            return Box::pin(self.traced(span, op, options)).await;
        }
        self.perform(op, options).await
    }

    async fn traced(&self, span: Span, op: &Op, options: CallOptions) -> Result<Answer> {
        let result = Traced::new(span.clone(), self.perform(op, options)).await;
        let route = self.0.road.table.of_op(op).map(|route| &*route.label);
        trace::ended(&span, route, result.as_ref().map(Answer::told));
        result
    }

    async fn perform(&self, op: &Op, options: CallOptions) -> Result<Answer> {
        let road = &self.0.road;
        if road.tasks.is_closing() {
            return Err(Error::new(ErrorKind::Closed, "the storage is closed"));
        }
        limits::check(op, &self.0.settings.limits, &self.0.refused)?;
        let deadline = self.due(&options);
        let served = exec::run(road, op, deadline, options.session.as_ref()).await?;
        Ok(self.answer(served))
    }

    /// By when an answer is due.
    fn due(&self, options: &CallOptions) -> Deadline {
        let usual = || self.0.road.clock.deadline_in(self.0.settings.limits.deadline.get());
        options.deadline.unwrap_or_else(usual)
    }

    /// What was served, and the word for who served it.
    fn answer(&self, served: Served) -> Answer {
        let source = match (served.node, served.worth) {
            (Some(node), _) => self.0.road.nodes[node].name(),
            (None, worth) if worth.is_journaled() => &self.0.journal_source,
            (None, Worth::Read(Freshness::Loaded)) => &self.0.loader_source,
            (None, _) => &self.0.default_source,
        };
        Answer {
            source: Arc::clone(source),
            reply: served.reply,
            stale: served.stale,
            worth: served.worth,
            age: served.age,
        }
    }

    /// The state of everything, now.
    pub fn status(&self) -> Status {
        let (road, locks) = (&self.0.road, self.0.locks.status());
        let mut status = Status { locks, ..summary::status(road, self.0.opened) };
        watch::fill(road, &self.0.observer, &mut status);
        status
    }

    /// What the sizes in `[limits]` refused since the storage was opened.
    pub fn refused(&self) -> Refused {
        self.0.refused.now()
    }

    /// The event bus.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.road.clock
    }

    /// The configuration in effect, the embedded default filled in. Its `Debug` and `Serialize` redact secrets.
    pub fn config(&self) -> Arc<Config> {
        self.0.settings.config.full()
    }

    /// Forces a breaker, or gives it back.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown backend or a duration over a day.
    pub fn breaker(&self, backend: &str, command: BreakerCommand, reason: &str) -> Result<()> {
        self.breaker_by(backend, command, reason, &Actor::PROGRAM)
    }

    /// The same, by somebody whom the events and the status name.
    ///
    /// # Errors
    /// As `breaker`.
    pub fn breaker_by(
        &self,
        backend: &str,
        command: BreakerCommand,
        reason: &str,
        actor: &Actor,
    ) -> Result<()> {
        if let BreakerCommand::ForceOpen(time) | BreakerCommand::ForceClosed(time) = command
            && (time.is_zero() || time > FORCE_MAX)
        {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a breaker is forced for more than 0 and at most 24h",
            ));
        }
        self.node(backend)?.force(command, reason, actor);
        Ok(())
    }

    /// Takes a backend out of use, or back into use.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown backend.
    pub fn drain(&self, backend: &str, drained: bool, reason: &str) -> Result<()> {
        self.drain_by(backend, drained, reason, &Actor::PROGRAM)
    }

    /// The same, by somebody whom the events name.
    ///
    /// # Errors
    /// As `drain`.
    pub fn drain_by(
        &self,
        backend: &str,
        drained: bool,
        reason: &str,
        actor: &Actor,
    ) -> Result<()> {
        self.node(backend)?.drain(drained, reason, actor);
        Ok(())
    }

    /// Takes a backend out of use for so long, at most one day. Then it is put back, unless somebody has done so before.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown backend, or a time that is zero or longer than a day.
    pub fn drain_for(
        &self,
        backend: &str,
        time: Duration,
        reason: &str,
        actor: &Actor,
    ) -> Result<()> {
        if time.is_zero() || time > FORCE_MAX {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a backend is out of use for more than 0 and at most 24h",
            ));
        }
        self.0.road.tasks.spawn(self.node(backend)?.drain_for(time, reason, actor));
        Ok(())
    }

    /// Ends the background tasks, finishes what must not be lost, closes the connections; at most `limit`.
    /// False: something was still running.
    pub async fn close(&self, limit: Duration) -> bool {
        self.0.events.publish(None, EventKind::Storage { state: "closing" }, "asked to close");
        let deadline = self.0.road.clock.deadline_in(limit);
        let mut clean = self.0.road.tasks.close(limit).await;
        if let Some(backlog) = &self.0.road.backlog {
            clean &= journal::close(backlog, deadline).await;
        }
        for node in &self.0.road.nodes {
            node.backend().close().await;
        }
        clean
    }

    #[cfg(test)]
    pub(crate) fn road(&self) -> &Arc<Road> {
        &self.0.road
    }

    fn node(&self, name: &str) -> Result<&Arc<Node>> {
        let nodes = &self.0.road.nodes;
        nodes.iter().find(|node| &**node.name() == name).ok_or_else(|| {
            let known: Vec<&str> = nodes.iter().map(|node| &**node.name()).collect();
            let message = format!("there is no backend `{name}`; there are {}", known.join(", "));
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }
}
