//! PUT and DELETE of one key.
//! It must not read before it writes: a condition is checked by the backend, in the same step.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use mainstay::{Condition, Op, TtlChange, config::text};

use super::{
    Journaled, accepted,
    conditions::{self, WriteCondition},
    into_written, journaled, key_of, written,
};
use crate::http::{Api, body, problem::Problem, query::Query};

/// Write a value
///
/// 201 is answered where the condition says that the key is new; a write without condition is 204 either way, because
/// asking whether there was a key would take the freedom to fail over.
#[utoipa::path(put, path = "/v1/kv/{key}", tag = "values",
    params(
        ("key" = String, Path, description = "The key: percent-decoded to bytes, may hold slashes, not empty"),
        ("ttl" = Option<String>, Query, description = "Time to live with a unit, as in 60s or 15m; without one the route's"),
        ("If-Match" = Option<String>, Header, description = "One ETag: compare and set. `*`: only an existing key"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only a new key"),
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "The value, at most limits.value_max bytes"),
    responses(
        (status = 201, description = "Created (with If-None-Match: *)", headers(("ETag" = String, description = "The new version"))),
        (status = 202, description = "The record is down, and the write waits in this host's journal: it is on its disk, and in nobody else's sight", body = Journaled, headers(
            ("X-Mainstay-Journal" = u64, description = "The entry's number"),
        )),
        (status = 204, description = "Written", headers(
            ("ETag" = String, description = "The new version; absent where the backend keeps none"),
            ("X-Mainstay-Source" = String, description = "The backend that took it"),
        )),
        (status = 408, description = "The body did not arrive in time"),
        (status = 412, description = "The condition does not hold"),
        (status = 413, description = "The value or the key is too large"),
    ))]
pub(crate) async fn put(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = Query::parse(&uri, &["ttl"])?;
    let ttl = ttl_of(query.text("ttl")?)?;
    let key = key_of(uri.path())?;
    let condition = storage_condition(&headers)?;
    let created = condition == Condition::Absent;
    let deadline = api.deadline(&headers)?;
    let value_max = api.storage().config().limits.value_max;
    let value = body::read(&headers, body, value_max, deadline).await?;
    let op = Op::Set { key, value, ttl, condition, want_previous: false };
    let answer = api.execute(op, deadline).await?;
    if let Some(seq) = journaled(&answer) {
        return Ok(accepted(seq, &answer.source));
    }
    let (outcome, source) = into_written(answer)?;
    match (outcome.applied, created) {
        (true, true) => Ok(written(StatusCode::CREATED, outcome.version, &source)),
        (true, false) => Ok(written(StatusCode::NO_CONTENT, outcome.version, &source)),
        (false, true) => Err(Problem::precondition_failed("there is such a key already")),
        (false, false) => {
            Err(Problem::precondition_failed("the key is gone or has another version"))
        }
    }
}

/// Delete a key
///
/// Deleting a key that is not there is no error, except under a condition.
#[utoipa::path(delete, path = "/v1/kv/{key}", tag = "values",
    params(
        ("key" = String, Path, description = "The key: percent-decoded to bytes, may hold slashes, not empty"),
        ("If-Match" = Option<String>, Header, description = "One ETag: compare and delete. `*`: only an existing key"),
    ),
    responses((status = 202, description = "The record is down, and the delete waits in this host's journal", body = Journaled,
                  headers(("X-Mainstay-Journal" = u64, description = "The entry's number"))),
              (status = 204, description = "There is no such key any more"),
              (status = 412, description = "The condition does not hold")))]
pub(crate) async fn delete(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let key = key_of(uri.path())?;
    let condition = storage_condition(&headers)?;
    if condition == Condition::Absent {
        return Err(Problem::bad_request("If-None-Match has no meaning for DELETE"));
    }
    let unconditional = condition == Condition::Always;
    let deadline = api.deadline(&headers)?;
    let op = Op::Delete { key, condition, want_previous: false };
    let answer = api.execute(op, deadline).await?;
    if let Some(seq) = journaled(&answer) {
        return Ok(accepted(seq, &answer.source));
    }
    let (outcome, source) = into_written(answer)?;
    if outcome.applied || unconditional {
        return Ok(written(StatusCode::NO_CONTENT, None, &source));
    }
    Err(Problem::precondition_failed("the key is gone or has another version"))
}

fn storage_condition(headers: &HeaderMap) -> Result<Condition, Problem> {
    match conditions::of_write(headers)? {
        WriteCondition::Storage(condition) => Ok(condition),
        WriteCondition::NeverHolds => Err(Problem::precondition_failed(
            "no key has this ETag: it is weak, or not of this server",
        )),
    }
}

/// A TTL with its unit. None: the route's.
pub(crate) fn ttl_of(ttl: Option<&str>) -> Result<TtlChange, Problem> {
    let Some(written) = ttl else { return Ok(TtlChange::Clear) };
    let ttl = text::parse_duration(written)
        .map_err(|problem| Problem::bad_request(format!("ttl: {problem}")))?;
    if ttl.as_millis() == 0 {
        return Err(Problem::bad_request("ttl: is at least 1ms"));
    }
    Ok(TtlChange::For(ttl))
}
