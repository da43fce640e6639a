//! One log line for each event.
//! It must not know where log lines go.

use super::{Event, EventKind};

/// The line in words, and the same as fields for who reads logs by program.
pub(super) fn log(event: &Event) {
    let fields = Fields::of(&event.kind);
    let (id, kind, reason) = (event.id, event.kind.as_str(), event.reason.as_str());
    let (backend, cause, actor) = (event.backend.as_deref(), event.cause, event.actor.as_str());
    let (error_kind, error) =
        event.error.as_ref().map_or((None, None), |e| (Some(e.kind), Some(e.message.as_str())));
    let retry_in_ms =
        event.retry_in.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let Fields { from, to, connected, attempt, attempts, drained, keys, state, entries, .. } =
        fields;
    let Fields { active, switches, applied, restart, .. } = fields;
    // A level is part of a call's place in the code: hence two.
    if event.kind.is_bad() {
        tracing::warn!(target: Event::LOG_TARGET, id, kind, backend, from, to, cause, connected, attempt, attempts, drained, keys, state, entries, active, switches, applied, restart, error_kind, error, retry_in_ms, actor, reason, "{event}");
    } else {
        tracing::info!(target: Event::LOG_TARGET, id, kind, backend, from, to, cause, connected, attempt, attempts, drained, keys, state, entries, active, switches, applied, restart, error_kind, error, retry_in_ms, actor, reason, "{event}");
    }
}

/// What the kinds carry, each under the name it has when serialized.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fields {
    pub(crate) from: Option<&'static str>,
    pub(crate) to: Option<&'static str>,
    pub(crate) connected: Option<bool>,
    pub(crate) attempt: Option<u64>,
    pub(crate) attempts: Option<u64>,
    pub(crate) drained: Option<bool>,
    pub(crate) keys: Option<u64>,
    pub(crate) state: Option<&'static str>,
    pub(crate) entries: Option<u64>,
    pub(crate) active: Option<bool>,
    pub(crate) switches: Option<u64>,
    pub(crate) applied: Option<u64>,
    pub(crate) restart: Option<u64>,
}

impl Fields {
    pub(crate) fn of(kind: &EventKind) -> Self {
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
            EventKind::Flapping { active, switches } => {
                Self { active: Some(active), switches: Some(switches), ..none }
            }
            EventKind::Config { state, applied, restart } => {
                Self { state: Some(state), applied: Some(applied), restart: Some(restart), ..none }
            }
            EventKind::Copies { state }
            | EventKind::Drill { state }
            | EventKind::Lock { state }
            | EventKind::History { state }
            | EventKind::Certificate { state }
            | EventKind::Storage { state } => Self { state: Some(state), ..none },
        }
    }
}
