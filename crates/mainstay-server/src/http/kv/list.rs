//! GET of the collection: the keys under a prefix, page by page.
//! It must not look into a cursor.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use mainstay::Op;
use serde::Serialize;
use utoipa::ToSchema;

use super::freshness;
use crate::http::{
    Api,
    encoding::{self, Encoding},
    problem::Problem,
    query::Query,
};

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyList {
    /// The keys; a page may be empty although more are to come.
    keys: Vec<ListedKey>,
    /// Where to go on; null: this was the last page.
    cursor: Option<String>,
}

/// One key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedKey {
    /// The key, written as `encoding` says.
    key: String,
    /// How the key is written: base64 when it is not UTF-8.
    encoding: Encoding,
}

/// List keys
///
/// A key that exists throughout the listing is named at least once.
#[utoipa::path(get, path = "/v1/kv", tag = "values",
    params(
        ("prefix" = Option<String>, Query, description = "Only keys that begin with these bytes (percent-decoded, need not be UTF-8)"),
        ("cursor" = Option<String>, Query, description = "`cursor` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many keys to aim for: 1 to 1000, default 100"),
    ),
    responses((status = 200, description = "A page", body = KeyList)))]
pub(crate) async fn list(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(&uri, &["prefix", "cursor", "limit"])?;
    let prefix = Bytes::copy_from_slice(query.bytes("prefix").unwrap_or(b""));
    let cursor = query.text("cursor")?.map(encoding::read_cursor).transpose()?.map(Bytes::from);
    let limit = query.count("limit", 100, 1000)?;
    let deadline = api.deadline(&headers)?;
    let answer = api.execute(Op::Scan { prefix, cursor, limit }, deadline).await?;
    let page = answer.reply.into_page()?;
    let keys = page.keys.iter().map(|key| {
        let (key, encoding) = encoding::write(key.as_bytes());
        ListedKey { key, encoding }
    });
    let cursor = page.next.as_deref().map(encoding::write_cursor);
    let mut response = Json(KeyList { keys: keys.collect(), cursor }).into_response();
    freshness::name_source(response.headers_mut(), &answer.source);
    Ok(response)
}
