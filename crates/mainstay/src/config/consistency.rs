//! How copies in a cache are kept true: leases, marks, dirty keys.
//! It must not know which backends take part.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::error::Result;

/// What a record route promises while a process cannot reach its cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// A copy may be older than an acknowledged write for as long as a lease lasts, and only while some process cannot
    /// reach the cache.
    #[default]
    Bounded,
    /// Never: a process that cannot reach the cache waits with its writes until every lease that does not know them has
    /// ended.
    Strict,
}

/// How copies are kept true. The first process stores these in the record; the others use what stands there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ConsistencyConfig {
    /// How long a process may read copies without asking the record again; it asks three times as often. Default 2 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub lease: Duration,
    /// How long a write hides its key in the cache when nobody takes the mark back. Default 5 s, or the record's timeout
    /// and 3 s where that is longer.
    #[serde(with = "text::optional_duration", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<text::DurationText>"))]
    pub mark: Option<Duration>,
    /// Keys written around a cache that leases carry at most; with more, the whole cache is given up and begun anew.
    /// Default 100,000.
    pub dirty_max: usize,
    /// How often copies that were served are compared with the record; `0s`: never. Default 5 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub audit: Duration,
}

impl Default for ConsistencyConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(2),
            mark: None,
            dirty_max: 100_000,
            audit: Duration::from_secs(5),
        }
    }
}

impl ConsistencyConfig {
    /// The longest lease.
    pub(crate) const LEASE_MAX: Duration = Duration::from_secs(30);

    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.lease < Duration::from_millis(300) || self.lease > Self::LEASE_MAX {
            return Err(invalid(&format!("{path}.lease"), "is between 300ms and 30s"));
        }
        if self.mark.is_some_and(|mark| mark < Duration::from_secs(1)) {
            return Err(invalid(&format!("{path}.mark"), "is at least 1s"));
        }
        if self.dirty_max == 0 || self.dirty_max > 1_000_000 {
            return Err(invalid(&format!("{path}.dirty_max"), "is between 1 and 1000000"));
        }
        Ok(())
    }

    /// How long marks stand before a record that works this long on one statement.
    pub(crate) fn mark_for(&self, statement: Duration) -> Duration {
        self.mark.unwrap_or(Duration::from_secs(5).max(statement + Duration::from_secs(3)))
    }
}
