//! Failover routes: one backend after the other, until one has answered.
//! It must not choose the order.

use std::sync::Arc;

use super::{
    Road, Served,
    attempt::{Last, attempt},
    prepare,
};
use crate::{
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
    guard::classify::{NextStep, next_step},
    op::{Op, OpClass},
    reply::Reply,
    route::{NodeId, Route},
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

/// A read does not wait for a backend longer than its patience when there is another to ask.
async fn ask(
    road: &Arc<Road>,
    route: &Arc<Route>,
    id: NodeId,
    op: &Op,
    deadline: Deadline,
    last: Last,
) -> Result<Served> {
    let node = &road.nodes[id];
    let op = prepare::with_node_ttl(op, route.ttl_max[id], &road.clock);
    let impatient = op.class() == OpClass::Read && last == Last::No && node.hedge().enabled;
    let limit = match impatient {
        true => deadline.within(road.clock.now(), node.hedge().patience),
        false => deadline,
    };
    match attempt(road, node, &op, limit, last).await {
        Ok(reply) => Ok(Served::by(id, reply)),
        Err(error) if error.kind() == ErrorKind::DeadlineExceeded && limit != deadline => {
            Err(Error::new(ErrorKind::Timeout, error.message()).at(node.name()))
        }
        Err(error) => Err(error),
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
