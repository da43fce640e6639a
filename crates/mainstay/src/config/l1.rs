//! The memory of this process before caches and records.
//! It must not know which routes use it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::error::Result;

/// What this process keeps of its own for routes that name `memory` under `cache`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct L1Config {
    /// Bytes of keys, values and their overhead at most, shared equally by the caches that have memory before them,
    /// the records that have no other, and what is loaded on routes that share no cache. A
    /// value of more than a sixty-fourth of it is not kept. Default 64 MiB.
    #[serde(with = "text::size")]
    #[cfg_attr(feature = "schema", schemars(with = "text::SizeText"))]
    pub max: u64,
    /// Nothing is kept longer. Default 60 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub ttl_max: Duration,
}

impl Default for L1Config {
    fn default() -> Self {
        Self { max: 64 << 20, ttl_max: Duration::from_secs(60) }
    }
}

impl L1Config {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.max < 1 << 20 {
            return Err(invalid(&format!("{path}.max"), "is at least 1MiB"));
        }
        if self.ttl_max.is_zero() {
            return Err(invalid(&format!("{path}.ttl_max"), "is above 0"));
        }
        Ok(())
    }
}
