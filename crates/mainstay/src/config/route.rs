//! Key prefixes and what serves them.
//! It must not know more of a backend than its name.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Config, Consistency, SourceConfig, invalid, text};
use crate::error::Result;

/// How a failover route chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// The first that is up; degraded ones after those that are up.
    #[default]
    Failover,
    /// The first that is available, degraded or not.
    Priority,
    /// Reads in turn over those that are up; writes go to the first.
    RoundRobin,
}

/// What becomes of a write while the record of its route is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnRecordDown {
    /// It is refused.
    #[default]
    Refuse,
    /// A set, a delete or an expiry without a condition waits in the local journal until the record is back.
    Journal,
}

/// One route. Either a record route (`record`, with `cache` in front) or a failover route (`backends`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RouteConfig {
    /// Keys that begin with this. Empty: all that no other route takes.
    pub prefix: String,
    /// Copies, nearest first: `memory` for what this process keeps of its own, and one backend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<String>,
    /// The truth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The backends of a failover route, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<String>,
    /// A Redis to which every command on these keys is passed through as it is: lists, sets, streams and scripts too. Nothing
    /// stands in for it while it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passthrough: Option<String>,
    /// How a failover route chooses. Default `failover`.
    pub select: Select,
    /// The TTL of a key that is written without one. Default: none.
    #[serde(with = "text::optional_duration", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<text::DurationText>"))]
    pub ttl: Option<Duration>,
    /// The longest life of a copy or record on each backend, by name. Default for a cache: 1 h.
    #[serde(with = "text::durations", skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, text::DurationText>"))]
    pub ttl_max: BTreeMap<String, Duration>,
    /// Served, marked stale, when nothing else can be. Default: an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What a record route promises while some process cannot reach the cache. Default `bounded`.
    pub consistency: Consistency,
    /// How long after the last contact with the record its copies may still be served, marked stale, while it does not
    /// answer; `0s`: never. Default 1 h for a bounded route; a strict one never does.
    #[serde(with = "text::optional_duration", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<text::DurationText>"))]
    pub stale_if_error: Option<Duration>,
    /// How long after it was read this process may serve a value from its own memory. Default 1 s where there is no cache
    /// but `memory`; else no cap but `l1.ttl_max`, for the cache tells of changes.
    #[serde(with = "text::optional_duration", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<text::DurationText>"))]
    pub l1_ttl: Option<Duration>,
    /// What becomes of a write while the record is down; record routes only. Default `refuse`.
    pub on_record_down: OnRecordDown,
    /// Values are rows of the application's own tables, in place of a `record`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceConfig>,
}

impl RouteConfig {
    pub(super) fn validate(&self, path: &str, known: impl Fn(&str) -> bool) -> Result<()> {
        self.validate_source(path)?;
        self.validate_passthrough(path)?;
        match (self.truth(), self.backends.is_empty(), self.cache.is_empty()) {
            (Some(_), true, _) | (None, false, true) => {}
            (None, true, true) if self.passthrough.is_some() => {}
            (None, true, _) => {
                return Err(invalid(
                    path,
                    "names a `record`, a `source`, a `passthrough`, or the `backends` of a failover route",
                ));
            }
            _ => {
                return Err(invalid(
                    path,
                    "is a record route (`record`, `cache`) or a failover route (`backends`), not both",
                ));
            }
        }
        let names =
            self.cache.iter().chain(self.truth()).chain(&self.backends).chain(&self.passthrough);
        let names = names.chain(self.ttl_max.keys());
        if let Some(unknown) = names.into_iter().find(|name| !known(name)) {
            return Err(invalid(
                path,
                &format!("names `{unknown}`, which is not under [backends]"),
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self
            .cache
            .iter()
            .chain(self.truth())
            .chain(&self.backends)
            .find(|name| !seen.insert(*name))
        {
            return Err(invalid(path, &format!("names `{twice}` twice")));
        }
        if self.ttl.is_some_and(|ttl| ttl.is_zero()) || self.ttl_max.values().any(Duration::is_zero)
        {
            return Err(invalid(path, "a TTL is above 0"));
        }
        self.validate_memory(path)?;
        self.validate_strict(path)?;
        self.validate_journal(path)
    }

    /// The backend with the truth, where there is one.
    pub(crate) fn truth(&self) -> Option<&String> {
        self.record.as_ref().or(self.source.as_ref().map(|source| &source.backend))
    }

    fn validate_source(&self, path: &str) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        if self.record.is_some() {
            return Err(invalid(path, "has a `record` and a `source`: leave one of the two out"));
        }
        if source.default.is_some() && self.default.is_some() {
            return Err(invalid(path, "has a `default` twice: leave one of the two out"));
        }
        if self.consistency == Consistency::Strict {
            return Err(invalid(
                &format!("{path}.consistency"),
                "is for values that are written through Mainstay; a source's tables are written past it",
            ));
        }
        if self.on_record_down == OnRecordDown::Journal {
            return Err(invalid(
                &format!("{path}.on_record_down"),
                "is for writes; a source is read",
            ));
        }
        source.validate(&format!("{path}.source"))
    }

    fn validate_passthrough(&self, path: &str) -> Result<()> {
        if self.passthrough.is_none() {
            return Ok(());
        }
        let path = format!("{path}.passthrough");
        if self.truth().is_some() || !self.backends.is_empty() || !self.cache.is_empty() {
            let text =
                "is all that serves its keys: leave `record`, `source`, `cache` and `backends` out";
            return Err(invalid(&path, text));
        }
        if self.ttl.is_some() || !self.ttl_max.is_empty() || self.default.is_some() {
            let text = "passes commands on as they are: leave `ttl`, `ttl_max` and `default` out";
            return Err(invalid(&path, text));
        }
        Ok(())
    }

    fn validate_strict(&self, path: &str) -> Result<()> {
        let strict = self.consistency == Consistency::Strict;
        if strict && self.record.is_none() {
            return Err(invalid(
                path,
                "is a failover route, which cannot be `strict`; name a `record`",
            ));
        }
        if strict && self.stale_if_error.is_some_and(|time| !time.is_zero()) {
            return Err(invalid(
                path,
                "is `strict`: it never serves stale; leave `stale_if_error` out",
            ));
        }
        Ok(())
    }

    fn validate_journal(&self, path: &str) -> Result<()> {
        if self.on_record_down == OnRecordDown::Journal && self.record.is_none() {
            return Err(invalid(
                &format!("{path}.on_record_down"),
                "is for routes with a `record`; a failover route writes to the next backend",
            ));
        }
        if self.on_record_down == OnRecordDown::Journal && self.consistency == Consistency::Strict {
            return Err(invalid(
                &format!("{path}.on_record_down"),
                "is for `bounded` routes: others do not see what waits in a journal, nor wait for it; leave one of the two out",
            ));
        }
        Ok(())
    }

    /// What this process keeps of its own is told of changes a little later than they happen.
    fn validate_memory(&self, path: &str) -> Result<()> {
        let kept = self.truth().is_some() && self.cache.iter().any(|name| name == Config::MEMORY);
        if kept && self.consistency == Consistency::Strict {
            return Err(invalid(
                &format!("{path}.cache"),
                "names `memory`, but the route is `strict`: this process's memory may be older than another's write; leave it out",
            ));
        }
        if self.l1_ttl.is_some() && !kept {
            return Err(invalid(
                &format!("{path}.l1_ttl"),
                "is for record routes with `memory` under `cache`",
            ));
        }
        if self.l1_ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(invalid(&format!("{path}.l1_ttl"), "is above 0"));
        }
        Ok(())
    }
}
