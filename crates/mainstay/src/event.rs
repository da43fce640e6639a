//! What happened, as values: one bounded bus, one ring of the last thousand.
//! It must not know who listens; nobody who publishes ever waits.

mod actor;
mod kind;
mod log;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::sync::broadcast;

pub(crate) use self::log::Fields;
pub use self::{actor::Actor, kind::EventKind};
use crate::{clock::Clock, error::Error, status::as_optional_millis};

/// How many events the ring keeps.
pub const RING_MAX: usize = 1000;

/// How far a listener may fall behind before it misses events.
pub const LAG_MAX: usize = 1024;

/// The error that led to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventError {
    /// `ErrorKind::as_str`.
    pub kind: &'static str,
    /// The server's text, without secrets.
    pub message: String,
}

impl From<&Error> for EventError {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind().as_str(), message: error.message().to_owned() }
    }
}

/// What is known of an event besides its kind and its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Why a breaker changed state, as a word of a closed set.
    pub cause: Option<&'static str>,
    /// The last error of the backend, when that is what led to it.
    pub error: Option<EventError>,
    /// Who did it; the storage itself by default.
    pub actor: Actor,
    /// Time to the next probe or attempt.
    pub retry_in: Option<Duration>,
}

/// One thing that happened. Displayed, it is one line: `redis breaker closed -> open: 5 failures in a row`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Rises by one with each event of this process. Where one begins, the process before has ended: it counts from the
    /// microseconds of the clock at the start.
    pub id: u64,
    /// When, Unix milliseconds.
    pub unix_ms: i64,
    /// Which backend, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Arc<str>>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
    /// Why a breaker changed state, as a word of a closed set: `failures`, `slow`, `forced` and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// Why, in words: the last error, the operator's reason.
    pub reason: String,
    /// The last error of the backend, when that is what led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<EventError>,
    /// Who did it: `system`, or who told it to.
    pub actor: Actor,
    /// Time to the next probe or attempt.
    #[serde(
        serialize_with = "as_optional_millis",
        rename = "retry_in_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_in: Option<Duration>,
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
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        if self.actor.is_system() { Ok(()) } else { write!(f, " (by {})", self.actor) }
    }
}

/// What is shown each event before anybody else, in order, under the bus's lock.
type Tap = Box<dyn Fn(&Event) + Send + Sync>;

/// The bus of one storage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events(Arc<Bus>);

struct Bus {
    clock: Clock,
    /// Below the id of the first event.
    base: u64,
    ring: Mutex<Ring>,
    sender: broadcast::Sender<Arc<Event>>,
    tap: OnceLock<Tap>,
}

#[derive(Debug)]
struct Ring {
    last_id: u64,
    events: VecDeque<Arc<Event>>,
}

impl Events {
    /// An empty bus.
    pub fn new(clock: Clock) -> Self {
        let (sender, _) = broadcast::channel(LAG_MAX);
        let base = clock.unix_us();
        let ring = Mutex::new(Ring { last_id: base, events: VecDeque::new() });
        Self(Arc::new(Bus { clock, base, ring, sender, tap: OnceLock::new() }))
    }

    /// The id before that of the first event: whoever has seen a lower one has seen it from an earlier process.
    pub fn base(&self) -> u64 {
        self.0.base
    }

    /// Shows each event from now on to `tap`, once for a bus. It must not wait, nor publish.
    pub(crate) fn set_tap(&self, tap: impl Fn(&Event) + Send + Sync + 'static) {
        // A second one is a defect that a test would show; the first one stays.
        let _ = self.0.tap.set(Box::new(tap));
    }

    /// Publishes, and writes one log line: a warning when something got worse.
    pub fn publish(&self, backend: Option<&Arc<str>>, kind: EventKind, reason: impl Into<String>) {
        self.publish_with(backend, kind, reason, Details::default());
    }

    /// The same, with what else is known.
    pub fn publish_with(
        &self,
        backend: Option<&Arc<str>>,
        kind: EventKind,
        reason: impl Into<String>,
        details: Details,
    ) {
        let Details { cause, error, actor, retry_in } = details;
        let mut ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last_id += 1;
        let (id, unix_ms) = (ring.last_id, self.0.clock.unix_ms());
        let (backend, reason) = (backend.cloned(), reason.into());
        let event = Event { id, unix_ms, backend, kind, cause, reason, error, actor, retry_in };
        let event = Arc::new(event);
        if ring.events.len() == RING_MAX {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::clone(&event));
        if let Some(tap) = self.0.tap.get() {
            tap(&event);
        }
        // Sent under the ring's lock, so that listeners see ids in order. No listener is no error.
        let _ = self.0.sender.send(Arc::clone(&event));
        drop(ring);
        log::log(&event);
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

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tapped = self.tap.get().is_some();
        f.debug_struct("Bus")
            .field("ring", &self.ring)
            .field("tapped", &tapped)
            .finish_non_exhaustive()
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
        let forced = Details { actor: Actor::new("cli 127.0.0.1"), ..Details::default() };
        events.publish_with(Some(&redis), EventKind::Drain { drained: true }, "upgrade", forced);
        let lines: Vec<String> = events.since(0).iter().map(ToString::to_string).collect();
        let opened = "redis breaker closed -> open: 5 failures in a row, last \"refused\"";
        let drained = "redis out of use: upgrade (by cli 127.0.0.1)";
        assert_eq!(lines, [opened, "storage open", drained]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_says_the_error_the_actor_and_when_it_is_tried_again() {
        let events = Events::new(Clock::starting_at(5));
        let redis: Arc<str> = "redis".into();
        let error = Error::new(crate::ErrorKind::Disconnected, "refused");
        let details = Details {
            cause: Some("failures"),
            error: Some(EventError::from(&error)),
            retry_in: Some(Duration::from_millis(4200)),
            ..Details::default()
        };
        let kind = EventKind::Breaker { from: "closed", to: "open" };
        events.publish_with(Some(&redis), kind, "5 failures in a row", details);
        let json = serde_json::to_value(&*events.since(0)[0]).unwrap();
        let expected = serde_json::json!({
            "id": events.base() + 1, "unix_ms": 5, "backend": "redis", "kind": "breaker", "from": "closed",
            "to": "open", "cause": "failures", "reason": "5 failures in a row",
            "error": {"kind": "disconnected", "message": "refused"}, "actor": "system",
            "retry_in_ms": 4200.0,
        });
        assert_eq!(json, expected);
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
