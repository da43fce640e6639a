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
    route::{NodeId, Route, Select, Shape},
    status::Availability,
    trace,
};

pub(super) async fn in_turn(
    road: &Arc<Road>,
    route: &Arc<Route>,
    candidates: &[NodeId],
    absent_goes_on: bool,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let (first, others) = match candidates {
        [first, others @ ..] => (*first, others),
        [] => return Err(road.unavailable(route, Vec::new(), OpClass::Read)),
    };
    let last = if others.is_empty() { Last::Yes } else { Last::No };
    // What is rarer is boxed: it does not make every call's future larger.
    let asked = match is_straight(road, route, first, op) {
        true => ask_now(road, route, first, op, deadline, last).await.map_err(|e| judged(e, op)),
        false => Box::pin(ask(road, route, first, op, deadline, last)).await,
    };
    match asked {
        Ok(served) if others.is_empty() || !absent_goes_on || !is_absent(&served.reply) => {
            if let Some(reason) = passed_by(road, route, first) {
                trace::passed_by(road.nodes[route.authority()].name(), reason);
                road.counts.fallback(route.authority(), first, reason);
            }
            Ok(served)
        }
        asked => {
            let asked = Box::new(asked);
            Box::pin(on_from(road, route, asked, others, absent_goes_on, op, deadline)).await
        }
    }
}

/// The others, for the first has failed or has nothing.
async fn on_from(
    road: &Arc<Road>,
    route: &Arc<Route>,
    first: Box<std::result::Result<Served, (Error, bool)>>,
    others: &[NodeId],
    absent_goes_on: bool,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let (mut causes, mut absent): (Vec<Error>, Option<Served>) = (Vec::new(), None);
    let (mut asked, mut by) = (*first, route.authority());
    let mut others = others.iter();
    loop {
        let last = others.len() == 0;
        match asked {
            Ok(served) if absent_goes_on && is_absent(&served.reply) && !last => {
                absent = absent.or(Some(served));
            }
            Ok(served) => {
                if let Some(cause) = causes.first() {
                    road.counts.fallback(route.authority(), by, cause.kind());
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
        let Some(next) = others.next() else { break };
        by = *next;
        let last = if others.len() == 0 { Last::Yes } else { Last::No };
        asked = ask(road, route, by, op, deadline, last).await;
    }
    absent.ok_or_else(|| road.unavailable(route, causes, OpClass::Read))
}

/// Why the plan has passed by the backend that normally serves, if it has: where all take turns none does.
fn passed_by(road: &Road, route: &Route, first: NodeId) -> Option<ErrorKind> {
    let normal = route.authority();
    let in_turns = matches!(route.shape, Shape::Failover { select: Select::RoundRobin, .. });
    if in_turns || first == normal {
        return None;
    }
    match road.nodes[normal].view(road.clock.now()).availability {
        Availability::Refuses(kind) => Some(kind),
        Availability::Available => None,
    }
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

/// Nothing has to be moved to this node before, and nothing to be remembered of it afterwards.
fn is_straight(road: &Arc<Road>, route: &Route, id: NodeId, op: &Op) -> bool {
    raise::is_level(road, route, id) && !overflows(op.class(), route, id)
}

/// The error, and whether to stop.
fn judged(error: Error, op: &Op) -> (Error, bool) {
    let stop = stops(&error, op);
    (error, stop)
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
    let behind = match raise::is_level(road, route, id) {
        true => Vec::new(),
        false => Box::pin(raise::for_op(road, route, id, op, deadline)).await?,
    };
    let overflow = &road.overflow[route.id];
    let overflows = overflows(op.class(), route, id);
    let _writing = match overflows {
        true => Some(Box::pin(overflow.writing(op)).await),
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
    let mut served = asked.map_err(|error| judged(error, op))?;
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
pub(super) async fn ask_now(
    road: &Arc<Road>,
    route: &Arc<Route>,
    id: NodeId,
    op: &Op,
    deadline: Deadline,
    last: Last,
) -> Result<Served> {
    let node = &road.nodes[id];
    let impatient = op.class() == OpClass::Read && last == Last::No && node.hedge().enabled;
    let limit = match impatient {
        true => deadline.within(road.clock.now(), node.hedge().patience),
        false => deadline,
    };
    let capped = prepare::with_node_ttl(op, route.ttl_max[id].get(), &road.clock).map(Box::new);
    let keeps = overflows(op.class(), route, id) && road.rows[id].is_some();
    let answered = match keeps || capped.is_some() {
        false => attempt(road, node, op, limit, last).await,
        true => Box::pin(send(road, id, capped.as_deref().unwrap_or(op), limit, last, keeps)).await,
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

/// One attempt; with a row beside it, where the node keeps rows of what it takes for another.
async fn send(
    road: &Arc<Road>,
    id: NodeId,
    op: &Op,
    limit: Deadline,
    last: Last,
    keeps: bool,
) -> Result<Reply> {
    match road.rows[id].as_ref().filter(|_| keeps) {
        Some(kept) => rows::take(road, (id, kept), op, limit, last).await,
        None => attempt(road, &road.nodes[id], op, limit, last).await,
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
