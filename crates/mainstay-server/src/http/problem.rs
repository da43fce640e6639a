//! Errors as `application/problem+json` (RFC 9457), and the one table from error kind to status and hint.
//! It must not know which handler failed.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use mainstay::{Effect, Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::limits::Limit;

/// The media type.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// An error, as every path of this API answers it.
#[derive(Debug)]
pub(crate) struct Problem(Box<ProblemBody>, Option<Limit>);

/// The members of a problem document.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// `urn:mainstay:error:` and a word that does not change.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem, for people.
    title: Cow<'static, str>,
    /// The HTTP status.
    status: u16,
    /// What happened this time, for people.
    detail: String,
    /// The backend it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    /// Why, in a word for programs: `cache_unavailable` or `database_saturated` for a load that was shed,
    /// `role` or `prefix` for what the user may not do.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// When it is worth trying again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// What to do about it, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<Cow<'static, str>>,
    /// `none`: a write was certainly not applied. `unknown`: it may have been.
    effect: &'static str,
    /// For `unavailable`: the reason of each backend; for `invalid_configuration`: each problem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Cause>,
}

/// Why one backend did not serve.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Cause {
    /// The backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    /// The kind of error.
    kind: &'static str,
    /// The backend's text.
    detail: String,
}

impl Problem {
    /// A problem that does not come from the storage.
    pub(crate) fn new(
        status: StatusCode,
        word: &str,
        title: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let retry = retries(status);
        let body = Box::new(ProblemBody {
            kind: format!("urn:mainstay:error:{word}"),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            backend: None,
            reason: None,
            retry_after_ms: retry.then_some(1000),
            hint: None,
            effect: "none",
            causes: Vec::new(),
        });
        Self(body, None)
    }

    /// An argument that is wrong; `detail` says which and what is right.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", "Invalid argument", detail)
    }

    /// A condition that did not hold.
    pub(crate) fn precondition_failed(detail: impl Into<String>) -> Self {
        let title = "The condition does not hold";
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", title, detail)
            .hint("read the key for its present ETag and decide anew")
    }

    /// A key that is not there.
    pub(crate) fn no_such_key() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_such_key", "No such key", "there is no such key")
    }

    /// Why, in a word for programs.
    #[must_use]
    pub(crate) fn because(mut self, reason: &'static str) -> Self {
        self.0.reason = Some(reason);
        self
    }

    /// What to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The limit of this door that refused: counted when the answer goes out.
    #[must_use]
    pub(crate) fn over(mut self, limit: Limit) -> Self {
        self.1 = Some(limit);
        self
    }

    /// Everything that is wrong, one line each.
    #[must_use]
    pub(crate) fn causes(mut self, kind: &'static str, details: &[String]) -> Self {
        let cause = |detail: &String| Cause { backend: None, kind, detail: detail.clone() };
        self.0.causes = details.iter().map(cause).collect();
        self
    }

    /// When it is worth trying again.
    #[must_use]
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after_ms = Some(millis(after));
        self
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The document, for a batch's item.
    pub(crate) fn into_body(self) -> ProblemBody {
        *self.0
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, title, hint) = row(error.kind());
        let mut problem =
            Self::new(status, error.kind().as_str(), title, error.to_string()).hint(hint);
        problem.0.backend = error.backend().map(ToString::to_string);
        problem.0.reason = error.reason();
        problem.0.effect = effect_word(error.effect());
        problem.0.causes = error.causes().iter().map(Cause::from).collect();
        if let Some(after) = error.retry_hint() {
            problem.0.retry_after_ms = Some(millis(after));
        }
        problem
    }
}

impl From<&Error> for Cause {
    fn from(error: &Error) -> Self {
        Self {
            backend: error.backend().map(ToString::to_string),
            kind: error.kind().as_str(),
            detail: error.message().to_owned(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let (retry_after_ms, limit) = (self.0.retry_after_ms, self.1);
        let mut response = (status, Json(*self.0)).into_response();
        if let Some(limit) = limit {
            response.extensions_mut().insert(limit);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if retries(status) || retry_after_ms.is_some() {
            let seconds = retry_after_ms.unwrap_or(0).div_ceil(1000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"mainstay\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Statuses that say when to come again.
fn retries(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

/// Status, title and hint of a kind, for the reference.
pub(crate) fn reference_row(kind: ErrorKind) -> (u16, &'static str, &'static str) {
    let (status, title, hint) = row(kind);
    (status.as_u16(), title, hint)
}

/// Kind → status, title, hint.
#[expect(clippy::too_many_lines, reason = "one table, one row a kind")]
fn row(kind: ErrorKind) -> (StatusCode, &'static str, &'static str) {
    use ErrorKind::*;
    const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    match kind {
        InvalidArgument => {
            (StatusCode::BAD_REQUEST, "Invalid argument", "the detail names what is right")
        }
        WrongType => (
            StatusCode::CONFLICT,
            "The key holds another type",
            "another program wrote this key as a list, hash or set; choose another key",
        ),
        NotInteger => {
            (StatusCode::CONFLICT, "Not an integer", "only a 64-bit decimal can be incremented")
        }
        NotFloat => {
            (StatusCode::CONFLICT, "Not a float", "only a finite number can be incremented")
        }
        Overflow => {
            (StatusCode::CONFLICT, "Overflow", "the sum leaves the range of a 64-bit integer")
        }
        TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "Too large",
            "store less, or raise limits.value_max; keys are at most 2048 bytes",
        ),
        NoSuchKey => (StatusCode::NOT_FOUND, "No such key", "write the key first"),
        Fenced => (
            StatusCode::CONFLICT,
            "The lock is lost",
            "stop: another may hold it; acquire it again, and begin with what is there now",
        ),
        Unsupported => (
            StatusCode::NOT_IMPLEMENTED,
            "No backend of this route can do this",
            "conditions on a version need a backend that keeps versions (memory or SQL); \
             If-None-Match: * works everywhere",
        ),
        Disconnected => (UNAVAILABLE, "The backend cannot be reached", "it is being reconnected"),
        Timeout => (
            StatusCode::GATEWAY_TIMEOUT,
            "The backend did not answer in time",
            "see /v1/status; when effect is unknown, read before writing again",
        ),
        NotReady => (UNAVAILABLE, "The backend is not ready", "it is starting or recovering"),
        WrongNode => (
            UNAVAILABLE,
            "A replica or a read-only server answered",
            "a failover may be under way; if not, point the URL at the primary",
        ),
        Overloaded => (UNAVAILABLE, "The backend is overloaded", "send less, or give it more room"),
        StorageFull => (
            UNAVAILABLE,
            "The backend has no room for another write",
            "give it more memory or disk; reads and deletes go on",
        ),
        Conflict => (UNAVAILABLE, "The backend was busy", "nothing was applied: try again"),
        Forbidden => (
            UNAVAILABLE,
            "The backend refuses our credentials",
            "a person has to correct the user, the password or the grants",
        ),
        Misconfigured => (
            UNAVAILABLE,
            "The backend is misconfigured",
            "a person has to correct what the detail names",
        ),
        Corrupt => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The stored data cannot be read",
            "write the key anew, or restore it",
        ),
        BreakerOpen => (
            UNAVAILABLE,
            "The breaker refuses calls to this backend",
            "it probes by itself; retry_after_ms says when",
        ),
        Shed => (
            UNAVAILABLE,
            "Too many requests to this backend",
            "send less, or raise the backend's inflight_max",
        ),
        OutOfUse => (
            UNAVAILABLE,
            "The backend is out of use",
            "an operator drained it (DELETE /v1/backends/{b}/drain ends that), or it has not \
             connected yet",
        ),
        Unavailable => (
            UNAVAILABLE,
            "No backend could serve this",
            "the detail says why; GET /v1/status says when it will be tried again",
        ),
        DeadlineExceeded => (
            StatusCode::GATEWAY_TIMEOUT,
            "The deadline passed",
            "raise X-Mainstay-Timeout; when effect is unknown, read before writing again",
        ),
        LoadFailed => {
            (StatusCode::BAD_GATEWAY, "The loader failed", "the detail is the loader's own error")
        }
        Closed => (UNAVAILABLE, "The storage is closed", "the process is stopping"),
        Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "A defect of Mainstay",
            "please report it with the detail",
        ),
    }
}

fn effect_word(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "none",
        Effect::Unknown => "unknown",
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "because")
    }

    #[test]
    fn every_503_says_when_to_come_back() {
        let response = Problem::from(error(ErrorKind::Disconnected)).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let later = error(ErrorKind::BreakerOpen).retry_after(Duration::from_millis(4200));
        let response = Problem::from(later).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn whatever_knows_when_to_come_back_says_so() {
        let held =
            Problem::new(StatusCode::CONFLICT, "lock_held", "The lock is held", "by another");
        let without = held.into_response();
        assert!(!without.headers().contains_key(header::RETRY_AFTER));
        let held =
            Problem::new(StatusCode::CONFLICT, "lock_held", "The lock is held", "by another");
        let response = held.retry_after(Duration::from_millis(1200)).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn a_problem_names_backend_effect_and_causes() {
        let cause = error(ErrorKind::Timeout).at(&Arc::from("redis")).with_effect(Effect::Unknown);
        let body = Problem::from(Error::unavailable(vec![cause])).into_body();
        let json = serde_json::to_value(body).unwrap();
        assert_eq!(json["type"], "urn:mainstay:error:unavailable");
        assert_eq!(json["status"], 503);
        assert_eq!(json["backend"], "redis");
        assert_eq!(json["effect"], "unknown");
        assert_eq!(json["retry_after_ms"], 1000);
        assert_eq!(json["causes"][0]["kind"], "timeout");
    }

    #[test]
    fn the_callers_own_errors_are_never_5xx_but_unsupported() {
        for kind in [
            ErrorKind::InvalidArgument,
            ErrorKind::WrongType,
            ErrorKind::NotInteger,
            ErrorKind::NotFloat,
            ErrorKind::Overflow,
            ErrorKind::TooLarge,
            ErrorKind::NoSuchKey,
            ErrorKind::Fenced,
        ] {
            assert!(row(kind).0.is_client_error(), "{kind:?}");
        }
        assert_eq!(row(ErrorKind::Unsupported).0, StatusCode::NOT_IMPLEMENTED);
    }
}
