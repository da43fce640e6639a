//! Reads a request's body within a size and a deadline, and JSON out of it.
//! It must not trust a declared length: memory grows only with what has arrived.

use std::{fmt, marker::PhantomData};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use mainstay::Deadline;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{bodies::Full, problem::Problem};
use crate::limits::Limit;

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
            .over(Limit::HttpBodyTimeout)
    };
    tokio::time::timeout_at(deadline.instant(), collect(body, max)).await.map_err(timed_out)?
}

async fn collect(body: Body, max: u64) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| broken(&error))?;
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
    let read = serde_json::from_slice::<Object<T>>(&bytes);
    let refused = |error| Problem::bad_request(format!("body: {error}"));
    read.map(|Object(read)| read).map_err(refused)
}

/// A JSON object: a struct of serde's would be read from an array too, by the order of its members.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

fn broken(error: &axum::Error) -> Problem {
    if !Full::is_cause_of(error) {
        return Problem::bad_request(format!("the body broke off: {error}"));
    }
    Full.problem()
}

fn too_large(max: u64) -> Problem {
    let detail = format!("the body is longer than {max} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Too large", detail)
        .hint("send less, or raise limits.value_max; a control request has 16 KiB at most")
        .over(Limit::HttpBody)
}
