//! Key figures with their targets, what outages cost, where the history is kept.
//! It must not know how they are counted.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{as_millis, as_optional_millis};

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Above this.
    Above(f64),
    /// Below this.
    Below(f64),
}

impl Target {
    /// Whether a value meets it.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Target::Above(bound) => value > bound,
            Target::Below(bound) => value < bound,
        }
    }
}

/// One key figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kpi {
    /// A share from 0 to 1, or seconds, as `unit` says; none while there is nothing to judge by.
    pub value: Option<f64>,
    /// `ratio` or `seconds`.
    pub unit: &'static str,
    /// What it should be.
    pub target: Target,
    /// Whether it is; none without a value.
    pub met: Option<bool>,
    /// What the value stands for, in words; or why there is none.
    pub note: String,
}

impl Kpi {
    pub(crate) fn new(
        value: Option<f64>,
        unit: &'static str,
        target: Target,
        note: impl Into<String>,
    ) -> Self {
        let met = value.map(|value| target.is_met(value));
        Self { value, unit, target, met, note: note.into() }
    }
}

/// Key figures of the last `window`. The targets are those of the Redis resilience guide that Mainstay follows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kpis {
    /// Over how long they are counted.
    #[serde(serialize_with = "as_millis", rename = "window_ms")]
    pub window: Duration,
    /// How much of it there has been yet.
    #[serde(serialize_with = "as_millis", rename = "covered_ms")]
    pub covered: Duration,
    /// Connection attempts that succeeded; without an attempt, connections that stand. Target: > 99 %.
    pub connection_success: Kpi,
    /// Operations that another backend than usual served. Target: < 5 %.
    pub fallback_rate: Kpi,
    /// Of the last outage that ended: from the first sign of life to full service. Target: < 30 s.
    pub recovery_time: Kpi,
    /// Reads that a cache answered, of all on routes that have one. Target: > 80 %.
    pub hit_rate: Kpi,
    /// Operations that failed, but for the caller's own mistakes. Target: < 1 %.
    pub error_rate: Kpi,
}

/// Nothing known yet.
impl Default for Kpis {
    fn default() -> Self {
        let none = |unit, target| Kpi::new(None, unit, target, "");
        Self {
            window: Duration::ZERO,
            covered: Duration::ZERO,
            connection_success: none("ratio", Target::Above(0.99)),
            fallback_rate: none("ratio", Target::Below(0.05)),
            recovery_time: none("seconds", Target::Below(30.0)),
            hit_rate: none("ratio", Target::Above(0.8)),
            error_rate: none("ratio", Target::Below(0.01)),
        }
    }
}

impl Kpis {
    /// Each with its name.
    pub fn all(&self) -> [(&'static str, &Kpi); 5] {
        [
            ("connection_success", &self.connection_success),
            ("fallback_rate", &self.fallback_rate),
            ("recovery_time", &self.recovery_time),
            ("hit_rate", &self.hit_rate),
            ("error_rate", &self.error_rate),
        ]
    }
}

/// An outage that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Of which backend.
    pub backend: Arc<str>,
    /// When it served again, Unix milliseconds.
    pub unix_ms: i64,
    /// How long it did not serve.
    #[serde(serialize_with = "as_millis", rename = "outage_ms")]
    pub outage: Duration,
    /// The part of it from the first sign of life (a connection, a trial call) on.
    #[serde(serialize_with = "as_millis", rename = "recovery_ms")]
    pub recovery: Duration,
}

/// What outages cost, since start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Resilience {
    /// Attempts to connect, of all backends.
    pub connection_attempts: u64,
    /// Reconnections that succeeded, first connections not counted.
    pub successful_reconnections: u64,
    /// Reconnections that made no progress and were begun anew.
    pub stuck_retry_resets: u64,
    /// Outages that ended.
    pub recoveries: u64,
    /// From the first sign of life to full service, on average.
    #[serde(serialize_with = "as_optional_millis", rename = "average_recovery_ms")]
    pub average_recovery: Option<Duration>,
    /// The last outage that ended.
    pub last_recovery: Option<Recovered>,
    /// Reads that a cache answered, of all on routes that have one.
    pub cache_hit_rate: Option<f64>,
    /// Operations that another backend than usual served, of all.
    pub database_fallback_rate: Option<f64>,
}

/// Where the connection history is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HistoryStatus {
    /// The file; none: in memory alone.
    pub file: Option<String>,
    /// Why in memory alone; empty where there is a file.
    pub reason: String,
    /// Entries there are.
    pub entries: u64,
    /// Lines of the file that could not be read at the start and were left out.
    pub damaged_lines: u64,
    /// Entries that did not get into the file because it was too slow.
    pub dropped: u64,
}
