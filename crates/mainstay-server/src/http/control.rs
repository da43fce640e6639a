//! What an operator may do: force a breaker, take a backend out of use and back.
//! It must not act without a reason: each goes to the log and the events with its actor.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use mainstay::{
    BreakerCommand,
    config::text,
    status::{BackendStatus, Status},
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{Api, body, problem::Problem, query::Query, server::Peer};

/// How long a forced state lasts when nothing is said.
const FOR_DEFAULT: Duration = Duration::from_secs(600);
/// How long it may last.
const FOR_MAX: Duration = Duration::from_secs(86_400);

/// Which state, why, and for how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakerRequest {
    /// The state.
    state: BreakerWish,
    /// Why; goes to the log.
    reason: String,
    /// For how long, with a unit: at most 24h, default 10m. Not with `auto`.
    #[serde(rename = "for")]
    duration: Option<String>,
}

/// A state to force, or to force no longer.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BreakerWish {
    /// Refuse all calls.
    Open,
    /// Let all calls pass.
    Closed,
    /// Decide by itself again.
    Auto,
}

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrainRequest {
    /// Why; goes to the log.
    reason: String,
}

/// Force a breaker
#[utoipa::path(post, path = "/v1/backends/{backend}/breaker", tag = "control",
    params(("backend" = String, Path, description = "The backend's configured name")),
    request_body = BreakerRequest,
    responses((status = 200, description = "The backend after it", body = Object),
              (status = 404, description = "No such backend")))]
pub(crate) async fn breaker(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BackendStatus>, Problem> {
    Query::parse(&uri, &[])?;
    let backend = backend_of(&api, &uri)?;
    let request: BreakerRequest = read(&api, &headers, body).await?;
    let command = request.command()?;
    let reason = signed(&request.reason, peer)?;
    api.storage().breaker(&backend, command, &reason)?;
    known(&api.storage().status(), &backend).map(Json)
}

/// Take a backend out of use
#[utoipa::path(post, path = "/v1/backends/{backend}/drain", tag = "control",
    params(("backend" = String, Path, description = "The backend's configured name")),
    request_body = DrainRequest,
    responses((status = 202, description = "No new calls go there; those in flight end by themselves", body = Object),
              (status = 404, description = "No such backend")))]
pub(crate) async fn drain(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let backend = backend_of(&api, &uri)?;
    let request: DrainRequest = read(&api, &headers, body).await?;
    let reason = signed(&request.reason, peer)?;
    api.storage().drain(&backend, true, &reason)?;
    let after = known(&api.storage().status(), &backend)?;
    Ok((StatusCode::ACCEPTED, Json(after)).into_response())
}

/// Put a backend back into use
#[utoipa::path(delete, path = "/v1/backends/{backend}/drain", tag = "control",
    params(("backend" = String, Path, description = "The backend's configured name"),
           ("reason" = Option<String>, Query, description = "Why; goes to the log")),
    responses((status = 204, description = "It is in use"),
              (status = 404, description = "No such backend")))]
pub(crate) async fn undrain(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let query = Query::parse(&uri, &["reason"])?;
    let backend = backend_of(&api, &uri)?;
    let reason = signed(query.text("reason")?.unwrap_or("put back"), peer)?;
    api.storage().drain(&backend, false, &reason)?;
    Ok(StatusCode::NO_CONTENT)
}

impl BreakerRequest {
    fn command(&self) -> Result<BreakerCommand, Problem> {
        let duration = match &self.duration {
            None => FOR_DEFAULT,
            Some(written) => text::parse_duration(written)
                .map_err(|problem| Problem::bad_request(format!("for: {problem}")))?,
        };
        if duration.is_zero() || duration > FOR_MAX {
            return Err(Problem::bad_request("for: is above 0 and at most 24h"));
        }
        match self.state {
            BreakerWish::Open => Ok(BreakerCommand::ForceOpen(duration)),
            BreakerWish::Closed => Ok(BreakerCommand::ForceClosed(duration)),
            BreakerWish::Auto if self.duration.is_some() => {
                Err(Problem::bad_request("for: has no meaning with auto"))
            }
            BreakerWish::Auto => Ok(BreakerCommand::Auto),
        }
    }
}

pub(super) async fn read<T: DeserializeOwned>(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let deadline = api.deadline(headers)?;
    body::read_json(headers, body, body::CONTROL_MAX, deadline).await
}

/// The backend that the path names, if there is one.
fn backend_of(api: &Api, uri: &Uri) -> Result<String, Problem> {
    let encoded = uri.path().strip_prefix("/v1/backends/").and_then(|rest| rest.split('/').next());
    let name = percent_decode_str(encoded.unwrap_or("")).decode_utf8_lossy().into_owned();
    known(&api.storage().status(), &name)?;
    Ok(name)
}

fn known(status: &Status, name: &str) -> Result<BackendStatus, Problem> {
    let found = status.backends.iter().find(|backend| &*backend.name == name).cloned();
    found.ok_or_else(|| {
        let names: Vec<&str> = status.backends.iter().map(|backend| &*backend.name).collect();
        let detail = format!("there is no such backend; there are: {}", names.join(", "));
        Problem::new(StatusCode::NOT_FOUND, "no_such_backend", "No such backend", detail)
    })
}

/// The reason on one line, with who gave it.
pub(super) fn signed(reason: &str, peer: Option<Extension<Peer>>) -> Result<String, Problem> {
    let printable: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
    if printable.trim().is_empty() {
        return Err(Problem::bad_request("reason: says why, for the log"));
    }
    let actor = peer
        .map_or_else(|| "http".to_owned(), |Extension(Peer(address))| format!("http {address}"));
    Ok(format!("{} (by {actor})", printable.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(json: &str) -> Option<BreakerCommand> {
        serde_json::from_str::<BreakerRequest>(json).ok()?.command().ok()
    }

    #[test]
    fn a_forced_state_always_expires() {
        let open = command(r#"{"state":"open","reason":"x","for":"5m"}"#);
        assert_eq!(open, Some(BreakerCommand::ForceOpen(Duration::from_secs(300))));
        let closed = command(r#"{"state":"closed","reason":"x"}"#);
        assert_eq!(closed, Some(BreakerCommand::ForceClosed(FOR_DEFAULT)));
        assert_eq!(command(r#"{"state":"auto","reason":"x"}"#), Some(BreakerCommand::Auto));
        for bad in [
            r#"{"state":"open","reason":"x","for":"25h"}"#,
            r#"{"state":"open","reason":"x","for":"0s"}"#,
            r#"{"state":"open","reason":"x","for":"300"}"#,
            r#"{"state":"auto","reason":"x","for":"5m"}"#,
            r#"{"state":"half_open","reason":"x"}"#,
            r#"{"state":"open"}"#,
            r#"{"state":"open","reason":"x","until":"x"}"#,
        ] {
            assert_eq!(command(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_reason_is_one_line_and_signed() {
        let peer = Peer("127.0.0.1:9".parse().unwrap());
        assert_eq!(signed(" a\nb ", Some(Extension(peer))).unwrap(), "ab (by http 127.0.0.1:9)");
        assert!(signed(" \n", None).is_err());
    }
}
