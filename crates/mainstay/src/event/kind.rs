//! What can happen, and the words for it.
//! It must not know when it does, nor who is told.

use std::fmt;

use serde::Serialize;

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
    /// A drill, or the program, breaks a backend for some of its calls, or no longer.
    Drill {
        /// `injected` or `lifted`.
        state: &'static str,
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
        /// `admitted`: a backend votes again; `released`: by hand.
        state: &'static str,
    },
    /// A backend goes out of service and comes back too often, or no longer.
    Flapping {
        /// Whether it does.
        active: bool,
        /// How often it went out of service within `observe.flapping_window`.
        switches: u64,
    },
    /// The file of the connection history.
    History {
        /// `memory`: it cannot be written, the history goes on in memory alone; `damaged`: some of it could not be read.
        state: &'static str,
    },
    /// The configuration was read anew.
    Config {
        /// `reloaded` or `refused`.
        state: &'static str,
        /// How many settings were changed.
        applied: u64,
        /// How many differ and need a restart.
        restart: u64,
    },
    /// The certificates of the doors of this process.
    Certificate {
        /// `loaded`: what the files hold now is in use; `refused`: it cannot be used, and what was before stays.
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
            Self::Drill { .. } => "drill",
            Self::Readmission { .. } => "readmission",
            Self::Lifecycle { .. } => "lifecycle",
            Self::Copies { .. } => "copies",
            Self::Journal { .. } => "journal",
            Self::Lock { .. } => "lock",
            Self::Flapping { .. } => "flapping",
            Self::History { .. } => "history",
            Self::Config { .. } => "config",
            Self::Certificate { .. } => "certificate",
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
            Self::Flapping { active, .. } => *active,
            Self::History { .. } => true,
            Self::Config { state, .. } => *state == "refused",
            Self::Certificate { state } => *state == "refused",
            Self::Drain { .. }
            | Self::Drill { .. }
            | Self::Readmission { .. }
            | Self::Storage { .. } => false,
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
            Self::Drill { state } => write!(f, "fault {state}"),
            Self::Readmission { keys } => write!(f, "readmitted, {keys} keys caught up"),
            Self::Lock { state } => write!(f, "lock {state}"),
            Self::Flapping { active: true, switches } => {
                write!(f, "flapping: out of service {switches} times")
            }
            Self::Flapping { active: false, .. } => f.write_str("no longer flapping"),
            Self::History { state: "memory" } => f.write_str("history kept in memory alone"),
            Self::History { state } => write!(f, "history {state}"),
            Self::Config { state: "reloaded", applied, restart } => {
                write!(f, "configuration reloaded, {applied} applied")?;
                if *restart > 0 { write!(f, ", {restart} need a restart") } else { Ok(()) }
            }
            Self::Config { state, .. } => write!(f, "configuration {state}, nothing changed"),
            Self::Certificate { state } => write!(f, "certificate {state}"),
            Self::Storage { state } => write!(f, "storage {state}"),
        }
    }
}
