//! One operation over several routes: a part for each, the replies put together again.
//! It must not know how a part is performed.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Road, Served, run_on};
use crate::{
    backend::semantics::CROSSED_SLOTS,
    clock::Deadline,
    entry::{Freshness, Key, Worth},
    error::{Effect, Error, ErrorKind, Result},
    op::{Op, OpClass},
    reply::{Reply, Written},
    route::Route,
    sync::session::Session,
};

struct Part {
    route: Arc<Route>,
    /// Where its keys stand in the whole.
    indices: Vec<usize>,
}

pub(super) async fn across_routes(
    road: &Arc<Road>,
    op: &Op,
    deadline: Deadline,
    session: Option<&Session>,
) -> Result<Served> {
    let parts = parts_of(road, op);
    let ops: Vec<(Arc<Route>, Op)> = parts
        .iter()
        .map(|part| Ok((Arc::clone(&part.route), part_op(op, part)?)))
        .collect::<Result<_>>()?;
    let replies =
        join_all(ops.iter().map(|(route, op)| run_on(road, route, op, deadline, session))).await;
    let partly = op.class() != OpClass::Read && replies.iter().any(may_be_applied);
    let served: Result<Vec<Served>> = replies.into_iter().collect();
    let served =
        served.map_err(|error| if partly { error.with_effect(Effect::Unknown) } else { error })?;
    together(op, &parts, served)
}

/// The error of one part must not say that nothing was applied when another part was.
fn may_be_applied(reply: &Result<Served>) -> bool {
    match reply {
        Ok(_) => true,
        Err(error) => error.effect() == Effect::Unknown,
    }
}

fn parts_of(road: &Road, op: &Op) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut index = 0;
    op.for_each_key(|key| {
        let route = road.table.of(key);
        match parts.iter_mut().find(|part| part.route.id == route.id) {
            Some(part) => part.indices.push(index),
            None => parts.push(Part { route: Arc::clone(route), indices: vec![index] }),
        }
        index += 1;
    });
    parts
}

fn part_op(op: &Op, part: &Part) -> Result<Op> {
    let pick = |keys: &[Key]| part.indices.iter().map(|index| keys[*index].clone()).collect();
    match op {
        Op::GetMany { keys } => Ok(Op::GetMany { keys: pick(keys) }),
        Op::Exists { keys } => Ok(Op::Exists { keys: pick(keys) }),
        Op::DeleteMany { keys } => Ok(Op::DeleteMany { keys: pick(keys) }),
        Op::SetMany { entries, ttl, all_absent: false } => {
            let entries = part.indices.iter().map(|index| entries[*index].clone()).collect();
            Ok(Op::SetMany { entries, ttl: *ttl, all_absent: false })
        }
        Op::Transact { .. } => Err(crossed_slots()),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("{} over keys of several routes; use keys of one route", op.name()),
        )),
    }
}

/// Keys that no single step can change: Redis's words.
pub(super) fn crossed_slots() -> Error {
    Error::new(ErrorKind::InvalidArgument, CROSSED_SLOTS)
}

fn together(op: &Op, parts: &[Part], served: Vec<Served>) -> Result<Served> {
    let node = served.first().and_then(|served| served.node);
    let stale = served.iter().any(|served| served.stale);
    // The weakest of the parts.
    let worth = served.iter().map(|served| served.worth).max();
    let worth = worth.unwrap_or(Worth::Read(Freshness::Linearizable));
    let reply = match op {
        Op::GetMany { keys } => {
            let mut records = vec![None; keys.len()];
            for (part, served) in parts.iter().zip(served) {
                for (index, record) in part.indices.iter().zip(served.reply.into_records()?) {
                    records[*index] = record;
                }
            }
            Reply::Records(records)
        }
        Op::SetMany { .. } => Reply::Written(Written { applied: true, ..Written::default() }),
        _ => {
            let counts = served.into_iter().map(|served| served.reply.into_integer());
            Reply::Integer(counts.sum::<Result<i64>>()?)
        }
    };
    Ok(Served { reply, node, stale, worth, age: None })
}
