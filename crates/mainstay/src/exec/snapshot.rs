//! What keys hold where their writes are committed: the record, or the backend that a failover route would write to.
//! It must not read copies, nor know what becomes of what it reads.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::{
    Road,
    attempt::{Last, attempt},
    batch, journal, turn,
};
use crate::{
    clock::Deadline,
    entry::{Key, Record, Ttl},
    error::{Error, Result},
    op::{Op, OpClass},
    reply::Reply,
    route::{Plan, Route, plan},
};

/// The records of these keys, with their times to live.
///
/// # Errors
/// `InvalidArgument` for keys of several routes; those of the backends.
pub(crate) async fn snapshot(
    road: &Arc<Road>,
    keys: &[Key],
    deadline: Deadline,
) -> Result<Vec<Option<Record>>> {
    let op = Op::GetMany { keys: keys.to_vec() };
    let route = road.table.of_op(&op).ok_or_else(batch::crossed_slots)?;
    let look = Look { road, route, deadline };
    match keys {
        [key] => Ok(vec![look.one(key).await?]),
        _ => look.many(op, keys).await,
    }
}

struct Look<'a> {
    road: &'a Arc<Road>,
    route: &'a Arc<Route>,
    deadline: Deadline,
}

impl Look<'_> {
    async fn one(&self, key: &Key) -> Result<Option<Record>> {
        let op = Op::Get { key: key.clone(), with_ttl: true };
        self.ask(&op).await?.into_record()
    }

    async fn many(&self, op: Op, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let mut records = self.ask(&op).await?.into_records()?;
        // Engines with versions have given the times to live as well.
        if records.iter().flatten().all(|record| record.version.is_some()) {
            return Ok(records);
        }
        let left = keys.iter().zip(&records).map(async |(key, record)| match record {
            Some(_) => self.ask(&Op::TimeToLive { key: key.clone() }).await?.into_ttl(),
            None => Ok(Ttl::Missing),
        });
        let left = try_join_all(left).await?;
        for (record, left) in records.iter_mut().zip(left) {
            *record = record.take().and_then(|record| alive(record, left));
        }
        Ok(records)
    }

    /// Asks whoever would be written to.
    async fn ask(&self, op: &Op) -> Result<Reply> {
        let Self { road, route, deadline } = *self;
        let now = road.clock.now();
        let write = Op::Transact { expected: Vec::new(), changes: Vec::new() };
        match plan(&write, route, |node| road.nodes[node].view(now), || 0, || false) {
            Plan::Commit { record } | Plan::Cached { record, .. } => {
                let mut keys = Vec::new();
                op.for_each_key(|key| keys.push(key.clone()));
                journal::settled(road, record, &keys, deadline, write.name()).await?;
                let node = &road.nodes[record];
                match attempt(road, node, op, deadline, Last::Yes).await {
                    Err(error) if !error.kind().is_callers() => {
                        Err(road.unavailable(route, vec![error], OpClass::Strict))
                    }
                    reply => reply,
                }
            }
            Plan::InTurn { candidates, .. } => {
                let served = turn::in_turn(road, route, &candidates, false, op, deadline).await;
                served.map(|served| served.reply).map_err(unread)
            }
        }
    }
}

/// A record that is still there by its time to live.
fn alive(record: Record, left: Ttl) -> Option<Record> {
    match left {
        Ttl::Missing => None,
        Ttl::Persistent => Some(Record { ttl: None, ..record }),
        Ttl::Left(left) => Some(Record { ttl: Some(left), ..record }),
    }
}

/// Nothing was written by a look.
fn unread(error: Error) -> Error {
    error.with_effect(crate::error::Effect::None)
}
