//! What happened, as values: one bounded bus, one ring of the last thousand.
//! It must not know who listens; nobody who publishes ever waits.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tokio::sync::broadcast;

use crate::clock::Clock;

/// How many events the ring keeps.
pub const RING_MAX: usize = 1000;

/// How far a listener may fall behind before it misses events.
const LAG_MAX: usize = 1024;

/// What kind of thing happened. States are the words of the status document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The breaker of a backend changed state.
    Breaker {
        /// The state before.
        from: &'static str,
        /// The state now.
        to: &'static str,
    },
    /// The health of a backend changed.
    Health {
        /// The state before.
        from: &'static str,
        /// The state now.
        to: &'static str,
    },
    /// A connection attempt ended.
    Connection {
        /// Whether it succeeded.
        connected: bool,
        /// The number of the attempt since the connection was lost, from 1.
        attempt: u64,
    },
    /// A reconnection made no progress: the client was torn down and built anew.
    StuckReset {
        /// How many attempts had failed.
        attempts: u64,
    },
    /// A backend was taken out of use or put back.
    Drain {
        /// Whether it is now out of use.
        drained: bool,
    },
    /// A cache was made true again after an outage, or its volatile writes were discarded.
    Readmission {
        /// How many keys were made absent or discarded.
        keys: u64,
    },
    /// The storage opened or closes.
    Storage {
        /// `open` or `closing`.
        state: &'static str,
    },
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Rises by one with each event of this process.
    pub id: u64,
    /// When, Unix milliseconds.
    pub unix_ms: i64,
    /// Which backend, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Arc<str>>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
    /// Why, in words: the last error, the operator's reason.
    pub reason: String,
}

/// The bus of one storage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events(Arc<Bus>);

#[derive(Debug)]
struct Bus {
    clock: Clock,
    ring: Mutex<Ring>,
    sender: broadcast::Sender<Arc<Event>>,
}

#[derive(Debug, Default)]
struct Ring {
    last_id: u64,
    events: VecDeque<Arc<Event>>,
}

impl Events {
    /// An empty bus.
    pub fn new(clock: Clock) -> Self {
        let (sender, _) = broadcast::channel(LAG_MAX);
        Self(Arc::new(Bus { clock, ring: Mutex::default(), sender }))
    }

    /// Publishes, and writes one log line.
    pub fn publish(&self, backend: Option<&Arc<str>>, kind: EventKind, reason: impl Into<String>) {
        let reason = reason.into();
        tracing::info!(target: "mainstay", backend = backend.map(|name| &**name), event = ?kind, %reason);
        let mut ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last_id += 1;
        let (id, unix_ms) = (ring.last_id, self.0.clock.unix_ms());
        let event = Arc::new(Event { id, unix_ms, backend: backend.cloned(), kind, reason });
        if ring.events.len() == RING_MAX {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::clone(&event));
        // Sent under the ring's lock, so that listeners see ids in order. No listener is no error.
        let _ = self.0.sender.send(event);
    }

    /// The events after this id that are still in the ring, oldest first.
    pub fn since(&self, id: u64) -> Vec<Arc<Event>> {
        let ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.events.iter().filter(|event| event.id > id).cloned().collect()
    }

    /// Events from now on. A listener that falls behind by more than 1,024 gets `Lagged` and goes on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.sender.subscribe()
    }
}
