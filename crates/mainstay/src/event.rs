//! What happened, as values: one bounded bus, one ring of the last thousand.
//! It must not know who listens; nobody who publishes ever waits.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tokio::sync::broadcast;

use crate::clock::Clock;

/// How many events the ring keeps.
pub const RING_MAX: usize = 1000;

/// How far a listener may fall behind before it misses events.
const LAG_MAX: usize = 1024;

/// What kind of thing happened. States are the words of the status document. Displayed, it is a few words that stand
/// after a backend's name and before the reason.
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
    /// A cache, as this process sees it, is in another phase of its life.
    Lifecycle {
        /// The phase before: `up`, `suspect`, `down`, `probing`, `readmitting`, `warming`.
        from: &'static str,
        /// The phase now.
        to: &'static str,
    },
    /// The copies of a cache as a whole, for every process: this one has declared it.
    Copies {
        /// `degraded`: nobody reads them; `readmitted`: begun anew; `refilled`: hot keys were read again; `inconsistent`:
        /// some were found wrong; `evictable`: the marks among them may be evicted.
        state: &'static str,
    },
    /// Writes of a record wait in the journal.
    Journal {
        /// `waiting`: the first one waits; `replayed`: none waits any more; `dead_letter`: one will not be applied;
        /// `discarded`: a dead letter was forgotten.
        state: &'static str,
        /// `waiting`: how many wait; `replayed`: how many were dealt with; else the entry's number.
        entries: u64,
    },
    /// A lock of this process, or who grants locks.
    Lock {
        /// `lost`: a lease of this process ended before it was released; `moved`: another backend grants;
        /// `admitted`: a backend votes again.
        state: &'static str,
    },
    /// The storage opened or closes.
    Storage {
        /// `open` or `closing`.
        state: &'static str,
    },
}

impl EventKind {
    /// As serialized: `breaker`, `health`, ...
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Breaker { .. } => "breaker",
            Self::Health { .. } => "health",
            Self::Connection { .. } => "connection",
            Self::StuckReset { .. } => "stuck_reset",
            Self::Drain { .. } => "drain",
            Self::Readmission { .. } => "readmission",
            Self::Lifecycle { .. } => "lifecycle",
            Self::Copies { .. } => "copies",
            Self::Journal { .. } => "journal",
            Self::Lock { .. } => "lock",
            Self::Storage { .. } => "storage",
        }
    }

    /// Whether something got worse by itself: a person may want to be told.
    pub fn is_bad(&self) -> bool {
        match self {
            Self::Breaker { to, .. } => matches!(*to, "open" | "isolated"),
            Self::Health { to, .. } => *to != "up",
            Self::Connection { connected, .. } => !connected,
            Self::StuckReset { .. } => true,
            Self::Lifecycle { to, .. } => !matches!(*to, "up" | "warming"),
            Self::Copies { state } => !matches!(*state, "readmitted" | "refilled"),
            Self::Journal { state, .. } => matches!(*state, "waiting" | "dead_letter"),
            Self::Lock { state } => *state == "lost",
            Self::Drain { .. } | Self::Readmission { .. } | Self::Storage { .. } => false,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Breaker { from, to }
            | Self::Health { from, to }
            | Self::Lifecycle { from, to } => {
                write!(f, "{} {from} -> {to}", self.as_str())
            }
            Self::Connection { connected: true, attempt } => {
                write!(f, "connected, attempt {attempt}")
            }
            Self::Connection { connected: false, attempt } => {
                write!(f, "connection failed, attempt {attempt}")
            }
            Self::StuckReset { attempts } => write!(f, "client rebuilt after {attempts} attempts"),
            Self::Copies { state } => write!(f, "copies {state}"),
            Self::Journal { state: "waiting", entries } => {
                write!(f, "down: {entries} writes wait in the journal")
            }
            Self::Journal { state: "replayed", entries } => {
                write!(f, "has the journal's {entries} writes")
            }
            Self::Journal { state: "discarded", entries } => {
                write!(f, "dead letter {entries} discarded")
            }
            Self::Journal { entries, .. } => write!(f, "journal entry {entries} is a dead letter"),
            Self::Drain { drained: true } => f.write_str("out of use"),
            Self::Drain { drained: false } => f.write_str("back in use"),
            Self::Readmission { keys } => write!(f, "readmitted, {keys} keys caught up"),
            Self::Lock { state } => write!(f, "lock {state}"),
            Self::Storage { state } => write!(f, "storage {state}"),
        }
    }
}

/// One thing that happened. Displayed, it is one line: `redis breaker closed -> open: 5 failures in a row`.
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

impl Event {
    /// The `tracing` target of the line that is logged for each event. Its message says all that its fields say.
    pub const LOG_TARGET: &str = "mainstay::event";
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(backend) = &self.backend {
            write!(f, "{backend} ")?;
        }
        write!(f, "{}", self.kind)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
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

    /// Publishes, and writes one log line: a warning when something got worse.
    pub fn publish(&self, backend: Option<&Arc<str>>, kind: EventKind, reason: impl Into<String>) {
        let mut ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last_id += 1;
        let (id, unix_ms) = (ring.last_id, self.0.clock.unix_ms());
        let (backend, reason) = (backend.cloned(), reason.into());
        let event = Arc::new(Event { id, unix_ms, backend, kind, reason });
        if ring.events.len() == RING_MAX {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::clone(&event));
        // Sent under the ring's lock, so that listeners see ids in order. No listener is no error.
        let _ = self.0.sender.send(Arc::clone(&event));
        drop(ring);
        log(&event);
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

/// The line in words, and the same as fields for who reads logs by program.
fn log(event: &Event) {
    let fields = Fields::of(&event.kind);
    let (id, kind, reason) = (event.id, event.kind.as_str(), event.reason.as_str());
    let backend = event.backend.as_deref();
    let Fields { from, to, connected, attempt, attempts, drained, keys, state, entries } = fields;
    // A level is part of a call's place in the code: hence two.
    if event.kind.is_bad() {
        tracing::warn!(target: Event::LOG_TARGET, id, kind, backend, from, to, connected, attempt, attempts, drained, keys, state, entries, reason, "{event}");
    } else {
        tracing::info!(target: Event::LOG_TARGET, id, kind, backend, from, to, connected, attempt, attempts, drained, keys, state, entries, reason, "{event}");
    }
}

/// What the kinds carry, each under the name it has when serialized.
#[derive(Default)]
struct Fields {
    from: Option<&'static str>,
    to: Option<&'static str>,
    connected: Option<bool>,
    attempt: Option<u64>,
    attempts: Option<u64>,
    drained: Option<bool>,
    keys: Option<u64>,
    state: Option<&'static str>,
    entries: Option<u64>,
}

impl Fields {
    fn of(kind: &EventKind) -> Self {
        let none = Self::default();
        match *kind {
            EventKind::Breaker { from, to }
            | EventKind::Health { from, to }
            | EventKind::Lifecycle { from, to } => Self { from: Some(from), to: Some(to), ..none },
            EventKind::Connection { connected, attempt } => {
                Self { connected: Some(connected), attempt: Some(attempt), ..none }
            }
            EventKind::StuckReset { attempts } => Self { attempts: Some(attempts), ..none },
            EventKind::Drain { drained } => Self { drained: Some(drained), ..none },
            EventKind::Readmission { keys } => Self { keys: Some(keys), ..none },
            EventKind::Journal { state, entries } => {
                Self { state: Some(state), entries: Some(entries), ..none }
            }
            EventKind::Copies { state }
            | EventKind::Lock { state }
            | EventKind::Storage { state } => Self { state: Some(state), ..none },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_reads_as_one_line() {
        let events = Events::new(Clock::starting_at(0));
        let redis: Arc<str> = "redis".into();
        let kind = EventKind::Breaker { from: "closed", to: "open" };
        events.publish(Some(&redis), kind, "5 failures in a row, last \"refused\"");
        events.publish(None, EventKind::Storage { state: "open" }, "");
        let lines: Vec<String> = events.since(0).iter().map(ToString::to_string).collect();
        let opened = "redis breaker closed -> open: 5 failures in a row, last \"refused\"";
        assert_eq!(lines, [opened, "storage open"]);
    }

    #[test]
    fn the_fields_of_a_log_line_are_those_of_the_document() {
        let kind = EventKind::Health { from: "up", to: "down" };
        let (fields, json) = (Fields::of(&kind), serde_json::to_value(&kind).unwrap());
        assert_eq!((fields.from, fields.to), (json["from"].as_str(), json["to"].as_str()));
        assert_eq!(kind.as_str(), json["kind"]);
        assert!(kind.is_bad() && !EventKind::Health { from: "down", to: "up" }.is_bad());
        let kind = EventKind::StuckReset { attempts: 50 };
        let (fields, json) = (Fields::of(&kind), serde_json::to_value(&kind).unwrap());
        assert_eq!((fields.attempts, kind.as_str()), (json["attempts"].as_u64(), "stuck_reset"));
    }
}
