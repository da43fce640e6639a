//! How many loads go on at once: of loaders, and without a cache.
//! It must not know what is loaded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::error::Result;

/// The loads of `get_or_load`. What a route's `source` asks of a backend goes by that backend's own limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LoadConfig {
    /// Loaders of one route that run at once. Default 64.
    pub inflight_max: usize,
    /// Loads of one route that may wait for one of these places. Default 1024.
    pub queue_max: usize,
    /// The longest wait for one; then the load is shed. Default 100 ms.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub queue_wait: Duration,
    /// Loads a second of this process while a cache is away, for each cache, whatever they ask; more are shed with the
    /// reason `cache_unavailable`. Default: no cap but the limits of the backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_max: Option<u32>,
}

impl Default for LoadConfig {
    fn default() -> Self {
        let queue_wait = Duration::from_millis(100);
        Self { inflight_max: 64, queue_max: 1024, queue_wait, fallback_max: None }
    }
}

impl LoadConfig {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.inflight_max == 0 {
            return Err(invalid(&format!("{path}.inflight_max"), "is above 0"));
        }
        if self.queue_wait > Duration::from_secs(60) {
            return Err(invalid(&format!("{path}.queue_wait"), "is at most 60s"));
        }
        if self.fallback_max == Some(0) {
            return Err(invalid(
                &format!("{path}.fallback_max"),
                "is above 0; leave it out for no cap",
            ));
        }
        Ok(())
    }
}
