//! Spans of operations and of the calls that they make, and what happens inside, for whoever records traces: their names
//! and fields, by OpenTelemetry's conventions for database clients.
//! It must not know who records them. No key, value, query or text of an error is in a field.

mod events;
mod parent;
mod peer;
mod scope;
mod share;
#[cfg(test)]
mod tests;

use futures_util::future::{BoxFuture, Either};
use tracing::{Level, Span, field::Empty, level_filters::LevelFilter};

use self::scope::is_traced;
pub(crate) use self::{events::*, peer::Peer, share::Share};
pub use self::{parent::TraceParent, scope::Traced};
use crate::{
    entry::Worth,
    error::{Effect, Error, ErrorKind, Result},
    op::Op,
    reply::Reply,
};

/// The target of all spans and events of traces, which are of level `DEBUG`. While no subscriber wants them, and in an
/// operation that is not traced, each costs a look at a flag.
pub const TARGET: &str = "mainstay::trace";

/// The span of an operation, if it is one of the `share` or belongs to somebody's trace, and somebody wants it: the only
/// one that begins a trace by itself.
pub(crate) fn operation(share: &Share, name: &'static str, op: Option<&Op>) -> Option<Span> {
    if LevelFilter::current() < Level::DEBUG || !(is_traced() || share.take()) {
        return None;
    }
    let span = tracing::debug_span!(
        target: TARGET,
        "operation",
        otel.name = name,
        otel.kind = "internal",
        otel.status_code = Empty,
        db.operation.name = name,
        db.operation.batch.size = Empty,
        mainstay.route = Empty,
        mainstay.source = Empty,
        mainstay.worth = Empty,
        mainstay.stale = Empty,
        mainstay.outcome = Empty,
        mainstay.effect = Empty,
        "error.type" = Empty,
    );
    if span.is_disabled() {
        return None;
    }
    let mut keys = 0u64;
    if let Some(op) = op {
        op.for_each_key(|_| keys += 1);
    }
    if keys > 1 {
        span.record("db.operation.batch.size", keys);
    }
    Some(span)
}

/// What an answer says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) source: &'a str,
    pub(crate) worth: Worth,
    pub(crate) stale: bool,
}

/// Notes how an operation ended; `route` is the label of the one that all its keys take.
pub(crate) fn ended(
    span: &Span,
    route: Option<&str>,
    result: std::result::Result<Answered<'_>, &Error>,
) {
    if let Some(route) = route {
        span.record("mainstay.route", route);
    }
    match result {
        Ok(Answered { source, worth, stale }) => {
            span.record("mainstay.source", source);
            span.record("mainstay.worth", worth.as_str());
            span.record("mainstay.stale", stale);
            span.record("mainstay.outcome", if stale { "stale" } else { "success" });
        }
        Err(error) => {
            if !error.kind().is_callers() {
                span.record("otel.status_code", "ERROR");
            }
            failed(span, "failure", error);
        }
    }
}

/// The span of a call to a backend, within an operation that is traced.
pub(crate) fn call(backend: &str, peer: &Peer, op: &Op) -> Option<Span> {
    if !is_traced() {
        return None;
    }
    let name = op.name();
    let span = tracing::debug_span!(
        target: TARGET,
        "call",
        otel.name = peer.span_name(name),
        otel.kind = peer.span_kind(),
        otel.status_code = Empty,
        db.system.name = peer.system(),
        db.operation.name = name,
        db.namespace = peer.namespace(),
        server.address = peer.address(),
        server.port = peer.port(),
        mainstay.backend = backend,
        mainstay.outcome = Empty,
        mainstay.effect = Empty,
        "error.type" = Empty,
    );
    (!span.is_disabled()).then_some(span)
}

/// The same call within its span. Boxed: the ordinary road, which has no span, keeps its size.
pub(crate) fn within<'a>(
    span: Span,
    call: impl Future<Output = Result<Reply>> + Send + 'a,
) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move {
        let result = Traced::new(span.clone(), call).await;
        match &result {
            Ok(_) => drop(span.record("mainstay.outcome", "success")),
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                failed(&span, outcome(error.kind()), error);
            }
        }
        result
    })
}

/// Work behind an operation that goes on in a task of its own.
pub(crate) fn behind<F: Future>(name: &'static str, work: F) -> Either<F, Traced<F>> {
    if !is_traced() {
        return Either::Left(work);
    }
    let span = tracing::debug_span!(
        target: TARGET,
        "behind",
        otel.name = name,
        otel.kind = "internal",
    );
    if span.is_disabled() { Either::Left(work) } else { Either::Right(Traced::new(span, work)) }
}

fn failed(span: &Span, outcome: &str, error: &Error) {
    span.record("mainstay.outcome", outcome);
    if error.effect() == Effect::Unknown {
        span.record("mainstay.effect", "unknown");
    }
    span.record("error.type", error.kind().as_str());
}

/// Whether the backend was asked at all.
fn outcome(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BreakerOpen | ErrorKind::Shed | ErrorKind::OutOfUse => "refused",
        _ => "failure",
    }
}
