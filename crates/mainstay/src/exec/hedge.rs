//! How long a read waits for a backend before another one is asked as well.
//! It must not know what is read.

use std::{future::Future, pin::Pin};

use super::Road;
use crate::node::Node;

/// The outcome, unless it is late: later than the 99th percentile of late with budget left, or later than patience.
/// Not `allowed`: waits to the end.
pub(super) async fn unless_late<F: Future>(
    road: &Road,
    node: &Node,
    allowed: bool,
    asked: Pin<&mut F>,
) -> Option<F::Output> {
    if !allowed || !node.hedge().enabled {
        return Some(asked.await);
    }
    let late = async {
        let after = node.hedge_after();
        tokio::time::sleep(after).await;
        if !node.try_spend_budget(road.clock.now()) {
            tokio::time::sleep(node.hedge().patience.saturating_sub(after)).await;
        }
    };
    tokio::select! {
        biased;
        outcome = asked => Some(outcome),
        () = late => None,
    }
}
