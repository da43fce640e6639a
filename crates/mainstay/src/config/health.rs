//! Probes and reconnection of one backend.
//! It must not know the breaker.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::error::Result;

/// Active probes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// Time between probes while the backend is up, ±10 %. Default 5 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub interval: Duration,
    /// Time for one probe. Default 1 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub timeout: Duration,
    /// Down after this many failed probes in a row. Default 2.
    pub down_after: u32,
    /// Up after this many good probes in a row. Default 3.
    pub up_after: u32,
    /// Every so many probes one writes and reads back. Default 6; 0: never.
    pub write_every: u32,
    /// Time between probes while the verdict is open (failing, or coming back). Default 200 ms.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub confirm_interval: Duration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            down_after: 2,
            up_after: 3,
            write_every: 6,
            confirm_interval: Duration::from_millis(200),
        }
    }
}

impl HealthConfig {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        for (name, value) in
            [("interval", self.interval), ("confirm_interval", self.confirm_interval)]
        {
            if value < Duration::from_millis(10) {
                return Err(invalid(&format!("{path}.{name}"), "is at least 10ms"));
            }
        }
        if self.timeout.is_zero() {
            return Err(invalid(&format!("{path}.timeout"), "is above 0"));
        }
        for (name, value) in [("down_after", self.down_after), ("up_after", self.up_after)] {
            if value == 0 {
                return Err(invalid(&format!("{path}.{name}"), "is at least 1"));
            }
        }
        Ok(())
    }
}

/// Reconnection: for ever, each attempt visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ReconnectConfig {
    /// The first wait; half of it fixed, half random. Default 100 ms.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub base: Duration,
    /// The wait doubles up to this. Default 3 s: a backend that returns is found within this time.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub max: Duration,
    /// After this many attempts without progress the client is torn down and built anew. Default 50.
    pub stuck_after: u32,
    /// Or after this long. Default 60 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub stuck_time: Duration,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            max: Duration::from_secs(3),
            stuck_after: 50,
            stuck_time: Duration::from_secs(60),
        }
    }
}

impl ReconnectConfig {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.base < Duration::from_millis(10) {
            return Err(invalid(&format!("{path}.base"), "is at least 10ms"));
        }
        if self.max < self.base {
            return Err(invalid(&format!("{path}.max"), "is at least `base`"));
        }
        if self.stuck_after == 0 {
            return Err(invalid(&format!("{path}.stuck_after"), "is at least 1"));
        }
        if self.stuck_time.is_zero() {
            return Err(invalid(&format!("{path}.stuck_time"), "is above 0"));
        }
        Ok(())
    }
}
