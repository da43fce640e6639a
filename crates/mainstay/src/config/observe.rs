//! What is kept and judged for people: the connection history, the key figures, flapping.
//! It must not know who shows it.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::error::Result;

/// What is kept and judged for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ObserveConfig {
    /// The folder of the connection history, `history.jsonl`, for one process alone. Default: `journal.dir` where a route
    /// has the journal, `./mainstay-data` where no backend is configured, else none: the history is kept in memory alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Over how long the key figures are counted. Default 60 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub window: Duration,
    /// A backend that goes out of service more often than this within `flapping_window` flaps; no longer when at most half
    /// of that are left. Default 5: a failover or a restart costs one or two. Two thresholds, as Nagios has them.
    pub flapping: u32,
    /// Within how long. Default 5 min.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub flapping_window: Duration,
}

impl Default for ObserveConfig {
    fn default() -> Self {
        Self {
            dir: None,
            window: Duration::from_secs(60),
            flapping: 5,
            flapping_window: Duration::from_secs(300),
        }
    }
}

impl ObserveConfig {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.dir.as_ref().is_some_and(|dir| dir.as_os_str().is_empty()) {
            return Err(invalid(&format!("{path}.dir"), "names a folder"));
        }
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        if !(second..=hour).contains(&self.window) {
            return Err(invalid(&format!("{path}.window"), "is between 1s and 1h"));
        }
        if !(1..=100).contains(&self.flapping) {
            return Err(invalid(&format!("{path}.flapping"), "is between 1 and 100"));
        }
        if !(second..=24 * hour).contains(&self.flapping_window) {
            return Err(invalid(&format!("{path}.flapping_window"), "is between 1s and 24h"));
        }
        Ok(())
    }
}
