//! `/v1/history`: the connection history, as JSON or as CSV.
//! It must not know where the history is kept.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use mainstay::HistoryEntry;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, control::known, problem::Problem, query::Query};

/// Entries of one answer.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 10_000;

const CSV: &str = "text/csv; charset=utf-8";

const COLUMNS: &str =
    "time,id,backend,kind,from,to,cause,attempt,reason,error_kind,error,actor,retry_in_ms\n";

/// The connection history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryList {
    /// Oldest first. Ids begin again with each `storage` entry whose state is `open`.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<HistoryEntry>,
    /// The file that keeps them across a restart; none: they are kept in memory alone.
    file: Option<String>,
}

/// The connection history
///
/// The last 100 changes of each backend's connection, health and breaker, what operators did to it, and the storage's own
/// starts and ends; also those from before a restart where there is a folder for it (`observe.dir`).
#[utoipa::path(get, path = "/v1/history", tag = "state",
    params(
        ("backend" = Option<String>, Query, description = "Only this backend, and the storage's starts and ends"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "The last so many, 1 to 10000, default 100"),
        ("format" = Option<String>, Query, description = "`json` or `csv`; default: what `Accept` prefers, else json"),
    ),
    responses((status = 200, description = "Oldest first",
        content((HistoryList = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such backend")))]
pub(crate) async fn read(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(&uri, &["backend", "limit", "format"])?;
    let limit = query.count("limit", LIMIT_DEFAULT, LIMIT_MAX)?;
    let backend = query.text("backend")?;
    let status = api.storage().status();
    if let Some(name) = backend {
        known(&status, name)?;
    }
    let csv = match query.text("format")? {
        Some("csv") => true,
        Some("json") => false,
        None => wants_csv(&headers),
        Some(_) => return Err(Problem::bad_request("query parameter `format` is json or csv")),
    };
    let entries = api.storage().history(backend, limit)?;
    if csv {
        return Ok(([(header::CONTENT_TYPE, CSV)], to_csv(&entries)).into_response());
    }
    Ok(Json(HistoryList { entries, file: status.history.file }).into_response())
}

fn wants_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    let named = |name: &str| accept.split(',').position(|range| range.trim().starts_with(name));
    match (named("text/csv"), named("application/json")) {
        (Some(csv), Some(json)) => csv < json,
        (csv, None) => csv.is_some(),
        (None, Some(_)) => false,
    }
}

fn to_csv(entries: &[HistoryEntry]) -> String {
    let mut page = COLUMNS.to_owned();
    for entry in entries {
        let number =
            |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
        let to = entry.to.as_deref().or(entry.state.as_deref()).unwrap_or_else(|| outcome(entry));
        let (error_kind, error) =
            entry.error.as_ref().map_or(("", ""), |error| (&*error.kind, error.message.as_str()));
        let cells = [
            &time(entry.unix_ms),
            &entry.id.to_string(),
            entry.backend.as_deref().unwrap_or(""),
            &entry.kind,
            entry.from.as_deref().unwrap_or(""),
            to,
            entry.cause.as_deref().unwrap_or(""),
            &number(entry.attempt.or(entry.attempts)),
            &entry.reason,
            error_kind,
            error,
            &entry.actor,
            &number(entry.retry_in_ms),
        ];
        page.push_str(&cells.map(cell).join(","));
        page.push('\n');
    }
    page
}

/// What an entry without states came to.
fn outcome(entry: &HistoryEntry) -> &'static str {
    match (entry.connected, entry.drained, entry.active) {
        (Some(true), _, _) => "connected",
        (Some(false), _, _) => "failed",
        (_, Some(true), _) => "out_of_use",
        (_, Some(false), _) => "in_use",
        (_, _, Some(true)) => "flapping",
        (_, _, Some(false)) => "steady",
        (None, None, None) => "",
    }
}

/// Quoted where it has to be. A spreadsheet must not take what a server said for a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

/// RFC 3339, UTC, with milliseconds.
fn time(unix_ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    let (days, of_day) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a number of days since 1970, by Howard Hinnant's `civil_from_days`: years begin in March, so that
/// a leap day ends one.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(unix_ms), expected);
        }
    }

    #[test]
    fn a_cell_is_neither_broken_nor_a_formula() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a \"b\", c\nd"), "\"a \"\"b\"\", c\nd\"");
        assert_eq!(cell("=HYPERLINK(1,2)"), "\"'=HYPERLINK(1,2)\"");
    }

    #[test]
    fn csv_is_given_to_who_asks_for_it() {
        for (accept, csv) in [
            ("text/csv", true),
            ("text/csv, application/json", true),
            ("application/json, text/csv", false),
            ("*/*", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_csv(&headers), csv, "{accept}");
        }
        assert!(!wants_csv(&HeaderMap::new()));
    }
}
