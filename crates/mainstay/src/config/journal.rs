//! The local log that takes writes while the record of a route is down.
//! It must not know which routes use it.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::error::Result;

/// The journal: one folder of this process, used by the routes with `on_record_down = "journal"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// The folder, on a local disk, for one process alone. Default `./mainstay-data/journal`.
    pub dir: PathBuf,
    /// Bytes on the disk at most; once full, writes are refused, none is dropped. Default 256 MiB.
    #[serde(with = "text::size")]
    #[cfg_attr(feature = "schema", schemars(with = "text::SizeText"))]
    pub bytes_max: u64,
    /// While the oldest write that waits for the record is older than this, new ones are refused; none is dropped.
    /// Default 24 h.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub age_max: Duration,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("./mainstay-data/journal"),
            bytes_max: 256 << 20,
            age_max: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl JournalConfig {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.dir.as_os_str().is_empty() {
            return Err(invalid(&format!("{path}.dir"), "names a folder"));
        }
        if self.bytes_max < 1 << 20 {
            return Err(invalid(&format!("{path}.bytes_max"), "is at least 1MiB"));
        }
        if self.age_max.is_zero() {
            return Err(invalid(&format!("{path}.age_max"), "is above 0"));
        }
        Ok(())
    }
}
