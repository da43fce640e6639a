//! Failover routes: one backend after the other, until one has answered.
//! It must not choose the order.

use std::sync::Arc;

use super::{
    Road, Served,
    attempt::{Last, attempt},
    hedge, prepare,
};
use crate::{
    clock::Deadline,
    error::{Effect, Error, Result},
    guard::classify::{NextStep, next_step},
    op::{Op, OpClass},
    reply::Reply,
    route::{NodeId, Route},
    status::Availability,
};

pub(super) async fn in_turn(
    road: &Arc<Road>,
    route: &Arc<Route>,
    candidates: &[NodeId],
    absent_goes_on: bool,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let mut causes: Vec<Error> = Vec::new();
    let mut absent: Option<Served> = None;
    for (position, id) in candidates.iter().enumerate() {
        let last = if position + 1 == candidates.len() { Last::Yes } else { Last::No };
        match ask(road, route, *id, op, deadline, last).await {
            Ok(served) if absent_goes_on && is_absent(&served.reply) && last == Last::No => {
                absent = absent.or(Some(served))
            }
            Ok(served) => {
                note(road, route, *id, op, causes.first());
                return Ok(served);
            }
            Err(error) if error.kind().is_callers() => return Err(error),
            Err(error) => {
                let stop = stops(&error, op);
                causes.push(error);
                if stop {
                    break;
                }
            }
        }
    }
    absent.ok_or_else(|| road.unavailable(route, causes, OpClass::Read))
}

/// A strict operation goes on only when it was certainly not applied; every other one may be repeated elsewhere.
fn stops(error: &Error, op: &Op) -> bool {
    match op.class() {
        OpClass::Read | OpClass::LastWriterWins => {
            next_step(error.kind(), error.effect(), op.class()) == NextStep::Return
        }
        OpClass::Strict => error.effect() == Effect::Unknown,
    }
}

async fn ask(
    road: &Arc<Road>,
    route: &Arc<Route>,
    id: NodeId,
    op: &Op,
    deadline: Deadline,
    last: Last,
) -> Result<Served> {
    let node = &road.nodes[id];
    let now = road.clock.now();
    if node.view(now).availability != Availability::Available {
        return Err(node.refusal(now));
    }
    let op = prepare::with_node_ttl(op, route.ttl_max[id], &road.clock);
    if op.class() != OpClass::Read || last == Last::Yes {
        return attempt(road, node, &op, deadline, last).await.map(|reply| Served::by(id, reply));
    }
    patiently(road, id, &op, deadline).await
}

/// A read does not wait for a backend longer than its patience when there is another to ask; what it asked goes on in
/// the background, so that the breaker learns of the delay.
async fn patiently(road: &Arc<Road>, id: NodeId, op: &Op, deadline: Deadline) -> Result<Served> {
    let (road_of_call, op) = (Arc::clone(road), op.clone());
    let mut asked: std::pin::Pin<Box<dyn Future<Output = Result<Reply>> + Send>> =
        Box::pin(async move {
            attempt(&road_of_call, &road_of_call.nodes[id], &op, deadline, Last::No).await
        });
    let node = &road.nodes[id];
    match hedge::unless_impatient(node, &mut asked).await {
        Some(reply) => reply.map(|reply| Served::by(id, reply)),
        None => {
            road.tasks.spawn_to_end(async move { drop(asked.await) });
            let message = format!("no answer within {} ms", node.hedge().patience.as_millis());
            Err(Error::new(crate::error::ErrorKind::Timeout, message).at(node.name()))
        }
    }
}

fn is_absent(reply: &Reply) -> bool {
    matches!(reply, Reply::Record(None))
}

/// Counts a fallback, and remembers what a lower backend took for a higher one.
fn note(road: &Road, route: &Route, served_by: NodeId, op: &Op, cause: Option<&Error>) {
    if let Some(cause) = cause {
        road.counts.fallback(route.authority(), served_by, cause.kind());
    }
    if op.class() != OpClass::Read && served_by != route.authority() {
        op.for_each_key(|key| road.overflow[route.id].took(key, served_by));
    }
}
