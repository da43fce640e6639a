//! Drills on the storage that serves: begun, watched, listed, aborted.
//! It must not know how a drill is run: whoever runs them stands behind `Drills`.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use mainstay::Actor;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa::ToSchema;

use super::{
    Api, caller,
    control::{actor, read, reason},
    problem::Problem,
    query::Query,
    server::Peer,
};

use crate::access::{Door, User};

/// A drill that is silent for longer has a comment sent, so that a caller who has gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a drill on the running storage is to do.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrillRequest {
    /// A scenario by name, as in `redis-outage`, or one of one's own as an object.
    #[schema(value_type = Object)]
    pub scenario: Value,
    /// The backend. Default: the one that the scenario means, where there is only one.
    pub backend: Option<String>,
    /// For how long, with a unit: at most 9m. Default: the scenario's, 45s.
    #[serde(rename = "for")]
    pub hold: Option<String>,
    /// The share of the calls that is met, above 0 and at most 1. Default 1: then probes fail too.
    pub share: Option<f64>,
    /// Only calls on keys that begin so. Default: all.
    pub prefix: Option<String>,
    /// The share of failed requests, in the last seconds, above which the drill is aborted. Default 0.05.
    pub abort_error_rate: Option<f64>,
    /// Whether a few keys of the drill's own are written and read meanwhile, and verified. Default: no load at all.
    #[serde(default)]
    pub canary: bool,
    /// Why; goes to the log and the events.
    pub reason: String,
}

/// One message to who watches.
#[derive(Clone, Debug)]
pub struct DrillMessage {
    /// `start`, `step`, `retry_update`, `complete` or `error`.
    pub name: &'static str,
    /// The document.
    pub data: Value,
}

/// A drill under way. Dropping it aborts the drill and lifts its fault.
#[derive(Debug)]
pub struct DrillRun {
    /// Ends with the drill.
    pub messages: mpsc::Receiver<DrillMessage>,
    /// Aborts it when dropped.
    pub alive: DropGuard,
}

/// Why a drill is not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrillRefused {
    /// Something in the request is wrong.
    Request(String),
    /// Another one runs.
    Busy(String),
}

/// Who runs drills on the storage behind this interface.
pub trait Drills: fmt::Debug + Send + Sync {
    /// Begins one, if none runs.
    ///
    /// # Errors
    /// Why it is not begun.
    fn begin(&self, request: DrillRequest, actor: Actor) -> Result<DrillRun, DrillRefused>;
    /// The one that runs, those of before, and the scenarios there are.
    fn list(&self) -> Value;
    /// One of them, with its report once it has ended.
    fn find(&self, id: &str) -> Option<Value>;
    /// Aborts it. False: it does not run.
    fn abort(&self, id: &str, reason: &str, actor: &Actor) -> bool;
}

/// Drill the storage that serves
///
/// A fault is injected inside Mainstay before one backend; the backend itself is not touched. Server-sent events: `start`,
/// `step` for each thing that happens, `retry_update` each second, then `complete` or `error`. The drill is aborted, and the
/// fault lifted, when this connection goes away. A token has to be configured.
#[utoipa::path(post, path = "/v1/drills", tag = "control",
    request_body = DrillRequest,
    responses((status = 200, description = "The stream", content((String = "text/event-stream"))),
              (status = 403, description = "No token is configured, or the Origin is another one"),
              (status = 409, description = "Another drill runs"),
              (status = 501, description = "Nothing here runs drills")))]
pub(crate) async fn begin(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let drills = allowed(&api)?;
    let mut request: DrillRequest = read(&api, &headers, body).await?;
    request.reason = reason(&request.reason)?;
    let run = drills.begin(request, actor(&headers, peer)).map_err(refused)?;
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    let stream = into_stream(run, api.closing(), caller::current());
    Ok(Sse::new(stream).keep_alive(heartbeat).into_response())
}

/// Drills and scenarios
#[utoipa::path(get, path = "/v1/drills", tag = "control",
    responses((status = 200, description = "The one that runs, the last ones, the scenarios", body = Object),
              (status = 501, description = "Nothing here runs drills")))]
pub(crate) async fn list(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, Problem> {
    Query::parse(&uri, &[])?;
    let mut document = known(&api)?.list();
    if let Some(members) = document.as_object_mut() {
        members.insert("allowed".to_owned(), api.guard().guards(Door::Http).into());
    }
    Ok(Json(document))
}

/// One drill
#[utoipa::path(get, path = "/v1/drills/{id}", tag = "control",
    params(("id" = String, Path, description = "As in the list")),
    responses((status = 200, description = "It, with its report once it has ended", body = Object),
              (status = 404, description = "No such drill"),
              (status = 501, description = "Nothing here runs drills")))]
pub(crate) async fn find(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, Problem> {
    Query::parse(&uri, &[])?;
    known(&api)?.find(&id_of(&uri)).map(Json).ok_or_else(no_such)
}

/// Abort a drill
#[utoipa::path(delete, path = "/v1/drills/{id}", tag = "control",
    params(("id" = String, Path, description = "As in the list"),
           ("reason" = Option<String>, Query, description = "Why; goes to the log")),
    responses((status = 204, description = "Its fault is lifted"),
              (status = 403, description = "No token is configured, or the Origin is another one"),
              (status = 404, description = "No such drill runs"),
              (status = 501, description = "Nothing here runs drills")))]
pub(crate) async fn abort(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let query = Query::parse(&uri, &["reason"])?;
    let why = reason(query.text("reason")?.unwrap_or("aborted"))?;
    let actor = actor(&headers, peer);
    if allowed(&api)?.abort(&id_of(&uri), &why, &actor) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_such())
    }
}

fn known(api: &Api) -> Result<&Arc<dyn Drills>, Problem> {
    api.drills().ok_or_else(|| {
        let detail = "nothing in this process runs drills";
        Problem::new(StatusCode::NOT_IMPLEMENTED, "no_drills", "No drills", detail)
    })
}

/// Whoever may reach the port must not be able to break what it serves.
fn allowed(api: &Api) -> Result<&Arc<dyn Drills>, Problem> {
    let drills = known(api)?;
    if api.guard().guards(Door::Http) {
        return Ok(drills);
    }
    let detail = "a drill breaks what serves: it is allowed only where a token is configured";
    Err(Problem::new(StatusCode::FORBIDDEN, "token_required", "A token is required", detail)
        .hint("set http.token_file, restart, and send Authorization: Bearer TOKEN"))
}

fn refused(refused: DrillRefused) -> Problem {
    match refused {
        DrillRefused::Request(detail) => Problem::bad_request(detail),
        DrillRefused::Busy(detail) => {
            Problem::new(StatusCode::CONFLICT, "drill_running", "A drill runs", detail)
                .hint("GET /v1/drills names it, DELETE /v1/drills/{id} aborts it")
        }
    }
}

fn no_such() -> Problem {
    let detail = "there is no such drill, or it has ended";
    Problem::new(StatusCode::NOT_FOUND, "no_such_drill", "No such drill", detail)
}

fn id_of(uri: &Uri) -> String {
    let encoded = uri.path().strip_prefix("/v1/drills/").unwrap_or("");
    percent_decode_str(encoded).decode_utf8_lossy().into_owned()
}

/// The messages until the drill or the server ends, or until who began it is a user no longer. The run goes with the stream.
fn into_stream(
    run: DrillRun,
    closing: CancellationToken,
    user: Option<Arc<User>>,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold((run, closing, user), |(mut run, closing, user)| async move {
        let message = tokio::select! {
            biased;
            () = closing.cancelled() => return None,
            message = run.messages.recv() => message?,
        };
        // While a drill runs there is a message each second.
        if user.as_ref().is_some_and(|user| user.is_revoked()) {
            return None;
        }
        let event = sse::Event::default().event(message.name).data(message.data.to_string());
        Some((Ok(event), (run, closing, user)))
    })
}
