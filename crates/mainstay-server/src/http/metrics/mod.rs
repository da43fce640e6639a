//! `/metrics`: the status as Prometheus text or OpenMetrics.
//! It must not keep counts of its own, nor use anything as a label that callers choose.

mod backends;
mod caches;
mod doors;
mod families;
mod guard;
mod locks;
mod process;
mod requests;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use axum::{
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use mainstay::{Error, ErrorKind, Storage};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};

use self::families::Families;
use super::{Api, HttpConfig, Sections, problem::Problem, query::Query};
use crate::{Guard, limits::Door, resp::Roster};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics
///
/// OpenMetrics when `Accept` names it, else the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "state",
    responses((status = 200, description = "Every metric", content(
        (String = "text/plain"), (String = "application/openmetrics-text")))))]
pub(crate) async fn read(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let mut exposition = String::new();
    text::encode(&mut exposition, api.registry())
        .map_err(|error| Error::new(ErrorKind::Internal, format!("metrics: {error}")))?;
    let accepted =
        headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    if accepted.contains("application/openmetrics-text") {
        return Ok(([(header::CONTENT_TYPE, OPENMETRICS)], exposition).into_response());
    }
    Ok(([(header::CONTENT_TYPE, PROMETHEUS)], to_prometheus(&exposition)).into_response())
}

/// What a scrape of this storage gives, as Prometheus text.
pub(crate) fn scrape(storage: Storage) -> Result<String, Error> {
    let mut exposition = String::new();
    let api = Api::new(HttpConfig::default(), storage, Sections::new())?;
    text::encode(&mut exposition, api.registry())
        .map_err(|error| Error::new(ErrorKind::Internal, format!("metrics: {error}")))?;
    Ok(to_prometheus(&exposition))
}

/// A registry that asks them at each scrape.
pub(crate) fn registry(scraped: Scraped) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scraped));
    registry
}

/// OpenMetrics names a counter's family without `_total` and ends with a mark; the older format does neither.
fn to_prometheus(openmetrics: &str) -> String {
    let mut counters = std::collections::BTreeSet::new();
    for line in openmetrics.lines() {
        if let Some(name) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter"))
        {
            counters.insert(name);
        }
    }
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT "))
    {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                text.extend(["# ", what, " ", name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// What a scrape asks.
#[derive(Debug)]
pub(crate) struct Scraped {
    pub(crate) storage: Storage,
    pub(crate) guard: Guard,
    pub(crate) http: Door,
    /// The other door, once it is known.
    pub(crate) clients: Arc<OnceLock<Roster>>,
}

impl Collector for Scraped {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (families, status) = (&mut Families::new(encoder), &self.storage.status());
        process::write(families, status)?;
        backends::write(families, status)?;
        requests::write(families, status)?;
        caches::write(families, status)?;
        locks::write(families, status)?;
        let resp = self.clients.get().map(Roster::door);
        let doors: Vec<&Door> = resp.into_iter().chain([&self.http]).collect();
        doors::write(families, &doors, &self.storage.refused())?;
        guard::write(families, &self.guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_with_total() {
        let openmetrics = "# HELP a_calls Calls of a_calls.\n# TYPE a_calls counter\na_calls_total 1\n\
                           # HELP b Gauge.\n# TYPE b gauge\n# UNIT b seconds\nb 2\n# EOF\n";
        let prometheus = "# HELP a_calls_total Calls of a_calls.\n# TYPE a_calls_total counter\na_calls_total 1\n\
                          # HELP b Gauge.\n# TYPE b gauge\nb 2\n";
        assert_eq!(to_prometheus(openmetrics), prometheus);
    }
}
