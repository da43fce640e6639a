//! Reads a request's body within a size and a deadline, and JSON out of it.
//! It must not trust a declared length: memory grows only with what has arrived.

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use mainstay::Deadline;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The longest JSON document of a control request.
pub(crate) const CONTROL_MAX: u64 = 16 << 10;

/// The whole body.
///
/// # Errors
/// 413 over `max` bytes, 408 when it has not arrived by the deadline, 400 when the client breaks off.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    max: u64,
    deadline: Deadline,
) -> Result<Bytes, Problem> {
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > max) {
        return Err(too_large(max));
    }
    let timed_out = |_| {
        let detail = "the body had not arrived by the deadline";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "Request timeout", detail)
            .hint("raise X-Mainstay-Timeout")
    };
    tokio::time::timeout_at(deadline.instant(), collect(body, max)).await.map_err(timed_out)?
}

async fn collect(body: Body, max: u64) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|error| Problem::bad_request(format!("the body broke off: {error}")))?;
        if (whole.len() as u64).saturating_add(chunk.len() as u64) > max {
            return Err(too_large(max));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The body as JSON.
///
/// # Errors
/// As `read`; 400 when it is not the JSON that is due, with line and column.
pub(crate) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    max: u64,
    deadline: Deadline,
) -> Result<T, Problem> {
    let bytes = read(headers, body, max, deadline).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(format!("body: {error}")))
}

fn too_large(max: u64) -> Problem {
    let detail = format!("the body is longer than {max} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Too large", detail)
}
