//! A connection over the limit: one request is answered, and that only where state or control is asked for.
//! It must not stay long, nor know what a path does.
//!
//! So an operator, a probe and a scraper get their answer while clients take every ordinary place.

use std::time::Duration;

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::problem::Problem;
use crate::{
    admission::{Admission, NoPlace},
    limits::Limit,
};

/// How long such a connection may take for its head.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(1);

/// How long it may take in all.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Paths that are answered, and what stands below them.
const ANSWERED: [&str; 9] = [
    "/livez",
    "/readyz",
    "/v1/status",
    "/status.txt",
    "/metrics",
    "/api/health/storage",
    "/v1/backends",
    "/v1/clients",
    "/v1/config",
];

/// So many of them at once, and of those a quarter from one address: whoever takes all ordinary places leaves some of
/// these to the operator.
pub(super) fn places(max: usize) -> Admission {
    Admission::of_connections(max, Some(share(max)))
}

/// The same from now on.
pub(super) fn set_places(places: &Admission, max: usize) {
    places.set_max(max);
    places.set_per_address(Some(share(max)));
}

fn share(max: usize) -> usize {
    max.div_ceil(4)
}

/// What such a connection is given in place of everything.
pub(super) fn router(router: Router, why: NoPlace) -> Router {
    router.layer(middleware::from_fn(move |request: Request, next: Next| async move {
        if is_answered(request.uri().path()) { next.run(request).await } else { refused(why) }
    }))
}

/// The limit that such a connection is over.
pub(super) fn limit(why: NoPlace) -> Limit {
    match why {
        NoPlace::Full => Limit::HttpConnections,
        NoPlace::Address => Limit::HttpPerAddress,
    }
}

fn is_answered(path: &str) -> bool {
    ANSWERED.iter().any(|answered| {
        path.strip_prefix(answered).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn refused(why: NoPlace) -> Response {
    let (status, title, hint) = match why {
        NoPlace::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many connections",
            "reuse connections, or raise http.connections_max",
        ),
        NoPlace::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many connections of this address",
            "reuse connections, or raise http.connections_per_address",
        ),
    };
    let detail = "too many connections: on this one only state and control are answered, once";
    Problem::new(status, "overloaded", title, detail).hint(hint).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_control_are_answered_and_data_and_streams_are_not() {
        for path in ["/livez", "/readyz", "/v1/status", "/v1/backends/redis/breaker", "/metrics"] {
            assert!(is_answered(path), "{path}");
        }
        for path in ["/", "/v1/kv/livez", "/v1/batch", "/v1/events", "/v1/statuses", "/livezz"] {
            assert!(!is_answered(path), "{path}");
        }
    }
}
