//! The configuration in effect, without secrets; and reading it anew.
//! It must not read the configuration's files: whoever does stands behind `Reload`.

use std::fmt;

use axum::{
    Json,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use mainstay::{Actor, Error, ErrorKind};
use serde_json::Value;

use super::{Api, control::actor, problem::Problem, query::Query, server::Peer};

/// Who reads the configuration of this process anew.
pub trait Reload: fmt::Debug + Send + Sync {
    /// Reads it, and takes over what may change while the process runs; `dry_run`: only says what would be. The answer
    /// names each setting that differs (`changes`: key, old, new, effect), secrets left out. `seen`: the `Api::generation` that
    /// the caller decided by; to be compared where nobody else can reload any more.
    ///
    /// # Errors
    /// Why not; then nothing has changed.
    fn reload(
        &self,
        dry_run: bool,
        seen: Option<u64>,
        actor: Actor,
    ) -> BoxFuture<'_, Result<Value, NotReloaded>>;
}

/// Why a configuration was not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReloaded {
    /// Everything that is wrong with it, one line each.
    Invalid(Vec<String>),
    /// Somebody else has reloaded since the caller has looked.
    Outdated,
}

/// The configuration in effect
#[utoipa::path(get, path = "/v1/config", tag = "control",
    responses((status = 200, description = "The sections as in the file; secrets are ***. Its ETag changes with each reload",
               body = Object)))]
pub(crate) async fn read(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let tag = etag(api.generation());
    let config = serde_json::to_value(&*api.storage().config())
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    let Value::Object(mut sections) = config else {
        return Err(Error::new(ErrorKind::Internal, "the configuration is not a table").into());
    };
    sections.extend(api.settings().sections.clone());
    Ok(([(header::ETAG, tag)], Json(Value::Object(sections))).into_response())
}

/// Of the configuration in effect.
fn etag(generation: u64) -> String {
    format!("\"{generation}\"")
}

/// Whoever says what he has seen is not to change what somebody else has changed since. What has to be in force still.
fn check_match(api: &Api, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(given) = headers.get(header::IF_MATCH).filter(|given| *given != "*") else {
        return Ok(None);
    };
    let generation = api.generation();
    if *given == *etag(generation) { Ok(Some(generation)) } else { Err(outdated()) }
}

fn outdated() -> Problem {
    let detail = "the configuration has been reloaded since it was read";
    let title = "The condition does not hold";
    let status = StatusCode::PRECONDITION_FAILED;
    Problem::new(status, "precondition_failed", title, detail)
        .hint("read /v1/config for its present ETag and decide anew")
}

/// Read the configuration anew
///
/// From the file, the environment and the flags of the process, as at its start. What may change while it runs is taken
/// over, without a lost request; what needs a restart is named and stays as it is. An invalid configuration changes nothing.
#[utoipa::path(post, path = "/v1/config/reload", tag = "control",
    params(("dry_run" = Option<bool>, Query, description = "Say what would change, and change nothing"),
           ("If-Match" = Option<String>, Header, description = "The ETag of `/v1/config`: only if nobody has reloaded since")),
    responses((status = 200, description = "What differs: `changes` with key, old, new, effect (`applied`, or `needs a \
               restart` with the reason), and how many of each", body = Object),
              (status = 412, description = "If-Match: it has been reloaded since"),
              (status = 422, description = "The configuration is invalid: `causes` has a line for each problem, with \
               file, line and column; nothing was changed"),
              (status = 501, description = "Nothing here can read the configuration anew")))]
pub(crate) async fn reload(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let query = Query::parse(&uri, &["dry_run"])?;
    let dry_run = query.flag("dry_run")?;
    let seen = check_match(&api, &headers)?;
    let Some(owner) = api.reloads() else {
        let detail = "this process cannot read its configuration anew";
        let title = "Not possible here";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported", title, detail)
            .hint("restart the process"));
    };
    owner.reload(dry_run, seen, actor(&headers, peer)).await.map(Json).map_err(|why| match why {
        NotReloaded::Invalid(problems) => refused(&problems),
        NotReloaded::Outdated => outdated(),
    })
}

fn refused(problems: &[String]) -> Problem {
    let first = problems.first().map_or("", String::as_str);
    let more = match problems.len() {
        0 | 1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    let detail = format!("{first}{more}");
    let (status, word) = (StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration");
    Problem::new(status, word, "The configuration is invalid; nothing was changed", detail)
        .hint("put it right and reload again; mainstay config check says the same")
        .causes(word, problems)
}
