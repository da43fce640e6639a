//! What an operator may do: force a breaker, take a backend out of use and back.
//! It must not act without a reason: each goes to the log and the events with its actor.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use mainstay::{
    Actor, BreakerCommand,
    config::text,
    status::{BackendStatus, Status},
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{Api, body, caller, problem::Problem, query::Query, server::Peer};

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
    /// For how long, with a unit: at most 24h. Default: until it is put back.
    #[serde(rename = "for")]
    duration: Option<String>,
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
    let reason = reason(&request.reason)?;
    api.storage().breaker_by(&backend, command, &reason, &actor(&headers, peer))?;
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
    let reason = reason(&request.reason)?;
    let actor = actor(&headers, peer);
    match span(request.duration.as_deref())? {
        Some(time) => api.storage().drain_for(&backend, time, &reason, &actor)?,
        None => api.storage().drain_by(&backend, true, &reason, &actor)?,
    }
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
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let query = Query::parse(&uri, &["reason"])?;
    let backend = backend_of(&api, &uri)?;
    let reason = reason(query.text("reason")?.unwrap_or("put back"))?;
    api.storage().drain_by(&backend, false, &reason, &actor(&headers, peer))?;
    Ok(StatusCode::NO_CONTENT)
}

impl BreakerRequest {
    fn command(&self) -> Result<BreakerCommand, Problem> {
        let duration = span(self.duration.as_deref())?.unwrap_or(FOR_DEFAULT);
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

/// `for`, within its bounds.
fn span(written: Option<&str>) -> Result<Option<Duration>, Problem> {
    let Some(written) = written else { return Ok(None) };
    let time = text::parse_duration(written)
        .map_err(|problem| Problem::bad_request(format!("for: {problem}")))?;
    if time.is_zero() || time > FOR_MAX {
        return Err(Problem::bad_request("for: is above 0 and at most 24h"));
    }
    Ok(Some(time))
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

pub(super) fn known(status: &Status, name: &str) -> Result<BackendStatus, Problem> {
    let found = status.backends.iter().find(|backend| &*backend.name == name).cloned();
    found.ok_or_else(|| {
        let names: Vec<&str> = status.backends.iter().map(|backend| &*backend.name).collect();
        let detail = format!("there is no such backend; there are: {}", names.join(", "));
        Problem::new(StatusCode::NOT_FOUND, "no_such_backend", "No such backend", detail)
    })
}

/// The reason on one line.
pub(super) fn reason(given: &str) -> Result<String, Problem> {
    let printable: String = given.chars().filter(|c| !c.is_control()).take(200).collect();
    match printable.trim() {
        "" => Err(Problem::bad_request("reason: says why, for the log")),
        reason => Ok(reason.to_owned()),
    }
}

/// Who asks: the command line says so in its `User-Agent`, everybody else is `http`; with the address, if there is one,
/// and the name of the user, where one has to prove it.
pub(super) fn actor(headers: &HeaderMap, peer: Option<Extension<Peer>>) -> Actor {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let door =
        if agent.is_some_and(|agent| agent.starts_with("mainstay/")) { "cli" } else { "http" };
    let place = match peer {
        Some(Extension(Peer(address))) => format!("{door} {}", address.ip()),
        None => door.to_owned(),
    };
    Actor::new(caller::signed(place))
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
    fn a_reason_is_one_line_and_says_something() {
        assert_eq!(reason(" a\nb ").unwrap(), "ab");
        assert!(reason(" \n").is_err());
    }

    #[test]
    fn the_actor_is_the_door_and_the_address() {
        let peer = || Some(Extension(Peer("127.0.0.1:9".parse().unwrap())));
        let mut headers = HeaderMap::new();
        assert_eq!(actor(&headers, None).as_str(), "http");
        headers.insert(header::USER_AGENT, "curl/8".parse().unwrap());
        assert_eq!(actor(&headers, peer()).as_str(), "http 127.0.0.1");
        headers.insert(header::USER_AGENT, "mainstay/0.1.0".parse().unwrap());
        assert_eq!(actor(&headers, peer()).as_str(), "cli 127.0.0.1");
    }
}
