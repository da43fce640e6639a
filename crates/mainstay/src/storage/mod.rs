//! The storage as its user meets it: open, the verbs, status, control, close.
//! It must not know how an operation is routed or guarded; it hands it to the road.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Clock, Deadline},
    config::Config,
    error::{Error, ErrorKind, Result},
    event::Events,
    op::Op,
    reply::Reply,
    status::Status,
};

pub use crate::status::BreakerCommand;

/// One storage. Cheap to clone; the last `close` ends it.
#[derive(Clone, Debug)]
pub struct Storage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    clock: Clock,
    events: Events,
}

/// Builds a storage from parts: custom backends, a clock and a seed for tests.
#[derive(Debug, Default)]
pub struct Builder {
    config: Config,
}

/// What one call may ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallOptions {
    /// By when an answer is due; `None`: `limits.deadline` from now.
    pub deadline: Option<Deadline>,
}

/// A reply, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// The backend that answered.
    pub source: Arc<str>,
    /// Whether what was read is possibly older than the last acknowledged write.
    pub stale: bool,
    /// How long ago the copy was taken from the record, when a cache answered.
    pub age: Option<Duration>,
}

impl Storage {
    /// Opens a storage. A backend that is down never fails this: it is reconnected in the background.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that does not validate; `Unsupported` for an engine whose feature is off.
    pub async fn open(config: Config) -> Result<Self> {
        Builder { config }.open().await
    }

    /// Performs one operation.
    ///
    /// # Errors
    /// See `ErrorKind`. `Unavailable` names each backend and its reason.
    pub async fn execute(&self, op: &Op, _options: CallOptions) -> Result<Answer> {
        let _ = op;
        Err(Error::new(ErrorKind::Closed, "not open"))
    }

    /// The state of everything, now.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// The event bus.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The configuration as opened. Its `Debug` and `Serialize` redact secrets.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Forces a breaker, or gives it back.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown backend or a duration over a day.
    pub fn breaker(&self, _backend: &str, _command: BreakerCommand, _reason: &str) -> Result<()> {
        todo!()
    }

    /// Takes a backend out of use, or back into use.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown backend.
    pub fn drain(&self, _backend: &str, _drained: bool, _reason: &str) -> Result<()> {
        todo!()
    }

    /// Ends the background tasks, finishes what must not be lost, closes the connections; at most `limit`.
    /// False: something was still running.
    pub async fn close(&self, _limit: Duration) -> bool {
        todo!()
    }
}

impl Builder {
    /// Opens it.
    ///
    /// # Errors
    /// As `Storage::open`.
    pub async fn open(self) -> Result<Storage> {
        self.config.validate()?;
        let clock = Clock::system();
        let events = Events::new(clock.clone());
        Ok(Storage(Arc::new(Inner { config: self.config, clock, events })))
    }
}
