//! `/v1/kv`: keys and values.
//! It must not know backends: a condition that a backend cannot check is refused by the storage, not here.

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use mainstay::{Ack, Answer, Key, Version, Worth};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;

pub(crate) mod conditions;
pub(crate) mod freshness;
mod incr;
mod list;
mod read;
mod write;

pub(crate) use incr::{__path_increment, increment};
pub(crate) use list::{__path_list, list};
pub(crate) use read::{__path_head, __path_read, head, read};
pub(crate) use write::{__path_delete, __path_put, delete, put, ttl_of};

/// The number of the journal's entry that a write has become.
const JOURNAL: header::HeaderName = header::HeaderName::from_static("x-mainstay-journal");

const PREFIX: &str = "/v1/kv/";

/// The key that a path names: what stands after `/v1/kv/`, percent-decoded to bytes, slashes included.
fn key_of(path: &str) -> Result<Key, Problem> {
    key_from(path.strip_prefix(PREFIX).unwrap_or(""))
}

fn key_from(encoded: &str) -> Result<Key, Problem> {
    if encoded.is_empty() {
        return Err(Problem::bad_request("a key has at least one byte"));
    }
    Ok(Key::new(Bytes::from_iter(percent_decode_str(encoded))))
}

/// `/v1/kv/` itself: the empty key.
pub(crate) async fn no_key() -> Problem {
    Problem::bad_request("a key has at least one byte").hint("GET /v1/kv lists the keys")
}

fn etag(version: Version) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{version}\"")).ok()
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

/// The answer to a write: no body, the new ETag, and which backend took it.
fn written(status: StatusCode, version: Option<Version>, answer_source: &str) -> Response {
    let mut response = (status, Body::empty()).into_response();
    insert(response.headers_mut(), header::ETAG, version.and_then(etag));
    freshness::name_source(response.headers_mut(), answer_source);
    response
}

/// What a write answers that waits in the journal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Journaled {
    /// The entry's number: it is on this host's disk, and the record gets it when it is back.
    journaled: u64,
}

/// The entry's number, when the write waits.
pub(crate) fn journaled(answer: &Answer) -> Option<u64> {
    match answer.worth {
        Worth::Write(Ack::Journaled(seq)) => Some(seq),
        Worth::Write(_) | Worth::Read(_) => None,
    }
}

/// The answer to a write that waits: accepted, and no more than that.
fn accepted(seq: u64, answer_source: &str) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(Journaled { journaled: seq })).into_response();
    insert(response.headers_mut(), JOURNAL, Some(HeaderValue::from(seq)));
    freshness::name_source(response.headers_mut(), answer_source);
    response
}

/// Splits an answer to a write.
fn into_written(answer: Answer) -> Result<(mainstay::Written, std::sync::Arc<str>), Problem> {
    let source = std::sync::Arc::clone(&answer.source);
    Ok((answer.reply.into_written()?, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_whatever_bytes_the_path_names() {
        let key = |path: &str| key_of(path).map(|key| key.as_bytes().to_vec()).ok();
        assert_eq!(key("/v1/kv/user:1"), Some(b"user:1".to_vec()));
        assert_eq!(key("/v1/kv/a/b//c/"), Some(b"a/b//c/".to_vec()));
        assert_eq!(key("/v1/kv/%2F%00%FF+"), Some(b"/\x00\xff+".to_vec()));
        assert_eq!(key("/v1/kv/"), None);
    }
}
