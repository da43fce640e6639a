//! Where the values of a source route come from, as resolved from the configuration.
//! It must not run the query.

use std::sync::Arc;

use super::misrouted;
use crate::{
    config::{ChangesConfig, SourceConfig, Template},
    entry::Key,
    error::Result,
    live::LiveDuration,
    op::{Query, Statement},
};

/// The source of a route.
#[derive(Debug)]
pub(crate) struct Source {
    /// Bytes of the key before what the arguments are made of.
    prefix_len: usize,
    statement: Arc<Statement>,
    params: Vec<Template>,
    tags: Vec<Template>,
    /// How long it is remembered that there are no rows.
    pub(crate) empty_ttl: LiveDuration,
    /// Queries at once.
    pub(crate) inflight_max: Option<usize>,
    /// How changes of the tables are learnt.
    pub(crate) changes: Option<ChangesConfig>,
}

impl Source {
    /// Resolves the source of the route with this prefix.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(super) fn resolve(path: &str, prefix: &str, config: &SourceConfig) -> Result<Self> {
        let parse = |texts: &[String]| {
            let parsed = texts.iter().map(|text| Template::parse(text));
            parsed
                .collect::<std::result::Result<Vec<_>, _>>()
                .map_err(|text| misrouted(path, &text))
        };
        let statement = Statement { sql: config.query.clone(), rows: config.rows };
        Ok(Self {
            prefix_len: prefix.len(),
            statement: Arc::new(statement),
            params: parse(&config.params)?,
            tags: parse(&config.tags)?,
            empty_ttl: LiveDuration::new(config.empty_ttl),
            inflight_max: config.inflight_max,
            changes: config.changes.clone(),
        })
    }

    /// Takes over what may change while it is served.
    pub(super) fn reconfigure(&self, other: &Self) {
        self.empty_ttl.set(other.empty_ttl.get());
    }

    /// What is asked for this key.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that the source has no arguments from.
    pub(crate) fn query(&self, key: &Key) -> Result<Query> {
        let arguments = self.fill(&self.params, key)?;
        Ok(Query { statement: Arc::clone(&self.statement), arguments })
    }

    /// The groups that this key's value belongs to.
    ///
    /// # Errors
    /// As `query`.
    pub(crate) fn tags(&self, key: &Key) -> Result<Vec<String>> {
        self.fill(&self.tags, key)
    }

    /// What its rows become.
    pub(crate) fn rows(&self) -> crate::op::Rows {
        self.statement.rows
    }

    fn fill(&self, templates: &[Template], key: &Key) -> Result<Vec<String>> {
        let rest = key.as_bytes().get(self.prefix_len..).unwrap_or_default();
        templates.iter().map(|template| template.fill(rest)).collect()
    }
}
