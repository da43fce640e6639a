//! Sees spans begin, change and end, and puts those that have ended into the queue.
//! It must not wait, nor decide which spans there are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use mainstay::{Clock, Entropy};
use tokio::sync::mpsc;
use tracing::{
    Event, Subscriber,
    span::{Attributes as Given, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::span::{Anchor, Attributes, Finished, Live, Place};

/// The spans under way.
pub(super) struct Spans {
    clock: Clock,
    entropy: Entropy,
    queue: mpsc::Sender<Finished>,
    dropped: Arc<AtomicU64>,
}

impl Spans {
    pub(super) fn new(
        clock: Clock,
        entropy: Entropy,
        queue: mpsc::Sender<Finished>,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        Self { clock, entropy, queue, dropped }
    }

    /// A span of the trace that the one around it belongs to; of the caller's; or of a new one.
    fn begin<'a, S: LookupSpan<'a>>(
        &self,
        around: Option<&SpanRef<'a, S>>,
        attributes: Attributes,
    ) -> Live {
        let now = self.clock.now();
        let extensions = around.map(SpanRef::extensions);
        let around = extensions.as_ref().and_then(|extensions| extensions.get::<Live>());
        let anchor = around.map_or_else(|| Anchor::new(&self.clock), |around| around.anchor);
        // An identity of zero is none.
        let span = u64::try_from(self.entropy.nonce() >> 64).unwrap_or(0).max(1);
        let (trace, parent, sampled) = match (around, attributes.joins) {
            (Some(around), _) => (around.place.trace, Some(around.place.span), around.is_sampled()),
            (None, Some(joins)) => (joins.trace, Some(joins.span), joins.sampled),
            (None, None) => (self.entropy.nonce().max(1), None, true),
        };
        Live::new(Place { trace, span, parent }, anchor, sampled, now, attributes)
    }
}

impl<S> Layer<S> for Spans
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, given: &Given<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut attributes = Attributes::default();
        given.record(&mut attributes);
        let live = self.begin(span.parent().as_ref(), attributes);
        span.extensions_mut().insert(live);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(live) = span.extensions_mut().get_mut::<Live>() {
            values.record(&mut live.attributes);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else { return };
        let mut what = Attributes::default();
        event.record(&mut what);
        let now = self.clock.now();
        if let Some(live) = span.extensions_mut().get_mut::<Live>() {
            live.happened(now, what);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(live) = span.extensions_mut().get_mut::<Live>() {
            live.left = Some(self.clock.now());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let live = span.extensions_mut().remove::<Live>();
        if let Some(live) = live.filter(Live::is_sampled)
            && self.queue.try_send(live.finish(self.clock.now())).is_err()
        {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}
