//! What is seen of the storage while a drill runs: its events as a timeline, its counts second by second, whether it is well.
//! It must not know the phases, nor judge.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mainstay::{
    Clock, Event, EventKind, Instant, Storage,
    status::{BackendStatus, BreakerState, Health, Status},
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::machine::Phase;

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(50);
/// Lines of a timeline, and events, at most: what comes after is left out.
const LINES_MAX: usize = 2000;

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since the fault began; below 0 before.
    pub at_ms: i64,
    /// A word: `fault`, `OPEN`, `CLOSED`, `healed`, …
    pub word: String,
    /// What happened.
    pub text: String,
    /// Whether something got worse.
    pub bad: bool,
}

/// One backend in one second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendSecond {
    /// The breaker's state at the end.
    pub breaker: String,
    /// The health at the end.
    pub health: String,
    /// Calls that were answered.
    pub ok: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that its breaker or its bulkhead refused.
    pub refused: u64,
    /// Calls in flight, at most.
    pub inflight: u64,
    /// Attempts to connect.
    pub attempts: u64,
}

/// One second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Requests by who served them, by the storage's own counts; `none`: refused.
    pub sources: BTreeMap<String, u64>,
    /// Each backend.
    pub backends: BTreeMap<String, BackendSecond>,
    /// Reads answered from copies.
    pub hits: u64,
    /// Reads that a copy could not answer.
    pub misses: u64,
    /// Requests that were served by another backend than usual.
    pub fallbacks: u64,
    /// Writes that wait in the journal, at the end.
    pub waiting: u64,
}

/// Who wants to know while it happens.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn line(&self, line: &Line);
    /// A phase began.
    fn phase(&self, phase: Phase);
    /// A second of the load has passed.
    fn second(&self, at: Duration, second: &Second);
}

/// A watch under way.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
}

/// What was seen so far.
struct Seen {
    storage: Storage,
    clock: Clock,
    listener: Arc<dyn Listener>,
    began: Instant,
    counting: bool,
    /// When the fault began: from where the timeline counts.
    origin: Option<i64>,
    last_event: u64,
    events: Vec<Arc<Event>>,
    lines: Vec<Line>,
    seconds: Vec<Second>,
    before: Counters,
    inflight: BTreeMap<String, u64>,
    well: bool,
}

/// What only rises.
#[derive(Clone, Debug, Default)]
struct Counters {
    sources: BTreeMap<String, u64>,
    backends: BTreeMap<String, [u64; 4]>,
    hits: u64,
    misses: u64,
    fallbacks: u64,
}

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The timeline.
    pub lines: Vec<Line>,
    /// By the second since the watch began.
    pub seconds: Vec<Second>,
    /// Every event that was still to be had, with the time since the watch began.
    pub events: Vec<(i64, Arc<Event>)>,
    /// The most calls that were in flight at once, by backend.
    pub inflight: BTreeMap<String, u64>,
}

impl Watch {
    /// Begins.
    pub fn start(storage: &Storage, clock: &Clock, listener: Arc<dyn Listener>) -> Self {
        let last_event = storage.events().since(0).last().map_or(0, |event| event.id);
        let seen = Arc::new(Mutex::new(Seen {
            before: Counters::of(&storage.status()),
            storage: storage.clone(),
            clock: clock.clone(),
            listener,
            began: clock.now(),
            counting: false,
            origin: None,
            last_event,
            events: Vec::new(),
            lines: Vec::new(),
            seconds: Vec::new(),
            inflight: BTreeMap::new(),
            well: false,
        }));
        let mut tasks = JoinSet::new();
        tasks.spawn(look_on(Arc::clone(&seen)));
        Self { seen, tasks }
    }

    /// Whether every backend serves, every cache is read, and nothing waits.
    pub fn is_well(&self) -> bool {
        self.seen().well
    }

    /// Seconds count from here: the load begins.
    pub fn begin_seconds(&self, began: Instant) {
        let mut seen = self.seen();
        seen.began = began;
        seen.counting = true;
        seen.before = Counters::of(&seen.storage.status());
    }

    /// A phase begins.
    pub fn phase(&self, phase: Phase) {
        self.seen().listener.phase(phase);
    }

    /// The timeline counts from now.
    pub fn begin_timeline(&self) {
        let mut seen = self.seen();
        let now = seen.clock.unix_ms();
        seen.origin.get_or_insert(now);
    }

    /// A line of the drill's own.
    pub fn say(&self, word: &str, text: impl Into<String>, bad: bool) {
        let mut seen = self.seen();
        let at_ms = seen.clock.unix_ms();
        seen.say(at_ms, word, text.into(), bad);
    }

    /// Ends it.
    pub fn finish(mut self) -> Observed {
        self.tasks.abort_all();
        let mut seen = self.seen();
        seen.look();
        let offset = seen.clock.unix_ms_at(seen.began);
        Observed {
            lines: seen.lines.clone(),
            seconds: seen.seconds.clone(),
            events: seen
                .events
                .iter()
                .map(|event| (event.unix_ms - offset, Arc::clone(event)))
                .collect(),
            inflight: seen.inflight.clone(),
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_on(seen: Arc<Mutex<Seen>>) {
    loop {
        seen.lock().unwrap_or_else(PoisonError::into_inner).look();
        tokio::time::sleep(PERIOD).await;
    }
}

impl Seen {
    fn look(&mut self) {
        let status = self.storage.status();
        self.well = is_well(&status);
        for backend in &status.backends {
            let most = self.inflight.entry(backend.name.to_string()).or_default();
            *most = (*most).max(backend.inflight);
        }
        for event in self.storage.events().since(self.last_event) {
            self.last_event = event.id;
            if let Some((word, text)) = line_of(&event) {
                self.say(event.unix_ms, word, text, event.kind.is_bad());
            }
            if self.events.len() < LINES_MAX {
                self.events.push(event);
            }
        }
        let passed = self.clock.now().saturating_duration_since(self.began);
        if self.counting && passed.as_secs() > self.seconds.len() as u64 {
            let now = Counters::of(&status);
            let second = now.since(&self.before, &status);
            self.listener.second(passed, &second);
            self.seconds.push(second);
            self.before = now;
        }
    }

    fn say(&mut self, unix_ms: i64, word: &str, text: String, bad: bool) {
        // Nothing is told of the time before the fault: that is how it always is.
        let Some(origin) = self.origin else { return };
        if self.lines.len() >= LINES_MAX {
            return;
        }
        let line = Line { at_ms: unix_ms - origin, word: word.to_owned(), text, bad };
        self.listener.line(&line);
        self.lines.push(line);
    }
}

fn is_well(status: &Status) -> bool {
    let serves = |backend: &BackendStatus| {
        backend.health == Health::Up
            && backend.breaker.state == BreakerState::Closed
            && backend.reconnect.connected
    };
    status.backends.iter().all(serves)
        && status.caches.iter().all(|cache| cache.readable)
        && status.journal.as_ref().is_none_or(|journal| journal.depth == 0)
        && status.overflowed_keys == 0
}

impl Counters {
    fn of(status: &Status) -> Self {
        let mut counters = Self::default();
        for count in &status.requests {
            let source = if count.source.is_empty() { "none" } else { &count.source };
            *counters.sources.entry(source.to_owned()).or_default() += count.count;
        }
        for backend in &status.backends {
            let calls = &backend.calls;
            let numbers = [
                calls.success,
                calls.failure,
                calls.refused + calls.shed,
                backend.reconnect.attempts_total,
            ];
            counters.backends.insert(backend.name.to_string(), numbers);
        }
        counters.hits = status.caches.iter().map(|cache| cache.hits).sum();
        counters.misses = status.caches.iter().map(|cache| cache.misses).sum();
        counters.fallbacks = status.fallbacks.iter().map(|fallback| fallback.count).sum();
        counters
    }

    fn since(&self, before: &Self, status: &Status) -> Second {
        let sources = self.sources.iter().map(|(name, count)| {
            let was = before.sources.get(name).copied().unwrap_or(0);
            (name.clone(), count.saturating_sub(was))
        });
        let sources = sources.filter(|(_, count)| *count > 0).collect();
        let backends = status.backends.iter().map(|backend| {
            let name = backend.name.to_string();
            let now = self.backends.get(&name).copied().unwrap_or_default();
            let was = before.backends.get(&name).copied().unwrap_or_default();
            let more = |at: usize| now[at].saturating_sub(was[at]);
            let second = BackendSecond {
                breaker: backend.breaker.state.as_str().to_owned(),
                health: backend.health.as_str().to_owned(),
                ok: more(0),
                failed: more(1),
                refused: more(2),
                inflight: backend.inflight,
                attempts: more(3),
            };
            (name, second)
        });
        Second {
            sources,
            backends: backends.collect(),
            hits: self.hits.saturating_sub(before.hits),
            misses: self.misses.saturating_sub(before.misses),
            fallbacks: self.fallbacks.saturating_sub(before.fallbacks),
            waiting: status.journal.as_ref().map_or(0, |journal| journal.depth),
        }
    }
}

/// The word and the text of an event that people want to see; none for what is told by another one.
fn line_of(event: &Event) -> Option<(&'static str, String)> {
    let backend = event.backend.as_deref().unwrap_or("storage");
    let reason = |text: &str| if text.is_empty() { String::new() } else { format!(": {text}") };
    let because = reason(&event.reason);
    let line = match &event.kind {
        EventKind::Breaker { to: "open", .. } => ("OPEN", format!("{backend}{because}")),
        EventKind::Breaker { to: "half_open", .. } => ("HALF", format!("{backend}{because}")),
        EventKind::Breaker { to: "closed", .. } => ("CLOSED", format!("{backend}{because}")),
        EventKind::Breaker { to, .. } => ("BREAKER", format!("{backend} {to}{because}")),
        EventKind::Health { to: "up", .. } => ("UP", format!("{backend}{because}")),
        EventKind::Health { to: "down", .. } => ("DOWN", format!("{backend}{because}")),
        EventKind::Health { to, .. } => ("HEALTH", format!("{backend} {to}{because}")),
        EventKind::Connection { connected: true, attempt } => {
            ("CONNECT", format!("{backend}: attempt {attempt} succeeded"))
        }
        EventKind::Readmission { keys } => ("CAUGHT UP", format!("{backend}: {keys} changed keys")),
        EventKind::StuckReset { attempts } => {
            ("RESET", format!("{backend}: the client is built anew after {attempts} attempts"))
        }
        EventKind::Copies { state } => ("COPIES", format!("{backend}: {state}{because}")),
        EventKind::Journal { .. } | EventKind::Lock { .. } => {
            ("NOTE", format!("{backend} {}{because}", event.kind))
        }
        // Each attempt is counted; the phases of a cache are told by what leads to them.
        EventKind::Connection { connected: false, .. }
        | EventKind::Lifecycle { .. }
        | EventKind::Drain { .. }
        | EventKind::Drill { .. }
        | EventKind::Storage { .. } => return None,
        _ => ("NOTE", format!("{backend} {}{because}", event.kind)),
    };
    Some(line)
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("well", &self.is_well()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, reason: &str) -> Event {
        let (backend, reason) = (Some("redis".into()), reason.to_owned());
        Event {
            id: 1,
            unix_ms: 0,
            backend,
            kind,
            cause: None,
            reason,
            error: None,
            actor: mainstay::event::Actor::SYSTEM,
            retry_in: None,
        }
    }

    #[test]
    fn events_are_told_in_one_word_and_a_sentence() {
        let opened =
            event(EventKind::Breaker { from: "closed", to: "open" }, "5 failures in a row");
        assert_eq!(line_of(&opened), Some(("OPEN", "redis: 5 failures in a row".to_owned())));
        let caught = event(EventKind::Readmission { keys: 12 }, "");
        assert_eq!(line_of(&caught), Some(("CAUGHT UP", "redis: 12 changed keys".to_owned())));
        let attempt = event(EventKind::Connection { connected: false, attempt: 3 }, "refused");
        assert_eq!(line_of(&attempt), None);
    }
}
