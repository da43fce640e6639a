//! `/v1/journal`: the writes that wait for a record, and those that will never be applied.
//! It must not apply anything: the storage does, by itself.

use axum::{
    Json,
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use mainstay::status::JournalStatus;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Api,
    control::{actor, read as read_request, reason},
    problem::Problem,
    query::Query,
    server::Peer,
};

/// Entries of one answer.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;
/// Bytes after which an answer takes no more entries.
const PAGE_BYTES: usize = 8 << 20;
/// Entries that are fetched at once.
const STEP: usize = 16;

/// The journal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JournalDocument {
    /// depth, bytes, oldest_age_ms, dead_letters, applied, conflicts, full, unmet_records,
    /// damaged_bytes.
    #[schema(value_type = Object)]
    status: JournalStatus,
    /// Writes that wait, in their order: seq, op, keys, values, what they are based on.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Value>,
    /// Where to go on: `after` of the next request; absent when this is the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// Writes that will not be applied, each with its reason.
    #[schema(value_type = Vec<Object>)]
    dead_letters: Vec<Value>,
}

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayRequest {
    /// Why; goes to the log.
    reason: String,
}

/// The writes that wait for a record
#[utoipa::path(get, path = "/v1/journal", tag = "state",
    params(
        ("after" = Option<u64>, Query, description = "Entries behind this number"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many, 1 to 1000, default 100; an answer of 8 MiB ends earlier"),
    ),
    responses((status = 200, description = "Depth, age, entries, dead letters", body = JournalDocument),
              (status = 404, description = "No route has a journal")))]
pub(crate) async fn read(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Json<JournalDocument>, Problem> {
    let query = Query::parse(&uri, &["after", "limit"])?;
    let limit = query.count("limit", PAGE_DEFAULT, PAGE_MAX)?;
    let after = query.text("after")?.map(number).transpose()?;
    let status = status(&api)?;
    let (entries, next) = page(&api, after, limit)?;
    let letters = api.storage().journal_dead_letters()?;
    let dead_letters = bounded(letters).iter().map(|line| parsed(line)).collect();
    Ok(Json(JournalDocument { status, entries, next, dead_letters }))
}

/// Try again now what waits
#[utoipa::path(post, path = "/v1/journal/replay", tag = "control",
    request_body = ReplayRequest,
    responses((status = 202, description = "It is tried as soon as the record is there", body = Object),
              (status = 404, description = "No route has a journal")))]
pub(crate) async fn replay(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let status = status(&api)?;
    let request: ReplayRequest = read_request(&api, &headers, body).await?;
    let (reason, actor) = (reason(&request.reason)?, actor(&headers, peer));
    api.storage().replay_journal()?;
    tracing::info!(reason, actor = actor.as_str(), "the journal is replayed");
    Ok((StatusCode::ACCEPTED, Json(status)).into_response())
}

/// Forget a dead letter
#[utoipa::path(delete, path = "/v1/journal/dead-letters/{seq}", tag = "control",
    params(("seq" = u64, Path, description = "The entry's number"),
           ("reason" = Option<String>, Query, description = "Why; goes to the log")),
    responses((status = 204, description = "It is gone for ever"),
              (status = 404, description = "There is no such dead letter, or no journal")))]
pub(crate) async fn discard(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let query = Query::parse(&uri, &["reason"])?;
    status(&api)?;
    let seq = number(uri.path().rsplit('/').next().unwrap_or_default())?;
    let reason = reason(query.text("reason")?.unwrap_or("looked at"))?;
    let there = api.storage().journal_dead_letters()?;
    if !there.iter().any(|line| parsed(line)["seq"] == seq) {
        let detail = format!("there is no dead letter {seq}");
        let title = "No such dead letter";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_dead_letter", title, detail));
    }
    api.storage().discard_dead_letter_by(seq, &reason, &actor(&headers, peer)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn status(api: &Api) -> Result<JournalStatus, Problem> {
    api.storage().status().journal.ok_or_else(|| {
        let detail = "no route has a journal";
        Problem::new(StatusCode::NOT_FOUND, "no_journal", "No journal", detail)
            .hint("on_record_down = \"journal\" gives a record route one")
    })
}

fn page(
    api: &Api,
    mut after: Option<u64>,
    limit: usize,
) -> Result<(Vec<Value>, Option<u64>), Problem> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    loop {
        let lines = api.storage().journal_entries(after, STEP.min(limit - entries.len()))?;
        if lines.is_empty() {
            return Ok((entries, None));
        }
        bytes += lines.iter().map(String::len).sum::<usize>();
        entries.extend(lines.iter().map(|line| parsed(line)));
        after = entries.last().and_then(|entry| entry["seq"].as_u64());
        if entries.len() >= limit || bytes > PAGE_BYTES {
            let more = !api.storage().journal_entries(after, 1)?.is_empty();
            return Ok((entries, after.filter(|_| more)));
        }
    }
}

/// As many as one answer carries: the rest is shown when these are discarded.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
    let mut bytes = 0;
    let fits = lines.iter().take_while(|line| {
        bytes += line.len();
        bytes <= PAGE_BYTES
    });
    let count = fits.count().clamp(1, PAGE_MAX);
    lines.truncate(count);
    lines
}

/// The library's own lines; one that cannot be parsed would be a defect, and is shown as text.
fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()))
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::bad_request("an entry's number is a whole number"))
}
