//! `/v1/invalidate`: loaded values end before their time.
//! It must not know where they stand.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, Uri},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, caller, control::read, problem::Problem, query::Query};
use crate::access::{Reach, Role};

/// Names of one request at most.
const NAMES_MAX: usize = 1000;

/// Which loaded values end; at most 1000 names in all.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InvalidateRequest {
    /// These keys.
    keys: Vec<String>,
    /// All keys that begin with one of these.
    prefixes: Vec<String>,
    /// All that was loaded with one of these tags.
    tags: Vec<String>,
}

/// How many names were taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Invalidated {
    /// Keys, prefixes and tags.
    invalidated: usize,
}

/// End loaded values
///
/// Who reads afterwards gets what is loaded after this. What is stored under the keys is not touched. May be repeated;
/// when it fails, some of them may have ended.
#[utoipa::path(post, path = "/v1/invalidate", tag = "data",
    request_body = InvalidateRequest,
    responses((status = 200, description = "They have ended, in every process that shares the cache", body = Invalidated),
              (status = 503, description = "Some of them may be served on")))]
pub(crate) async fn run(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Invalidated>, Problem> {
    Query::parse(&uri, &[])?;
    let InvalidateRequest { keys, prefixes, tags } = read(&api, &headers, body).await?;
    let invalidated = keys.len() + prefixes.len() + tags.len();
    if invalidated == 0 || invalidated > NAMES_MAX {
        return Err(Problem::bad_request("names 1 to 1000 keys, prefixes and tags in all"));
    }
    caller::permit(&api, Role::Write, || reach(&keys, &prefixes, &tags))?;
    let storage = api.storage();
    for key in keys {
        storage.invalidate(key).await?;
    }
    for prefix in prefixes {
        storage.invalidate_prefix(prefix).await?;
    }
    for tag in tags {
        storage.invalidate_tag(tag).await?;
    }
    Ok(Json(Invalidated { invalidated }))
}

/// A tag may be on any key; under a prefix that lies within a user's bounds, so does every key.
fn reach<'a>(keys: &'a [String], prefixes: &'a [String], tags: &[String]) -> Reach<'a> {
    match tags {
        [] => Reach::Keys(keys.iter().chain(prefixes).map(|name| name.as_bytes()).collect()),
        _ => Reach::Everything,
    }
}
