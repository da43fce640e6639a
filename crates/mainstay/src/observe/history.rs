//! The connection history: the last hundred entries of each backend, of this process and of those before it.
//! It must not know where it is kept.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventKind, Fields};

/// Entries of one backend, and of the storage itself.
pub const HISTORY_MAX: usize = 100;

/// Characters of a text that are kept.
const TEXT_MAX: usize = 500;

/// The error of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastError {
    /// `ErrorKind::as_str`.
    pub kind: Cow<'static, str>,
    /// The server's text, 500 characters at most.
    pub message: String,
}

/// One entry: an event about a connection, health, a breaker, or the storage's start and end. The members are those of the
/// event, under the same names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The event's number in its process: it begins with 1 again after a `storage open`.
    pub id: u64,
    /// When, Unix milliseconds.
    pub unix_ms: i64,
    /// Which backend; none: the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Arc<str>>,
    /// `breaker`, `health`, `connection`, `stuck_reset`, `drain`, `flapping`, `storage`.
    pub kind: Cow<'static, str>,
    /// The state before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Cow<'static, str>>,
    /// The state after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Cow<'static, str>>,
    /// `storage`: `open` or `closing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Cow<'static, str>>,
    /// Why a breaker changed, as a word of a closed set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cow<'static, str>>,
    /// `connection`: whether the attempt succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// `connection`: the number of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// `stuck_reset`: how many attempts had failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// `drain`: whether it is out of use now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
    /// `flapping`: whether it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// `flapping`: how often it went out of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches: Option<u64>,
    /// Why, in words; 500 characters at most.
    #[serde(default)]
    pub reason: String,
    /// The last error of the backend, when that is what led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<PastError>,
    /// Who did it.
    #[serde(default = "system")]
    pub actor: Cow<'static, str>,
    /// Time to the next probe or attempt, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
}

fn system() -> Cow<'static, str> {
    Cow::Borrowed("system")
}

impl HistoryEntry {
    /// The entry of an event; none for one that is no part of the history.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        match event.kind {
            EventKind::Breaker { .. }
            | EventKind::Health { .. }
            | EventKind::Connection { .. }
            | EventKind::StuckReset { .. }
            | EventKind::Drain { .. }
            | EventKind::Drill { .. }
            | EventKind::Flapping { .. }
            | EventKind::Storage { .. } => {}
            EventKind::Readmission { .. }
            | EventKind::Lifecycle { .. }
            | EventKind::Copies { .. }
            | EventKind::Journal { .. }
            | EventKind::Lock { .. }
            | EventKind::History { .. }
            | EventKind::Config { .. }
            | EventKind::Certificate { .. } => return None,
        }
        let fields = Fields::of(&event.kind);
        let word = |word: Option<&'static str>| word.map(Cow::Borrowed);
        Some(Self {
            id: event.id,
            unix_ms: event.unix_ms,
            backend: event.backend.clone(),
            kind: Cow::Borrowed(event.kind.as_str()),
            from: word(fields.from),
            to: word(fields.to),
            state: word(fields.state),
            cause: word(event.cause),
            connected: fields.connected,
            attempt: fields.attempt,
            attempts: fields.attempts,
            drained: fields.drained,
            active: fields.active,
            switches: fields.switches,
            reason: cut(&event.reason),
            error: event.error.as_ref().map(|error| PastError {
                kind: Cow::Borrowed(error.kind),
                message: cut(&error.message),
            }),
            actor: Cow::Owned(event.actor.as_str().to_owned()),
            retry_in_ms: event
                .retry_in
                .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        })
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// The entries of one backend, or, without a name, of the storage; each with its place among those of all.
#[derive(Clone, Debug)]
struct Ring {
    name: Option<Arc<str>>,
    entries: VecDeque<(u64, HistoryEntry)>,
}

/// A ring for each backend, and one for the storage; bounded.
#[derive(Clone, Debug)]
pub(crate) struct Rings {
    rings: Vec<Ring>,
    /// Rises with each entry, so that the rings can be merged.
    next: u64,
}

impl Rings {
    /// Empty ones for these backends.
    pub(crate) fn new(backends: &[Arc<str>]) -> Self {
        let names = backends.iter().map(|name| Some(Arc::clone(name))).chain([None]);
        Self { rings: names.map(|name| Ring { name, entries: VecDeque::new() }).collect(), next: 0 }
    }

    /// Entries at most.
    pub(crate) fn max(&self) -> usize {
        self.rings.len() * HISTORY_MAX
    }

    /// Entries there are.
    pub(crate) fn len(&self) -> usize {
        self.rings.iter().map(|ring| ring.entries.len()).sum()
    }

    /// Adds one; without effect for a backend that there is not (any more).
    pub(crate) fn push(&mut self, entry: HistoryEntry) {
        let Some(ring) = self.rings.iter_mut().find(|ring| ring.name == entry.backend) else {
            return;
        };
        if ring.entries.len() == HISTORY_MAX {
            ring.entries.pop_front();
        }
        ring.entries.push_back((self.next, entry));
        self.next += 1;
    }

    /// The last `limit` of all, or of one backend and the storage, oldest first.
    pub(crate) fn last(&self, backend: Option<&str>, limit: usize) -> Vec<HistoryEntry> {
        let wanted = |ring: &&Ring| match (backend, &ring.name) {
            (Some(wanted), Some(name)) => **name == *wanted,
            (None, _) | (_, None) => true,
        };
        let chosen = self.rings.iter().filter(wanted);
        let mut all: Vec<&(u64, HistoryEntry)> = chosen.flat_map(|ring| &ring.entries).collect();
        all.sort_unstable_by_key(|(order, _)| *order);
        let from = all.len().saturating_sub(limit);
        all[from..].iter().map(|(_, entry)| entry.clone()).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        error::{Error, ErrorKind},
        event::{Details, EventError, Events},
    };

    /// An entry about a backend, or the storage.
    pub(crate) fn entry(backend: Option<&str>, id: u64) -> HistoryEntry {
        let events = Events::new(Clock::starting_at(7));
        let backend = backend.map(Arc::from);
        let kind = match backend {
            Some(_) => EventKind::Connection { connected: false, attempt: id },
            None => EventKind::Storage { state: "open" },
        };
        let error = Error::new(ErrorKind::Disconnected, "refused");
        let details = Details { error: Some(EventError::from(&error)), ..Details::default() };
        events.publish_with(backend.as_ref(), kind, "refused", details);
        HistoryEntry { id, ..HistoryEntry::of(&events.since(0)[0]).expect("is part of it") }
    }

    pub(crate) fn names() -> Vec<Arc<str>> {
        ["redis", "db"].map(Arc::from).to_vec()
    }

    #[tokio::test]
    async fn a_busy_backend_does_not_push_out_the_entries_of_another() {
        let mut rings = Rings::new(&names());
        rings.push(entry(Some("db"), 1));
        rings.push(entry(None, 2));
        for id in 3..1003 {
            rings.push(entry(Some("redis"), id));
        }
        rings.push(entry(Some("gone"), 2000));
        let ids = |backend, limit| {
            rings.last(backend, limit).iter().map(|entry| entry.id).collect::<Vec<u64>>()
        };
        assert_eq!(rings.len(), 102);
        assert_eq!(ids(Some("db"), 100), [1, 2]);
        assert_eq!(ids(Some("redis"), 3), [1000, 1001, 1002]);
        assert_eq!(ids(None, 1000)[..3], [1, 2, 903]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_reads_as_the_event_and_comes_back_from_its_line() {
        let written = entry(Some("redis"), 4);
        let line = serde_json::to_string(&written).expect("writes");
        let expected = r#"{"id":4,"unix_ms":7,"backend":"redis","kind":"connection","connected":false,"attempt":4,"reason":"refused","error":{"kind":"disconnected","message":"refused"},"actor":"system"}"#;
        assert_eq!(line, expected);
        let read: HistoryEntry = serde_json::from_str(&line).expect("reads");
        assert_eq!(read, written);
        let later = r#"{"id":1,"unix_ms":2,"kind":"comet","tail":true}"#;
        let read: HistoryEntry = serde_json::from_str(later).expect("reads what it does not know");
        assert_eq!((&*read.kind, &*read.actor), ("comet", "system"));
    }
}
