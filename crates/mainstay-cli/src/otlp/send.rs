//! The queue's other end: batches, one request each, and what is said when the collector does not take them.
//! It must not keep what could not be sent: the newest spans tell more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::Method;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{encode::Resource, span::Finished};
use crate::{
    client::{Call, Client},
    exit::Failure,
};

/// Spans in one request.
const BATCH_MAX: usize = 512;
/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);

/// Where OTLP takes traces, behind the endpoint.
const PATH: &str = "/v1/traces";

/// Sends spans.
pub(super) struct Sender {
    client: Client,
    resource: Resource,
    finished: mpsc::Receiver<Finished>,
    dropped: Arc<AtomicU64>,
    failing: bool,
}

impl Sender {
    pub(super) fn new(
        client: Client,
        resource: Resource,
        finished: mpsc::Receiver<Finished>,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        Self { client, resource, finished, dropped, failing: false }
    }

    /// Spans that could not be sent, or had no place in the queue.
    pub(super) fn dropped(&self) -> &Arc<AtomicU64> {
        &self.dropped
    }

    /// Sends until it is to stop, and then what waits.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        while self.gather(&mut batch, &stop).await {
            let sent = self.send(&batch).await;
            self.note(sent, batch.len());
            batch.clear();
        }
    }

    /// The next batch; false when there is none and there will be none.
    async fn gather(&mut self, batch: &mut Vec<Finished>, stop: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            _ = self.finished.recv_many(batch, BATCH_MAX) => {}
            () = stop.cancelled() => {}
        }
        let more = async {
            while batch.len() < BATCH_MAX && !batch.is_empty() {
                let room = BATCH_MAX - batch.len();
                if self.finished.recv_many(batch, room).await == 0 {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            // Being short of a whole batch is no failure.
            _ = tokio::time::timeout(LINGER, more) => {}
        }
        while batch.len() < BATCH_MAX
            && let Ok(span) = self.finished.try_recv()
        {
            batch.push(span);
        }
        !batch.is_empty()
    }

    async fn send(&self, batch: &[Finished]) -> Result<(), Failure> {
        let call = Call::new(Method::POST, PATH).json(&self.resource.document(batch))?;
        let reply = self.client.exchange(call).await?;
        match reply.status {
            status if status.is_success() => Ok(()),
            status => Err(Failure::new(format!("it answered {status}"))),
        }
    }

    /// Said once, until it is over.
    fn note(&mut self, sent: Result<(), Failure>, spans: usize) {
        match sent {
            Ok(()) if self.failing => {
                let dropped = self.dropped.load(Relaxed);
                tracing::info!(dropped, "traces: the collector takes them again");
                self.failing = false;
            }
            Ok(()) => {}
            Err(failure) => {
                self.dropped.fetch_add(u64::try_from(spans).unwrap_or(u64::MAX), Relaxed);
                if !self.failing {
                    let error = failure.message;
                    tracing::warn!(
                        error,
                        "traces: the collector does not take them; spans are dropped"
                    );
                    self.failing = true;
                }
            }
        }
    }
}
