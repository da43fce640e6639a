//! The state of the storage: as JSON for programs, as text for people.
//! It must not compute anything that `Storage::status` does not say.

use std::fmt::Write;

use axum::{
    Json,
    extract::State,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use mainstay::{
    config::text::format_duration,
    status::{BackendStatus, JournalStatus, Kpi, Status, Target},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, problem::Problem, query::Query};
use crate::tls::{Tls, TlsStatus};

/// The state of everything.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusDocument {
    /// The version of this program.
    version: &'static str,
    /// Whether it is about to stop.
    draining: bool,
    /// The certificates of the doors; absent: they speak plain TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsStatus>,
    /// health, sentence, warnings, uptime_ms, backends, routes, requests, fallbacks, kpis, resilience, history and so on.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    status: Status,
}

/// The backends.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackendList {
    /// In the order of the configuration, memory last.
    #[schema(value_type = Vec<Object>)]
    backends: Vec<BackendStatus>,
}

impl StatusDocument {
    pub(crate) fn now(api: &Api) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            draining: api.is_draining(),
            tls: api.guard().tls.as_ref().map(Tls::status),
            status: api.storage().status(),
        }
    }
}

/// The state of everything
#[utoipa::path(get, path = "/v1/status", tag = "state",
    responses((status = 200, description = "Health, backends, routes, counters", body = StatusDocument)))]
pub(crate) async fn json(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Json<StatusDocument>, Problem> {
    Query::parse(&uri, &[])?;
    Ok(Json(StatusDocument::now(&api)))
}

/// The backends
#[utoipa::path(get, path = "/v1/backends", tag = "state",
    responses((status = 200, description = "Health, breaker, connection, latency and calls of each", body = BackendList)))]
pub(crate) async fn backends(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Json<BackendList>, Problem> {
    Query::parse(&uri, &[])?;
    Ok(Json(BackendList { backends: api.storage().status().backends }))
}

/// The state, for people
#[utoipa::path(get, path = "/status.txt", tag = "state",
    responses((status = 200, description = "A page of text", body = String, content_type = "text/plain")))]
pub(crate) async fn text(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let written = describe(&StatusDocument::now(&api));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], written).into_response())
}

/// `HEALTHY`, `DEGRADED`, `DOWN`, or `DRAINING`.
pub(crate) fn headline(document: &StatusDocument) -> &'static str {
    use mainstay::status::Health;
    match document.status.health {
        _ if document.draining => "DRAINING",
        Health::Up => "HEALTHY",
        Health::Degraded => "DEGRADED",
        Health::Down => "DOWN",
    }
}

/// What a breaker does now, in a few words.
pub(crate) fn breaker_words(backend: &BackendStatus) -> String {
    let breaker = &backend.breaker;
    let mut words = breaker.state.as_str().replace('_', "-");
    if breaker.forced {
        let left =
            breaker.forced_for.map_or(String::new(), |left| format!(" for {}", rounded(left)));
        words.push_str(&format!(" (forced{left})"));
    } else if let Some(retry_in) = breaker.retry_in {
        words.push_str(", next probe in ");
        words.push_str(&rounded(retry_in));
    }
    words
}

/// The last error and its age, or a dash.
pub(crate) fn error_words(backend: &BackendStatus) -> String {
    backend.last_error.as_ref().map_or_else(
        || "-".to_owned(),
        |last| format!("{} ({} ago)", last.message, rounded(last.age)),
    )
}

impl StatusDocument {
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }
}

fn journal_line(journal: &JournalStatus) -> String {
    let oldest =
        journal.oldest_age.map_or(String::new(), |age| format!(", oldest {}", rounded(age)));
    let full = if journal.full { "; FULL: it refuses" } else { "" };
    format!(
        "journal: {} writes wait{oldest}, {} dead letters{full}\n",
        journal.depth, journal.dead_letters
    )
}

/// A figure in words: its name, its value, its target, whether it is met, what it stands for.
pub(crate) fn kpi_words(name: &str, kpi: &Kpi) -> [String; 5] {
    let written = |value: f64| match kpi.unit {
        "ratio" => format!("{} %", (value * 1000.0).round() / 10.0),
        _ => format!("{} s", (value * 10.0).round() / 10.0),
    };
    let value = kpi.value.map_or_else(|| "-".to_owned(), written);
    let target = match kpi.target {
        Target::Above(bound) => format!("> {}", written(bound)),
        Target::Below(bound) => format!("< {}", written(bound)),
    };
    let verdict = match kpi.met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "-",
    };
    [name.replace('_', " "), value, target, verdict.to_owned(), kpi.note.clone()]
}

/// `fallback rate          0.2 %   target < 5 %   met     3 of 1500 requests`.
fn kpi_line(name: &str, kpi: &Kpi) -> String {
    let [name, value, target, verdict, note] = kpi_words(name, kpi);
    format!("{name:19} {value:>8}   target {target:7} {verdict:7} {note}\n")
}

fn describe(document: &StatusDocument) -> String {
    let status = &document.status;
    let mut page = format!(
        "mainstay {}  {}  up {}\n{}\n\n",
        document.version,
        headline(document),
        rounded(status.uptime),
        status.sentence
    );
    let width =
        status.backends.iter().map(|backend| backend.name.chars().count()).max().unwrap_or(0);
    for backend in &status.backends {
        let drained = if backend.drained { ", drained" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "{:width$}  {:8}  {}{drained}; breaker {}; {} in flight; last error: {}",
            backend.name,
            backend.engine,
            backend.health.as_str(),
            breaker_words(backend),
            backend.inflight,
            error_words(backend),
        );
    }
    if let Some(journal) = &status.journal {
        page.push_str(&journal_line(journal));
    }
    for warning in &status.warnings {
        let _ = writeln!(page, "warning: {warning}");
    }
    page.push('\n');
    for (name, kpi) in status.kpis.all() {
        page.push_str(&kpi_line(name, kpi));
    }
    page.push('\n');
    for route in &status.routes {
        let prefix = if route.prefix.is_empty() { "*" } else { &route.prefix };
        let state = match (route.readable, route.writable) {
            (true, true) => "serves",
            (true, false) => "reads only",
            (false, true) => "writes only",
            (false, false) => "does not serve",
        };
        let _ =
            writeln!(page, "route {prefix}  {}  {state}  ({})", route.description, route.promise);
    }
    page
}

/// A duration without needless digits: whole seconds from one second on.
pub(crate) fn rounded(duration: std::time::Duration) -> String {
    use std::time::Duration;
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..120 => format_duration(Duration::from_secs(seconds)),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_one_line() {
        let kpi = |value, unit, target, met| Kpi { value, unit, target, met, note: "why".into() };
        let line =
            kpi_line("hit_rate", &kpi(Some(0.8349), "ratio", Target::Above(0.8), Some(true)));
        assert_eq!(line, "hit rate              83.5 %   target > 80 %  met     why\n");
        let line = kpi_line(
            "recovery_time",
            &kpi(Some(31.04), "seconds", Target::Below(30.0), Some(false)),
        );
        assert_eq!(line, "recovery time           31 s   target < 30 s  MISSED  why\n");
        let line = kpi_line("error_rate", &kpi(None, "ratio", Target::Below(0.01), None));
        assert_eq!(line, "error rate                 -   target < 1 %   -       why\n");
    }
}
