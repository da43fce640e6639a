//! What a node needs now and then: expired records go.
//! It must not know whether the backend is well, beyond whether calls pass.

use std::{sync::Arc, time::Duration};

use super::supervisor;
use crate::{guard::backoff, node::Node};

/// How often expired records are removed, ±10 %.
const PURGE_INTERVAL: Duration = Duration::from_secs(5);
/// How many at once: a statement that stays short.
const PURGE_BATCH: usize = 500;
/// How many batches in one round: what expires faster than this waits, invisible to readers.
const PURGE_BATCHES: usize = 20;
/// Time for one batch.
const PURGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Purges while the node takes calls. Never ends.
pub(crate) async fn keep_tidy(node: Arc<Node>) {
    loop {
        pause(&node).await;
        purge(&node).await;
    }
}

/// For a backend of this process, which needs no supervisor: connects it once, purges, and readmits after a drain.
pub(crate) async fn keep_local(node: Arc<Node>) {
    let deadline = node.clock().deadline_in(node.timing().connect_timeout);
    if let Err(error) = node.backend().connect(deadline).await {
        node.guard().note_failure(&error);
    }
    node.end_first_attempt();
    loop {
        if !node.is_drained() {
            supervisor::readmit(&node).await;
        }
        tokio::select! {
            () = pause(&node) => purge(&node).await,
            _ = node.guard().wake().wanted() => {}
        }
    }
}

async fn pause(node: &Node) {
    tokio::time::sleep(backoff::spread(PURGE_INTERVAL, 0.1, node.entropy().unit())).await;
}

/// One round. Stops early when there is no more, when the bulkhead is full (callers come first), or on an error: the
/// next round and the probes will tell.
async fn purge(node: &Node) {
    for _ in 0..PURGE_BATCHES {
        let now = node.clock().now();
        let Some(_place) = node.guard().bulkhead().try_enter() else { return };
        if node.admit().is_err() || node.guard().refused(now).is_some() {
            return;
        }
        let deadline = node.clock().deadline_in(PURGE_TIMEOUT);
        let purged = node.backend().purge(PURGE_BATCH, deadline);
        match tokio::time::timeout_at(deadline.instant(), purged).await {
            Ok(Ok(removed)) if removed >= PURGE_BATCH => {}
            Ok(Ok(_)) | Err(_) => return,
            Ok(Err(error)) => {
                tracing::debug!(target: "mainstay", backend = &**node.name(), %error, "purge");
                return;
            }
        }
    }
}
