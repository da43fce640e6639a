//! What a drill came to, as data: what programs read, and what the pages are drawn from.
//! It must not know how it was found out.

mod compare;
mod html;
mod junit;
mod plot;

pub use compare::compare;
pub use html::html;
pub use junit::junit;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    advice::Advice,
    judge::Verdict,
    locks::LockCounts,
    machine::Phase,
    scenario::Scenario,
    watch::{BackendSecond, Line},
    world::StandsBehind,
};

/// One drill. Times are milliseconds since the load began, unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version that was drilled.
    pub mainstay: String,
    /// The scenario, as it was run.
    pub scenario: Scenario,
    /// Whether every threshold was met.
    pub passed: bool,
    /// When the load began, Unix milliseconds.
    pub began_unix_ms: i64,
    /// The same seed asks for the same keys.
    pub seed: u64,
    /// What stands behind each backend.
    pub places: Vec<StandsBehind>,
    /// The backends that were broken.
    pub targets: Vec<String>,
    /// The routes, in words.
    pub routes: Vec<String>,
    /// What is to be known when the numbers are read.
    pub notes: Vec<String>,
    /// The phases.
    pub phases: Vec<PhaseReport>,
    /// From the fault to the first breaker that opened.
    pub opened_ms: Option<u64>,
    /// From healing to being as before.
    pub recovery_ms: Option<u64>,
    /// What had to hold.
    pub thresholds: Vec<Verdict>,
    /// What was read back.
    pub verification: Verification,
    /// The contended lock.
    pub locks: Option<LockCounts>,
    /// Errors by their first words.
    pub errors: BTreeMap<String, ErrorReport>,
    /// Each second of the load.
    pub seconds: Vec<SecondReport>,
    /// The states of each breaker.
    pub lanes: Vec<Lane>,
    /// What happened. Times count from the fault.
    pub timeline: Vec<Line>,
    /// Which setting to change, when it failed.
    pub advice: Vec<Advice>,
}

/// The requests of one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// Which.
    pub phase: Phase,
    /// Its begin.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
    /// Requests that were due in it.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Reads older than acknowledged.
    pub stale: u64,
    /// The median latency.
    pub p50_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: f64,
}

/// What was read back at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Writes and deletes that were acknowledged.
    pub acknowledged: u64,
    /// Keys that were read back.
    pub keys: u64,
    /// Those whose last acknowledged write was gone, or that could not be read.
    pub lost: u64,
    /// Those among them that could not be read.
    pub unreadable: u64,
    /// Deleted keys that were there, during the drill and at its end.
    pub deleted_back: u64,
    /// Values that nobody wrote.
    pub unexplained: u64,
    /// Stale reads in all.
    pub stale: u64,
    /// Some of all those, in words.
    pub examples: Vec<String>,
}

/// One kind of error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// How many.
    pub count: u64,
    /// The text of the first.
    pub example: String,
}

/// One second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecondReport {
    /// Requests that were due.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// The median latency.
    pub p50_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: f64,
    /// By who served, by the storage's own counts.
    pub sources: BTreeMap<String, u64>,
    /// Each backend.
    pub backends: BTreeMap<String, BackendSecond>,
    /// Writes that wait in the journal.
    pub waiting: u64,
}

/// The states of one breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// The backend.
    pub backend: String,
    /// One after the other, without a gap.
    pub spans: Vec<Span>,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// `closed`, `open`, `half_open`, `isolated`.
    pub state: String,
    /// Its begin.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
}

impl Report {
    /// The end of the last phase.
    pub fn end_ms(&self) -> u64 {
        self.phases.last().map_or(0, |phase| phase.to_ms)
    }

    /// One sentence: what was broken, and how it ended.
    pub fn sentence(&self) -> String {
        let missed = self.thresholds.iter().filter(|verdict| !verdict.met).count();
        let recovered = match self.recovery_ms {
            Some(ms) => format!("as before {} after healing", crate::judge::time(millis(ms))),
            None => "not as before when the drill ended".to_owned(),
        };
        match missed {
            0 => format!("Every threshold is met; {recovered}."),
            1 => format!("One threshold is missed; {recovered}."),
            more => format!("{more} thresholds are missed; {recovered}."),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a drill")]
fn millis(ms: u64) -> f64 {
    ms as f64
}

/// `4000` as `4,000`.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `00:15.6`, minutes, seconds and tenths; before the fault with a minus.
pub fn clock(at_ms: i64) -> String {
    let sign = if at_ms <= -100 { "-" } else { "" };
    let tenths = at_ms.unsigned_abs() / 100;
    format!("{sign}{:02}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

#[cfg(test)]
pub(crate) mod tests;
