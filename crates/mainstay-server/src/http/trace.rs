//! A request that brings a trace goes on with it: what it does is part of the caller's.
//! It must not know who records traces, nor put a path into a span: keys stand in it.

use axum::{extract::Request, middleware::Next, response::Response};
use mainstay::trace::{TARGET, TraceParent, Traced};
use tracing::field::Empty;

/// Runs the request within the span that it names, if somebody records it.
pub(crate) async fn join(request: Request, next: Next) -> Response {
    let header = request.headers().get(TraceParent::HEADER);
    let known = |header: &&str| TraceParent::parse(header).is_some();
    let Some(parent) = header.and_then(|header| header.to_str().ok()).filter(known) else {
        return next.run(request).await;
    };
    let span = tracing::debug_span!(
        target: TARGET,
        "request",
        otel.name = request.method().as_str(),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = request.method().as_str(),
        http.response.status_code = Empty,
        mainstay.traceparent = parent,
    );
    if span.is_disabled() {
        return next.run(request).await;
    }
    let response = Traced::new(span.clone(), next.run(request)).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}
