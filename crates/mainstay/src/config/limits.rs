//! Sizes and deadlines of one operation.
//! It must not know the front doors' limits on connections and frames.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::{entry::Key, error::Result};

/// Sizes and deadlines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The longest key in bytes. Default and ceiling 2048.
    pub key_max: usize,
    /// The longest value in bytes. Default 16 MiB.
    #[serde(with = "text::size")]
    #[cfg_attr(feature = "schema", schemars(with = "text::SizeText"))]
    pub value_max: u64,
    /// Keys of one many-key operation at most. Default 10,000.
    pub keys_max: usize,
    /// An operation without a deadline of its own gets this one. Default 5 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub deadline: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            key_max: Key::LEN_MAX,
            value_max: 16 << 20,
            keys_max: 10_000,
            deadline: Duration::from_secs(5),
        }
    }
}

impl LimitsConfig {
    /// `value_max` as a length in memory.
    pub fn value_max(&self) -> usize {
        usize::try_from(self.value_max).unwrap_or(usize::MAX)
    }

    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.key_max == 0 || self.key_max > Key::LEN_MAX {
            return Err(invalid(&format!("{path}.key_max"), "is between 1 and 2048"));
        }
        if self.value_max == 0 || self.value_max > 512 << 20 {
            return Err(invalid(&format!("{path}.value_max"), "is between 1B and 512MiB"));
        }
        if self.keys_max == 0 {
            return Err(invalid(&format!("{path}.keys_max"), "is above 0"));
        }
        if self.deadline.is_zero() {
            return Err(invalid(&format!("{path}.deadline"), "is above 0"));
        }
        Ok(())
    }
}
