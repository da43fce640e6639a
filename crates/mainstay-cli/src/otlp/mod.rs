//! Traces of operations, on their way to a collector that speaks OTLP: the layer that sees spans, the queue, the sending.
//! It must not know what the spans are of, and never holds up who makes them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use mainstay::{Clock, Entropy, Tasks};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{Layer, Registry};

use crate::{client::Client, config::TracesConfig, exit::Failure};

mod encode;
mod layer;
mod sample;
mod send;
mod span;

use self::{encode::Resource, layer::Spans, sample::Sample, send::Sender};

/// Spans that wait to be sent; more are dropped, and counted.
const QUEUE_MAX: usize = 4096;
/// How long the collector has for one batch.
const SEND_MAX: Duration = Duration::from_secs(5);
/// How long the last batches have at the end.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// Traces whose sending has not begun.
pub(crate) struct Traces(Sender);

/// Traces that are being sent.
pub(crate) struct Sending {
    tasks: Tasks,
    stop: CancellationToken,
    dropped: Arc<AtomicU64>,
}

impl Traces {
    /// What sees the spans, and what sends them; `None` without an endpoint.
    pub(crate) fn new(
        config: &TracesConfig,
    ) -> Result<Option<(impl Layer<Registry> + Send + Sync + use<>, Self)>, Failure> {
        let Some(collector) = config.collector().map_err(Failure::new)? else { return Ok(None) };
        let (queue, finished) = mpsc::channel(QUEUE_MAX);
        let (entropy, dropped) = (Entropy::system(), Arc::new(AtomicU64::new(0)));
        let resource = Resource::new(&config.service, &entropy);
        let spans = Spans::new(Clock::system(), entropy, queue, Arc::clone(&dropped));
        let client = Client::at(collector, SEND_MAX);
        Ok(Some((
            spans.with_filter(Sample),
            Self(Sender::new(client, resource, finished, dropped)),
        )))
    }

    /// Sends from now on, within a runtime.
    pub(crate) fn start(self) -> Sending {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let dropped = Arc::clone(self.0.dropped());
        tasks.spawn_to_end(self.0.run(stop.clone()));
        Sending { tasks, stop, dropped }
    }
}

impl Sending {
    /// Sends what waits, for `FINISH_MAX` at most.
    pub(crate) async fn finish(self) {
        self.stop.cancel();
        let sent = self.tasks.close(FINISH_MAX).await;
        let dropped = self.dropped.load(Relaxed);
        if !sent || dropped > 0 {
            tracing::warn!(dropped, sent, "traces: not all spans were sent");
        }
    }
}

#[cfg(test)]
mod tests;
