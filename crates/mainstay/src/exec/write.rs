//! Writes of a record route: to the record, guarded where a cache stands before it, or to the journal.
//! It must not know how copies are protected (`guarded`), nor put values into caches by itself.

use std::sync::Arc;

use super::{Road, Served, guarded, journal};
use crate::{
    backend::semantics::keys_of,
    clock::Deadline,
    entry::{Ack, Worth},
    error::{Effect, Error, ErrorKind, Result},
    guard::{self, backoff::full_jitter, classify::NextStep, classify::next_step},
    node::Node,
    op::{Op, OpClass},
    reply::Reply,
    route::{NodeId, Route},
};

pub(super) async fn commit(
    road: &Arc<Road>,
    route: &Arc<Route>,
    record: NodeId,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let keys = keys_of(op);
    // Dropped before the acknowledgement: what others read meanwhile is not kept.
    let _writing = road.l1.of_route(route).map(|l1| l1.writing(&keys));
    let committed = match &road.backlog {
        Some(backlog) => journal::commit(road, backlog, route, record, op, deadline).await,
        None => direct(road, route, record, op, deadline).await.map(|reply| (reply, Ack::Durable)),
    };
    match committed {
        Ok((reply, ack)) => {
            let node = Some(record).filter(|_| ack == Ack::Durable);
            Ok(Served { worth: Worth::Write(ack), node, ..Served::by(record, reply) })
        }
        Err(error) if error.kind().is_callers() || error.kind() == ErrorKind::Unavailable => {
            Err(error)
        }
        Err(error) => Err(road.unavailable(route, vec![error], op.class())),
    }
}

/// Writes to the record and nowhere else. Errors are the record's own.
pub(super) async fn direct(
    road: &Arc<Road>,
    route: &Route,
    record: NodeId,
    op: &Op,
    deadline: Deadline,
) -> Result<Reply> {
    match road.domain(route) {
        Some(domain) => Box::pin(guarded::commit(road, route, domain, op, deadline)).await,
        None => send(road, &road.nodes[record], op, deadline).await,
    }
}

/// Sends a write, again only when it was certainly not applied: one whose outcome is unknown may still be committed, and
/// a second one of it after others would undo theirs.
pub(super) async fn send(road: &Road, node: &Node, op: &Op, deadline: Deadline) -> Result<Reply> {
    let mut tries = 0;
    loop {
        let error = match guard::call(node, op, deadline).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let now = road.clock.now();
        let again =
            worth_repeating(&error) && tries < node.retry().max && node.try_spend_budget(now);
        let wait =
            full_jitter(node.retry().base, node.retry().wait_max, tries, road.entropy.unit());
        if !again || wait >= deadline.left(now) {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        tries += 1;
    }
}

fn worth_repeating(error: &Error) -> bool {
    let step = next_step(error.kind(), error.effect(), OpClass::Strict);
    // A pool may hold connections that died with the server.
    error.effect() == Effect::None
        && (step == NextStep::RetrySame || error.kind() == ErrorKind::Disconnected)
}
