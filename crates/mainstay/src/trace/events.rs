//! What happens inside an operation or a call, as events of its span.
//! It must not decide anything.

macro_rules! happened {
    ($($what:tt)+) => {
        if is_traced() {
            tracing::debug!(target: TARGET, $($what)+);
        }
    };
}

use std::time::Duration;

use super::{TARGET, scope::is_traced};
use crate::error::{Error, ErrorKind};

/// A backend was not asked, or not let in: breaker open, shed, out of use.
pub(crate) fn refused(error: &Error) {
    let retry_in_ms = || error.retry_hint().map(millis);
    happened!({ "error.type" = error.kind().as_str(), mainstay.retry_in_ms = retry_in_ms() }, "refused");
}

/// The plan passed by a backend that normally serves.
pub(crate) fn passed_by(backend: &str, reason: ErrorKind) {
    happened!({ mainstay.backend = backend, "error.type" = reason.as_str() }, "passed_by");
}

/// What a look into a cache came to: `hit`, `miss`, `withheld` (not to be believed now), `failed`.
pub(crate) fn copy(backend: &str, outcome: &'static str) {
    happened!({ mainstay.backend = backend, mainstay.outcome = outcome }, "copy");
}

/// The same call again, on the same backend.
pub(crate) fn retry(backend: &str, attempt: u32, reason: ErrorKind, wait: Duration) {
    happened!({ mainstay.backend = backend, mainstay.attempt = attempt, mainstay.wait_ms = millis(wait), "error.type" = reason.as_str() }, "retry");
}

/// A backend is late, and the next is asked as well.
pub(crate) fn hedge(backend: &str) {
    happened!({ mainstay.backend = backend }, "hedge");
}

/// Copies are put into a cache behind the reader.
pub(crate) fn fill(backend: &str, copies: usize) {
    happened!({ mainstay.backend = backend, mainstay.copies = copies }, "fill");
}

/// Something less is served: `stale` copies, the route's `default`.
pub(crate) fn degraded(what: &'static str, reason: ErrorKind) {
    happened!({ mainstay.outcome = what, "error.type" = reason.as_str() }, "degraded");
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
