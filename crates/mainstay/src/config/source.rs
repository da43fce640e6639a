//! Routes whose values are rows of the application's own tables.
//! It must not run a query, nor know more of a backend than its name.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Template, invalid, text};
use crate::{error::Result, op::Rows};

/// Where the values of a route come from: a query, asked when no copy may be served. Such a route is read only; the
/// application changes its tables, and what was loaded is invalidated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The backend with the tables: PostgreSQL, MySQL, MariaDB or SQLite.
    pub backend: String,
    /// One `SELECT` with the placeholders of that engine: `$1` for PostgreSQL, `?` for MySQL and MariaDB, `?1` for SQLite.
    pub query: String,
    /// What is bound to the placeholders, in order: `{1}` is the first part of the key after the prefix, split at `:`;
    /// `{key}` is all that stands after the prefix. Default `["{key}"]`.
    #[serde(default = "all_of_the_key")]
    pub params: Vec<String>,
    /// Whether the value is the array of all rows or the first row as an object. Default `many`.
    #[serde(default)]
    pub rows: Rows,
    /// How long it is remembered that there are no rows. Default 60 s.
    #[serde(default = "a_minute", with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub empty_ttl: Duration,
    /// Served, marked stale, when nothing else can be. Default: an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Queries of this source at once; more wait for `queue_wait` of the backend. Default: as many as the backend takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inflight_max: Option<usize>,
    /// Groups that the value belongs to, for invalidation by tag; made of parts of the key as `params` are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How it is learnt that the application has changed its tables. Default: by `invalidate` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesConfig>,
}

/// How it is learnt which rows the application has changed: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ChangesConfig {
    /// A channel of PostgreSQL's NOTIFY; each payload is what stands after the prefix of a key to invalidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// A query that is repeated: it gives rows with `key` (what stands after the prefix) and `mark` (a number or a time that
    /// only grows), of all rows whose mark is at least its one argument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The argument of the first time. Default `0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Between two questions. Default 1 s.
    #[serde(with = "text::optional_duration", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<text::DurationText>"))]
    pub every: Option<Duration>,
}

fn all_of_the_key() -> Vec<String> {
    vec!["{key}".to_owned()]
}

fn a_minute() -> Duration {
    Duration::from_secs(60)
}

impl SourceConfig {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        let first = self.query.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if !["select", "with", "values", "table"].contains(&first.as_str()) {
            return Err(invalid(
                &format!("{path}.query"),
                "is one SELECT (or WITH, VALUES, TABLE): a source reads",
            ));
        }
        for (name, templates) in [("params", &self.params), ("tags", &self.tags)] {
            for template in templates {
                Template::parse(template)
                    .map_err(|text| invalid(&format!("{path}.{name}"), &text))?;
            }
        }
        if self.empty_ttl.is_zero() {
            return Err(invalid(&format!("{path}.empty_ttl"), "is above 0"));
        }
        if self.inflight_max == Some(0) {
            return Err(invalid(&format!("{path}.inflight_max"), "is at least 1"));
        }
        match &self.changes {
            Some(changes) => changes.validate(&format!("{path}.changes")),
            None => Ok(()),
        }
    }
}

impl ChangesConfig {
    fn validate(&self, path: &str) -> Result<()> {
        match (&self.listen, &self.query) {
            (Some(_), None) if self.from.is_some() || self.every.is_some() => {
                Err(invalid(path, "has `from` or `every`, which are for a `query`"))
            }
            (Some(channel), None) if channel.is_empty() || channel.len() > 63 => {
                Err(invalid(&format!("{path}.listen"), "is the name of a channel, 1 to 63 bytes"))
            }
            (Some(_), None) => Ok(()),
            (None, Some(_))
                if self.every.is_some_and(|every| every < Duration::from_millis(100)) =>
            {
                Err(invalid(&format!("{path}.every"), "is at least 100ms"))
            }
            (None, Some(_)) => Ok(()),
            _ => Err(invalid(path, "has either `listen` or `query`")),
        }
    }
}
