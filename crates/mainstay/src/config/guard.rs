//! Breaker, retries and hedges of one backend.
//! It must not know health probes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::error::Result;

/// When the breaker opens and how it closes again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// Opens after this many failures in a row. Default 5.
    pub failures: u32,
    /// The window of the rates. Default 10 s, kept in 40 buckets.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub window: Duration,
    /// Opens at this share of failures in the window. Default 0.5.
    pub failure_rate: f64,
    /// But not before this many calls in the window. Default 10.
    pub calls_min: u32,
    /// Opens at this share of slow calls, those in flight counted. Default 0.8.
    pub slow_rate: f64,
    /// A call is slow over the larger of this and 1.3 times the 95th percentile. Default: Redis 200 ms, SQL 1 s, since
    /// a record has nobody to take its place: a busy database is better waited for than refused.
    #[serde(with = "text::optional_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<text::DurationText>"))]
    pub slow_min: Option<Duration>,
    /// The first open time. Default 5 s; it doubles with each trip.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub open: Duration,
    /// The longest open time. Default 60 s; each is spread by ±20 %.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub open_max: Duration,
    /// Calls at once while half-open, and the successes that close it. Default 3.
    pub probes: u32,
    /// Half-open at most this long without a verdict, then open again. Default 30 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub half_open_max: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(10),
            failure_rate: 0.5,
            calls_min: 10,
            slow_rate: 0.8,
            slow_min: None,
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            probes: 3,
            half_open_max: Duration::from_secs(30),
        }
    }
}

impl BreakerConfig {
    /// What `slow_min` is where neither the configuration nor the engine says otherwise.
    pub const SLOW_MIN: Duration = Duration::from_millis(200);

    pub(super) fn validate(&self, path: &str) -> Result<()> {
        for (name, value) in
            [("failures", self.failures), ("probes", self.probes), ("calls_min", self.calls_min)]
        {
            if value == 0 {
                return Err(invalid(&format!("{path}.{name}"), "is at least 1"));
            }
        }
        for (name, rate) in [("failure_rate", self.failure_rate), ("slow_rate", self.slow_rate)] {
            if !(rate > 0.0 && rate <= 1.0) {
                return Err(invalid(&format!("{path}.{name}"), "is above 0 and at most 1"));
            }
        }
        for (name, value) in
            [("window", self.window), ("open", self.open), ("half_open_max", self.half_open_max)]
        {
            if value < Duration::from_millis(40) {
                return Err(invalid(&format!("{path}.{name}"), "is at least 40ms"));
            }
        }
        if self.open_max < self.open {
            return Err(invalid(&format!("{path}.open_max"), "is at least `open`"));
        }
        Ok(())
    }
}

/// Retries of one operation on the same backend: reads and last-writer-wins writes, and whatever was certainly not
/// applied and may pass the next time (a conflict).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Retries at most. Default 2.
    pub max: u32,
    /// The first wait is random below this. Default 10 ms.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub base: Duration,
    /// The wait doubles up to this. Default 1 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub wait_max: Duration,
    /// Retries and hedges as a share of requests. Default 0.2.
    pub budget: f64,
    /// Retries and hedges a second that are always allowed. Default 10.
    pub budget_min: u32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max: 2,
            base: Duration::from_millis(10),
            wait_max: Duration::from_secs(1),
            budget: 0.2,
            budget_min: 10,
        }
    }
}

impl RetryConfig {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.max > 10 {
            return Err(invalid(&format!("{path}.max"), "is at most 10"));
        }
        if !(0.0..=1.0).contains(&self.budget) {
            return Err(invalid(&format!("{path}.budget"), "is between 0 and 1"));
        }
        if self.wait_max < self.base {
            return Err(invalid(&format!("{path}.wait_max"), "is at least `base`"));
        }
        Ok(())
    }
}

/// Sending a read to the next backend as well when this one is late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct HedgeConfig {
    /// Whether. Default true.
    pub enabled: bool,
    /// Never earlier than this, nor than the 99th percentile of late. Default 5 ms.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub after_min: Duration,
    /// A read that has waited this long goes to the next backend whatever the budget says. Default 150 ms.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub patience: Duration,
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            after_min: Duration::from_millis(5),
            patience: Duration::from_millis(150),
        }
    }
}

impl HedgeConfig {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.patience < self.after_min {
            return Err(invalid(&format!("{path}.patience"), "is at least `after_min`"));
        }
        Ok(())
    }
}
