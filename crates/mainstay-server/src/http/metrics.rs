//! `/metrics`: the status as Prometheus text or OpenMetrics.
//! It must not keep counts of its own, nor use keys as labels.

use std::fmt;

use axum::{
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use mainstay::{
    Error, ErrorKind, Storage,
    status::{BackendStatus, BreakerState, Health, L1Status, LatencySnapshot, LoadStatus, Status},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use super::{Api, problem::Problem, query::Query};

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

/// A registry that asks this storage at each scrape.
pub(crate) fn registry(storage: Storage) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(StatusCollector(storage)));
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

#[derive(Debug)]
struct StatusCollector(Storage);

impl Collector for StatusCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        write(&mut Families(encoder), &self.0.status())
    }
}

fn write(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    process(families, status)?;
    states(families, status)?;
    calls(families, status)?;
    connections(families, status)?;
    journal(families, status)?;
    requests(families, status)?;
    loads(families, status)?;
    near(families, status)
}

fn journal(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let Some(journal) = &status.journal else { return Ok(()) };
    let mut gauge = |name, help, value| families.gauge(name, help, [(NONE, value)]);
    gauge("mainstay_journal_entries", "Writes that wait for a record.", number(journal.depth))?;
    let age = journal.oldest_age.map_or(0.0, |age| age.as_secs_f64());
    gauge("mainstay_journal_oldest_age_seconds", "For how long the oldest of them waits.", age)?;
    gauge("mainstay_journal_size_bytes", "Bytes of the journal's files.", number(journal.bytes))?;
    let dead = number(journal.dead_letters);
    gauge("mainstay_journal_dead_letters", "Writes that will not be applied.", dead)?;
    gauge("mainstay_journal_full", "1 when it refused the last write.", flag(journal.full))?;
    let mut counter = |name, help, count| families.counter(name, help, [(NONE, count)]);
    counter("mainstay_journal_applied", "Writes that records took from it.", journal.applied)?;
    let help = "Writes that met somebody else's in the record.";
    counter("mainstay_journal_conflicts", help, journal.conflicts)
}

fn process(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    families.gauge("mainstay_build_info", "Version of this program.", [(version, 1.0)])?;
    let uptime = [(NONE, status.uptime.as_secs_f64())];
    families.gauge("mainstay_uptime_seconds", "Time since the storage was opened.", uptime)?;
    let health = HEALTHS.map(|state| ([("state", state.as_str())], flag(status.health == state)));
    families.gauge("mainstay_storage_health", "1 for the health of the whole storage.", health)
}

fn states(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let backends = &status.backends;
    let up = backends.iter().map(|b| (backend(b), flag(b.health != Health::Down)));
    families.gauge("mainstay_backend_up", "1 when the backend serves, be it degraded.", up)?;
    let health = backends.iter().flat_map(|b| {
        HEALTHS.map(|state| (with(b, "state", state.as_str()), flag(b.health == state)))
    });
    families.gauge("mainstay_health", "1 for the health of the backend.", health)?;
    let breaker = backends.iter().flat_map(|b| {
        BreakerState::ALL
            .map(|state| (with(b, "state", state.as_str()), flag(b.breaker.state == state)))
    });
    families.gauge(
        "mainstay_breaker_state",
        "1 for the state of the backend's breaker.",
        breaker,
    )?;
    let drained = backends.iter().map(|b| (backend(b), flag(b.drained)));
    families.gauge(
        "mainstay_backend_drained",
        "1 when an operator took it out of use.",
        drained,
    )?;
    let inflight = backends.iter().map(|b| (backend(b), number(b.inflight)));
    families.gauge("mainstay_inflight", "Calls to the backend in flight.", inflight)?;
    let max = backends.iter().map(|b| (backend(b), number(b.inflight_max)));
    families.gauge("mainstay_inflight_max", "Calls to the backend that may be in flight.", max)?;
    let queued = backends.iter().map(|b| (backend(b), number(b.queued)));
    families.gauge("mainstay_queued", "Calls that wait for the backend's bulkhead.", queued)
}

fn calls(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let backends = &status.backends;
    let outcomes = backends.iter().flat_map(|b| {
        [
            ("success", b.calls.success),
            ("failure", b.calls.failure),
            ("abandoned", b.calls.abandoned),
            ("refused", b.calls.refused),
            ("shed", b.calls.shed),
        ]
        .map(|(outcome, count)| (with(b, "outcome", outcome), count))
    });
    families.counter("mainstay_backend_calls", "Calls to the backend by outcome.", outcomes)?;
    let slow = backends.iter().map(|b| (backend(b), b.calls.slow));
    families.counter("mainstay_slow_calls", "Calls over the breaker's slow threshold.", slow)?;
    let shed = backends.iter().map(|b| (backend(b), b.calls.shed));
    families.counter("mainstay_shed", "Calls refused by the backend's bulkhead.", shed)?;
    families.histogram(
        "mainstay_backend_request_duration_seconds",
        "Time of a call to the backend.",
        backends.iter().map(|b| (backend(b), &b.latency)),
    )
}

fn connections(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let backends = &status.backends;
    let attempts = backends.iter().map(|b| (backend(b), b.reconnect.attempts_total));
    families.counter("mainstay_reconnect_attempts", "Attempts to connect.", attempts)?;
    let reconnects = backends.iter().map(|b| (backend(b), b.reconnect.reconnects_total));
    families.counter("mainstay_reconnects", "Reconnections that succeeded.", reconnects)?;
    let stuck = backends.iter().map(|b| (backend(b), b.reconnect.stuck_resets_total));
    families.counter("mainstay_stuck_resets", "Stuck reconnections that were begun anew.", stuck)
}

fn requests(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let requests = status.requests.iter().map(|r| {
        let labels =
            [("route", &*r.route), ("op", r.op), ("source", &*r.source), ("outcome", r.outcome)];
        (labels, r.count)
    });
    families.counter(
        "mainstay_requests",
        "Operations by route, class, backend and outcome.",
        requests,
    )?;
    let fallbacks = status
        .fallbacks
        .iter()
        .map(|f| ([("from", &*f.from), ("to", &*f.to), ("reason", f.reason)], f.count));
    families.counter(
        "mainstay_fallback",
        "Operations served by another backend than usual.",
        fallbacks,
    )?;
    families.counter(
        "mainstay_hedges",
        "Reads sent to a second backend.",
        [(NONE, status.hedges)],
    )?;
    let dirty = [(NONE, number(status.dirty_keys))];
    families.gauge("mainstay_dirty_keys", "Keys whose cache copies wait to be made absent.", dirty)
}

fn loads(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    if status.loads.is_empty() {
        return Ok(());
    }
    let each = |outcomes: fn(&LoadStatus) -> Vec<(&'static str, u64)>, name: &'static str| {
        let of = move |load: &LoadStatus| {
            let route = load.route.to_string();
            let labelled = move |(word, count)| {
                ([("route", route.clone()), (name, String::from(word))], count)
            };
            outcomes(load).into_iter().map(labelled).collect::<Vec<_>>()
        };
        status.loads.iter().flat_map(of).collect::<Vec<_>>()
    };
    let reads = |load: &LoadStatus| {
        vec![
            ("hit", load.hits),
            ("negative_hit", load.negative_hits),
            ("joined", load.joined),
            ("stale", load.stale),
            ("default", load.defaults),
        ]
    };
    let help = "Reads of loaded values by what they got.";
    families.counter("mainstay_load_reads", help, each(reads, "got"))?;
    let runs = |load: &LoadStatus| {
        vec![
            ("success", load.loads.saturating_sub(load.load_errors)),
            ("failure", load.load_errors),
        ]
    };
    let help = "Loaders and queries that were run, by outcome.";
    families.counter("mainstay_loads", help, each(runs, "outcome"))?;
    let shed = |load: &LoadStatus| {
        vec![
            ("cache_unavailable", load.shed_cache_unavailable),
            ("database_saturated", load.shed_database_saturated),
        ]
    };
    let help = "Reads of loaded values that were refused.";
    families.counter("mainstay_loads_shed", help, each(shed, "reason"))?;
    let others = |value: fn(&LoadStatus) -> u64| {
        let of = move |load: &LoadStatus| ([("route", load.route.to_string())], value(load));
        status.loads.iter().map(of).collect::<Vec<_>>()
    };
    let help = "Loads that were left to another process.";
    families.counter("mainstay_loads_shared", help, others(|load| load.shared))?;
    let help = "Loads begun before a value's time was over.";
    families.counter("mainstay_load_refreshes", help, others(|load| load.refreshes))?;
    let help = "Invalidations of loaded keys, prefixes and tags.";
    families.counter("mainstay_load_invalidations", help, others(|load| load.invalidations))
}

/// What this process keeps of its own; the cache is empty where there is none.
fn near(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let before = status.caches.iter().filter_map(|c| Some((&*c.cache, c.l1.as_ref()?)));
    let all: Vec<_> = before.chain(status.l1.iter().map(|l1| ("", l1))).collect();
    if all.is_empty() {
        return Ok(());
    }
    let each = |value: fn(&L1Status) -> f64| {
        let sample =
            move |(cache, l1): &(&str, &L1Status)| ([("cache", (*cache).to_owned())], value(l1));
        all.iter().map(sample).collect::<Vec<_>>()
    };
    families.gauge(
        "mainstay_l1_entries",
        "Values that this process keeps.",
        each(|l1| number(l1.entries)),
    )?;
    families.gauge(
        "mainstay_l1_bytes",
        "Bytes that this process keeps.",
        each(|l1| number(l1.bytes)),
    )?;
    families.gauge(
        "mainstay_l1_bytes_max",
        "Bytes that this process may keep.",
        each(|l1| number(l1.max)),
    )?;
    families.gauge(
        "mainstay_l1_following",
        "1 while the cache tells of changes; else nothing that is kept is served.",
        each(|l1| flag(l1.feed != "broken")),
    )?;
    let each = |value: fn(&L1Status) -> u64| {
        let sample =
            move |(cache, l1): &(&str, &L1Status)| ([("cache", (*cache).to_owned())], value(l1));
        all.iter().map(sample).collect::<Vec<_>>()
    };
    families.counter("mainstay_l1_hits", "Reads answered by what is kept.", each(|l1| l1.hits))?;
    families.counter(
        "mainstay_l1_misses",
        "Reads that found nothing kept.",
        each(|l1| l1.misses),
    )?;
    families.counter(
        "mainstay_l1_evictions",
        "Values that went for want of space.",
        each(|l1| l1.evictions),
    )
}

const NONE: [(&str, &str); 0] = [];
const HEALTHS: [Health; 3] = [Health::Up, Health::Degraded, Health::Down];

fn backend(backend: &BackendStatus) -> [(&str, &str); 1] {
    [("backend", &backend.name)]
}

fn with<'a>(backend: &'a BackendStatus, name: &'a str, value: &'a str) -> [(&'a str, &'a str); 2] {
    [("backend", &backend.name), (name, value)]
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls at once are far below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Writes families of samples.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn gauge<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// The name stands without `_total`, which the encoder adds.
    fn counter<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)?;
        }
        Ok(())
    }

    fn histogram<'l, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, &'l LatencySnapshot)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, latency) in samples {
            let buckets = increments(latency);
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                latency.sum_seconds,
                latency.count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

/// Cumulative counts as counts per bucket, the last one without bound.
fn increments(latency: &LatencySnapshot) -> Vec<(f64, u64)> {
    let bounded = latency.buckets.iter().filter(|(bound, _)| bound.is_finite());
    let mut below = 0;
    let mut buckets = Vec::with_capacity(latency.buckets.len() + 1);
    for (bound, count) in bounded {
        buckets.push((*bound, count.saturating_sub(below)));
        below = below.max(*count);
    }
    buckets.push((f64::INFINITY, latency.count.saturating_sub(below)));
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_counted_once() {
        let latency =
            LatencySnapshot { buckets: vec![(0.1, 2), (0.5, 5)], count: 6, sum_seconds: 1.5 };
        assert_eq!(increments(&latency), [(0.1, 2), (0.5, 3), (f64::INFINITY, 1)]);
        assert_eq!(increments(&LatencySnapshot::default()), [(f64::INFINITY, 0)]);
    }

    #[test]
    fn the_older_format_names_counters_with_total() {
        let openmetrics = "# HELP a_calls Calls of a_calls.\n# TYPE a_calls counter\na_calls_total 1\n\
                           # HELP b Gauge.\n# TYPE b gauge\n# UNIT b seconds\nb 2\n# EOF\n";
        let prometheus = "# HELP a_calls_total Calls of a_calls.\n# TYPE a_calls_total counter\na_calls_total 1\n\
                          # HELP b Gauge.\n# TYPE b gauge\nb 2\n";
        assert_eq!(to_prometheus(openmetrics), prometheus);
    }
}
