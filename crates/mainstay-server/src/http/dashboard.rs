//! The dashboard: one page and its files, carried by the binary (a debug build reads them from `web/`).
//! It must not hold any state of the storage but for the table that a browser without scripts gets.

use axum::{
    extract::{Extension, Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{
    Api, page, problem::Problem, query::Query, security::identify, server::Peer,
    status::StatusDocument,
};

/// Our own files and our own API, nothing else; no markup from strings.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Where the table for a browser without scripts goes.
const MARK: &str = "<!--status-->";
const LOCKED: &str = "<h1>Mainstay</h1>\n<p>This page needs a token, and a browser that runs scripts to ask for it. \
    Without: <code>curl -H 'Authorization: Bearer TOKEN' …/status.txt</code></p>\n";

/// The files, by their path below `web/`.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

/// The dashboard
#[utoipa::path(get, path = "/", tag = "state",
    responses((status = 200, description = "A page that asks this API for everything it shows", body = String, content_type = "text/html")))]
pub(crate) async fn page(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let shell = Files::get("index.html").ok_or_else(|| missing("index.html"))?;
    let shell = String::from_utf8_lossy(&shell.data);
    // The page is open to everyone, so that it can ask for the token; what the storage does is not.
    let allowed = identify(&api, &headers, peer.map(|peer| peer.0)).is_ok();
    let table = if allowed { page::render(&StatusDocument::now(&api)) } else { LOCKED.to_owned() };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, shell.replacen(MARK, &table, 1)).into_response())
}

/// A file of the dashboard
#[utoipa::path(get, path = "/assets/{path}", tag = "state",
    params(("path" = String, Path, description = "Its name")),
    responses((status = 200, description = "Script, style, or picture", body = Vec<u8>, content_type = "application/octet-stream",
                headers(("ETag" = String, description = "Changes with the file"))),
              (status = 304, description = "If-None-Match names the file as it is"),
              (status = 404, description = "No such file")))]
pub(crate) async fn asset(
    Path(path): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let file = Files::get(&path).ok_or_else(|| missing(&path))?;
    let tag = etag(&file);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|given| holds(given, &tag));
    let fixed = [
        (header::CONTENT_TYPE, content_type(&path)),
        (header::ETAG, tag.as_str()),
        // Kept, but asked for each time: after an upgrade the page and its scripts are of one version.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok(if known {
        (StatusCode::NOT_MODIFIED, fixed).into_response()
    } else {
        (fixed, file.data).into_response()
    })
}

fn missing(path: &str) -> Problem {
    let detail = format!("the dashboard has no file {path}");
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", "No such file", detail)
}

fn etag(file: &EmbeddedFile) -> String {
    format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&file.metadata.sha256_hash()[..12]))
}

fn holds(given: &header::HeaderValue, tag: &str) -> bool {
    let Ok(given) = given.to_str() else { return false };
    let mut tags = given.split(',').map(|each| each.trim().trim_start_matches("W/"));
    tags.any(|each| each == tag || each == "*")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}
