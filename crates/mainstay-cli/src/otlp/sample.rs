//! Which spans are traced: those that begin a trace, and what belongs to one. The storage offers a share of its operations.
//! It must not know what becomes of a span.

use mainstay::trace::TARGET;
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::span::Live;

/// The only span that begins a trace by itself.
const ROOT: &str = "operation";
/// The span that goes on with the caller's trace; the caller has decided.
const JOINS: &str = "request";

/// What is traced.
pub(super) struct Sample;

impl<S> Filter<S> for Sample
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn enabled(&self, meta: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        if meta.target() != TARGET {
            return false;
        }
        match context.lookup_current() {
            Some(span) => span.extensions().get::<Live>().is_some_and(Live::is_sampled),
            None => [ROOT, JOINS].contains(&meta.name()),
        }
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        if meta.target() == TARGET { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}
