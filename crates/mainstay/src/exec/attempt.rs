//! One operation on one node: the guarded call, and its retries on the same node.
//! It must not know other nodes.

use crate::{
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
    exec::Road,
    guard::{
        self,
        backoff::full_jitter,
        classify::{NextStep, next_step},
    },
    node::Node,
    op::Op,
    reply::Reply,
    trace,
};

/// Whether there is another backend to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// No: what another backend might have served is tried here again.
    Yes,
    /// Yes: leave quickly.
    No,
}

pub(super) async fn attempt(
    road: &Road,
    node: &Node,
    op: &Op,
    deadline: Deadline,
    last: Last,
) -> Result<Reply> {
    let error = match guard::call(node, op, deadline).await {
        Ok(reply) => return Ok(reply),
        Err(error) => error,
    };
    Box::pin(again(road, node, op, deadline, last, error)).await
}

/// After a first failure.
async fn again(
    road: &Road,
    node: &Node,
    op: &Op,
    deadline: Deadline,
    last: Last,
    first: Error,
) -> Result<Reply> {
    let mut in_doubt = false;
    let result = tries(road, node, op, deadline, last, first, &mut in_doubt).await;
    known(result, in_doubt)
}

fn known(result: Result<Reply>, in_doubt: bool) -> Result<Reply> {
    result.map_err(|error| if in_doubt { error.with_effect(Effect::Unknown) } else { error })
}

async fn tries(
    road: &Road,
    node: &Node,
    op: &Op,
    deadline: Deadline,
    last: Last,
    mut error: Error,
    in_doubt: &mut bool,
) -> Result<Reply> {
    let mut tries = 0;
    loop {
        let now = road.clock.now();
        let again = worth_retrying(&error, op, last)
            && tries < node.retry().max
            && node.try_spend_budget(now);
        if !again {
            return Err(error);
        }
        let wait =
            full_jitter(node.retry().base, node.retry().wait_max, tries, road.entropy.unit());
        if wait >= deadline.left(now) {
            return Err(error);
        }
        *in_doubt |= error.effect() == Effect::Unknown;
        tries += 1;
        trace::retry(node.name(), tries, error.kind(), wait);
        tokio::time::sleep(wait).await;
        error = match guard::call(node, op, deadline).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
    }
}

/// A conflict is retried where it happened. What would go to the next backend is tried here again when there is none
/// and the connection was at fault: a pool may hold connections that died with the server.
fn worth_retrying(error: &Error, op: &Op, last: Last) -> bool {
    match next_step(error.kind(), error.effect(), op.class()) {
        NextStep::RetrySame => true,
        NextStep::NextBackend => last == Last::Yes && error.kind() == ErrorKind::Disconnected,
        NextStep::Return | NextStep::Stop => false,
    }
}
