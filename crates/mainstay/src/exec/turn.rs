//! Failover routes: one backend after the other, until one has answered.
//! It must not choose the order.

use std::sync::Arc;

use super::{
    Road, Served,
    attempt::{Last, attempt},
    prepare, raise, rows,
};
use crate::{
    backend::{Durability, Scope, semantics::control::leaves_rows},
    clock::Deadline,
    entry::{Ack, Freshness, Key, Worth},
    error::{Effect, Error, ErrorKind, Result},
    guard::classify::{NextStep, next_step},
    node::Node,
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
                if let Some(cause) = causes.first() {
                    road.counts.fallback(route.authority(), *id, cause.kind());
                }
                return Ok(served);
            }
            Err((error, _)) if error.kind().is_callers() => {
                let unknown = causes.iter().any(|cause| cause.effect() == Effect::Unknown);
                return Err(if unknown { error.with_effect(Effect::Unknown) } else { error });
            }
            Err((error, stop)) => {
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

/// One backend, after what lower ones took of these keys has been moved to it. An error says whether to stop.
async fn ask(
    road: &Arc<Road>,
    route: &Arc<Route>,
    id: NodeId,
    op: &Op,
    deadline: Deadline,
    last: Last,
) -> std::result::Result<Served, (Error, bool)> {
    let behind = raise::for_op(road, route, id, op, deadline).await?;
    let overflow = &road.overflow[route.id];
    let overflows = overflows(op.class(), route, id);
    let _writing = match overflows {
        true => Some(overflow.writing(op).await),
        false => None,
    };
    let asked = ask_now(road, route, id, op, deadline, last).await;
    let took = overflows
        && match &asked {
            Ok(served) => leaves_rows(op, &served.reply),
            // Its rows tell, if it did.
            Err(error) => error.effect() == Effect::Unknown && road.rows[id].is_some(),
        };
    if took {
        op.for_each_key(|key| remember(road, route, id, key));
    }
    let mut served = asked.map_err(|error| {
        let stop = stops(&error, op);
        (error, stop)
    })?;
    for behind in &behind {
        served.stale |= behind.is_stale() && op.class() == OpClass::Read;
        behind.performed(overflow, op.class());
    }
    Ok(served)
}

/// Whether this node performs it for a better one that has to follow.
fn overflows(class: OpClass, route: &Route, id: NodeId) -> bool {
    class != OpClass::Read && id != route.authority()
}

fn remember(road: &Road, route: &Route, id: NodeId, key: &Key) {
    let fits = road.overflow[route.id].took(key, id);
    if !fits && let Some(rows) = &road.rows[id] {
        rows.forget_from(key);
    }
}

/// A read does not wait for a backend longer than its patience when there is another to ask.
async fn ask_now(
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
    let keeps = road.rows[id].as_ref().filter(|_| overflows(op.class(), route, id));
    let answered = match keeps {
        Some(kept) => rows::take(road, (id, kept), &op, limit, last).await,
        None => attempt(road, node, &op, limit, last).await,
    };
    match answered {
        Ok(reply) => {
            let worth = match op.class() {
                OpClass::Read => Worth::Read(Freshness::Unpromised),
                _ => Worth::Write(held_by(node)),
            };
            Ok(Served { worth, ..Served::by(id, reply) })
        }
        Err(error) if error.kind() == ErrorKind::DeadlineExceeded && limit != deadline => {
            Err(Error::new(ErrorKind::Timeout, error.message()).at(node.name()))
        }
        Err(error) => Err(error),
    }
}

/// What an acknowledgement of this node is worth.
fn held_by(node: &Node) -> Ack {
    let capabilities = node.capabilities();
    match (capabilities.scope, capabilities.durability) {
        (Scope::Process, _) => Ack::Volatile,
        (_, Durability::Volatile) => Ack::Replica,
        (_, Durability::Crash) => Ack::Durable,
    }
}

fn is_absent(reply: &Reply) -> bool {
    matches!(reply, Reply::Record(None))
}
