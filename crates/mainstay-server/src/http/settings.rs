//! The configuration in effect, without secrets.
//! It must not read the configuration's files.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri},
};
use mainstay::{Error, ErrorKind};
use serde_json::Value;

use super::{Api, problem::Problem, query::Query};

/// The configuration in effect
#[utoipa::path(get, path = "/v1/config", tag = "control",
    responses((status = 200, description = "The sections as in the file; secrets are ***", body = Object)))]
pub(crate) async fn read(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, Problem> {
    Query::parse(&uri, &[])?;
    let config = serde_json::to_value(api.storage().config())
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    let Value::Object(mut sections) = config else {
        return Err(Error::new(ErrorKind::Internal, "the configuration is not a table").into());
    };
    sections.extend(api.sections().clone());
    Ok(Json(Value::Object(sections)))
}

/// Read the configuration anew
#[utoipa::path(post, path = "/v1/config/reload", tag = "control",
    responses((status = 501, description = "Not possible yet")))]
pub(crate) async fn reload() -> Problem {
    let detail = "the configuration cannot be reloaded while the process runs";
    Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported", "Not possible yet", detail)
        .hint("restart the process")
}
