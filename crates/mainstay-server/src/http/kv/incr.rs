//! POST of a counter's path: adds to it.
//! It must not send an increment twice; what became of an unanswered one is said by `effect`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use mainstay::{Op, Outcome};
use serde::Serialize;
use utoipa::ToSchema;

use super::{PREFIX, etag, freshness, insert, into_written, key_from};
use crate::http::{Api, problem::Problem, query::Query};

/// A counter after an increment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counter {
    /// The new value.
    value: i64,
    /// The new version, where the backend gives one.
    version: Option<String>,
}

/// Add to a counter
///
/// A missing key counts as 0; the TTL stays. The last `/incr` of the path is the verb and the rest is the key: POST to
/// `/v1/kv/a/incr/incr` adds to the key `a/incr`, and the other methods on `/v1/kv/a/incr` mean the key `a/incr` itself.
#[utoipa::path(post, path = "/v1/kv/{key}/incr", tag = "values",
    params(
        ("key" = String, Path, description = "The key: percent-decoded to bytes, may hold slashes, not empty"),
        ("by" = Option<i64>, Query, description = "What is added, default 1; may be negative"),
    ),
    responses(
        (status = 200, description = "The new value", body = Counter,
            headers(("ETag" = String, description = "The new version"))),
        (status = 409, description = "The value is not a 64-bit integer, or the sum would not be"),
    ))]
pub(crate) async fn increment(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(encoded) = counter_of(uri.path()) else { return Ok(not_a_counter()) };
    let key = key_from(encoded)?;
    let query = Query::parse(&uri, &["by"])?;
    let by = match query.text("by")? {
        None => 1,
        Some(written) => written
            .parse::<i64>()
            .map_err(|_| Problem::bad_request("query parameter `by` is a 64-bit integer"))?,
    };
    let deadline = api.deadline(&headers)?;
    let (written, source) = into_written(api.execute(Op::Increment { key, by }, deadline).await?)?;
    let Outcome::Integer(value) = written.outcome else {
        let kind = mainstay::ErrorKind::Internal;
        return Err(mainstay::Error::new(kind, "an increment gave no integer").into());
    };
    let version = written.version.map(|version| version.to_string());
    let mut response = Json(Counter { value, version }).into_response();
    insert(response.headers_mut(), header::ETAG, written.version.and_then(etag));
    freshness::name_source(response.headers_mut(), &source);
    Ok(response)
}

/// The key, still encoded, whose increment this path means.
fn counter_of(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX)?.strip_suffix("/incr")
}

fn not_a_counter() -> Response {
    let detail = "POST adds to a counter, at the key's path + /incr";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let problem = Problem::new(status, "method_not_allowed", "Method not allowed", detail);
    ([(header::ALLOW, "GET, HEAD, PUT, DELETE")], problem).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_is_the_verb() {
        assert_eq!(counter_of("/v1/kv/a/incr"), Some("a"));
        assert_eq!(counter_of("/v1/kv/a/incr/incr"), Some("a/incr"));
        assert_eq!(counter_of("/v1/kv/a%2Fincr/incr"), Some("a%2Fincr"));
        assert_eq!(counter_of("/v1/kv//incr"), Some(""));
        assert_eq!(counter_of("/v1/kv/a"), None);
        assert_eq!(counter_of("/v1/kv/a%2Fincr"), None);
        assert_eq!(counter_of("/v1/kv/incr"), None);
    }
}
