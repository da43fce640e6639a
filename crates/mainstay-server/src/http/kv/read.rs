//! GET and HEAD of one key.
//! It must not know which backend answers; it passes on what the storage says about the answer.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use mainstay::{Op, Record};
use serde::Serialize;
use utoipa::ToSchema;

use super::{conditions, etag, freshness::Freshness, insert, key_of};
use crate::http::{
    Api,
    encoding::{self, Encoding},
    problem::Problem,
    query::Query,
};

/// A value and what is known about it (`?meta`).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Meta {
    /// The value, written as `encoding` says.
    value: String,
    /// How the value is written.
    encoding: Encoding,
    /// The backend that answered.
    source: String,
    /// Whether it is possibly older than the last acknowledged write.
    stale: bool,
    /// How true it is: `linearizable`, `bounded`, `pending` (a write that waits in the journal), `unpromised` or
    /// `unverified`.
    worth: &'static str,
    /// Age of the copy in seconds, when a cache answered.
    age: Option<f64>,
    /// Time left to live in seconds; null: it does not expire.
    ttl: Option<f64>,
    /// The version, where the backend gives one; in quotes it is the ETag.
    version: Option<String>,
}

/// Read a value
///
/// The value as it was stored, or with `?meta` a JSON document about it. The request's Cache-Control is advisory and
/// has no effect yet. A key that holds `.` or `..` between slashes cannot be named in a URL by most clients: use the
/// batch for it.
#[utoipa::path(get, path = "/v1/kv/{key}", tag = "values",
    params(
        ("key" = String, Path, description = "The key: percent-decoded to bytes, may hold slashes, not empty"),
        ("meta" = Option<bool>, Query, description = "Answer with JSON about the value"),
        ("If-None-Match" = Option<String>, Header, description = "ETags, or *: 304 when it is still one of them"),
        ("If-Match" = Option<String>, Header, description = "ETags, or *: 412 when it is none of them"),
    ),
    responses(
        (status = 200, description = "The value", headers(
            ("ETag" = String, description = "The version in quotes; absent where the backend keeps none"),
            ("Age" = u64, description = "Seconds since the copy was taken, when a cache answered"),
            ("Cache-Status" = String, description = "RFC 9211: `redis; hit; ttl=58`, or `mainstay; fwd=miss; detail=db`; the detail says `stale` when it may be outdated"),
            ("X-Mainstay-Source" = String, description = "The backend that answered"),
        ), content((String = "application/octet-stream"), (Meta = "application/json"))),
        (status = 304, description = "Not modified"),
        (status = 404, description = "No such key"),
        (status = 412, description = "If-Match does not hold"),
    ))]
pub(crate) async fn read(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(&uri, &["meta"])?;
    let as_meta = query.flag("meta")?;
    let key = key_of(uri.path())?;
    let deadline = api.deadline(&headers)?;
    let answer = api.execute(Op::Get { key, with_ttl: true }, deadline).await?;
    let record = answer.reply.into_record()?;
    let freshness = Freshness {
        source: &answer.source,
        age: answer.age,
        stale: answer.stale,
        ttl: record.as_ref().and_then(|record| record.ttl),
        worth: answer.worth.as_str(),
    };
    let mut response = match record {
        None => Problem::no_such_key().into_response(),
        Some(record) if as_meta => meta(&record, freshness),
        Some(record) => raw(record, &headers)?,
    };
    freshness.write(response.headers_mut());
    Ok(response)
}

/// Ask for a key's headers
#[utoipa::path(head, path = "/v1/kv/{key}", tag = "values",
    params(("key" = String, Path, description = "As for GET")),
    responses((status = 200, description = "As GET, without the body"),
              (status = 304, description = "Not modified"), (status = 404, description = "No such key")))]
pub(crate) async fn head(
    api: State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    read(api, uri, headers).await
}

fn raw(record: Record, headers: &HeaderMap) -> Result<Response, Problem> {
    let tag = record.version.and_then(etag);
    let mut response = match conditions::of_read(headers, record.version)? {
        None => {
            let octets = HeaderValue::from_static("application/octet-stream");
            ([(header::CONTENT_TYPE, octets)], record.value).into_response()
        }
        Some(StatusCode::NOT_MODIFIED) => (StatusCode::NOT_MODIFIED, Body::empty()).into_response(),
        Some(_) => Problem::precondition_failed("the key has another version").into_response(),
    };
    insert(response.headers_mut(), header::ETAG, tag);
    Ok(response)
}

fn meta(record: &Record, freshness: Freshness<'_>) -> Response {
    let (value, encoding) = encoding::write(&record.value);
    let document = Meta {
        value,
        encoding,
        source: freshness.source.to_owned(),
        stale: freshness.stale,
        worth: freshness.worth,
        age: freshness.age.map(|age| age.as_secs_f64()),
        ttl: record.ttl.as_ref().map(Duration::as_secs_f64),
        version: record.version.map(|version| version.to_string()),
    };
    let mut response = Json(document).into_response();
    insert(response.headers_mut(), header::ETAG, record.version.and_then(etag));
    response
}
