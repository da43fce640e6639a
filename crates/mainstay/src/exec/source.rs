//! Operations on a route whose values are rows of the application's own tables: reads are loads, deletes invalidate,
//! everything else is refused. It must not know how a value is kept (`load`), nor what the query says (`route::Source`).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use super::{
    Road, Served,
    attempt::{Last, attempt},
};
use crate::{
    backend::semantics::range_of,
    clock::Deadline,
    entry::{Ack, Freshness, Key, Record, Ttl, Worth},
    error::{Error, ErrorKind, Result},
    load::{self, LoadOptions, Loaded, Truth},
    op::{Condition, Op, Rows},
    reply::{Reply, Written},
    route::{NodeId, Route, Source},
};

/// Keys of one operation that are loaded at once.
const AT_ONCE: usize = 16;
/// How long a row is fresh on a route without a `ttl`.
const TTL: Duration = Duration::from_secs(60);
/// What `Rows::Many` makes of no rows.
const NO_ROWS: &[u8] = b"[]";

/// Performs one operation on the route of a source.
pub(super) async fn run(
    road: &Arc<Road>,
    route: &Arc<Route>,
    source: &Arc<Source>,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let source = Sourced { road, route, source, deadline };
    match op {
        Op::Get { key, .. } => source.get(key).await,
        Op::GetRange { key, start, end } => {
            let part = |record: Record| range_of(&record.value, *start, *end);
            source.of_one(key, |record| Reply::Bytes(record.map(part).unwrap_or_default())).await
        }
        Op::Length { key } => {
            let length = |record: Record| i64::try_from(record.value.len()).unwrap_or(i64::MAX);
            source.of_one(key, |record| Reply::Integer(record.map_or(0, length))).await
        }
        Op::TimeToLive { key } => {
            let left = |record: Record| record.ttl.map_or(Ttl::Persistent, Ttl::Left);
            source.of_one(key, |record| Reply::Ttl(record.map_or(Ttl::Missing, left))).await
        }
        Op::GetMany { keys } => source.of_many(keys, Reply::Records).await,
        Op::Exists { keys } => {
            let count = |records: Vec<Option<Record>>| records.iter().flatten().count();
            let reply = |records| Reply::Integer(i64::try_from(count(records)).unwrap_or(i64::MAX));
            source.of_many(keys, reply).await
        }
        Op::Delete { key, condition: Condition::Always, want_previous: false } => {
            load::invalidate::key(road, key, deadline).await?;
            let written = Written { applied: true, ..Written::default() };
            Ok(source.done(Reply::Written(written)))
        }
        Op::DeleteMany { keys } => {
            for key in keys {
                load::invalidate::key(road, key, deadline).await?;
            }
            Ok(source.done(Reply::Integer(i64::try_from(keys.len()).unwrap_or(i64::MAX))))
        }
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the values of route `{}` are read from a source: change its tables, then delete the key (which invalidates its copies)",
                route.label
            ),
        )),
    }
}

/// One operation on a source.
struct Sourced<'a> {
    road: &'a Arc<Road>,
    route: &'a Arc<Route>,
    source: &'a Arc<Source>,
    deadline: Deadline,
}

impl Sourced<'_> {
    async fn get(&self, key: &Key) -> Result<Served> {
        let Self { road, route, source, deadline } = *self;
        let truth = truth(road, route.authority(), source, key)?;
        let options = self.options(key)?;
        let mut served = load::load(road, route, key, &options, truth, deadline).await?;
        if let (Reply::Record(None), Rows::Many) = (&served.reply, source.rows()) {
            let record = Record { value: Bytes::from_static(NO_ROWS), version: None, ttl: None };
            served.reply = Reply::Record(Some(record));
        }
        Ok(served)
    }

    /// The options of a load, by the route and its source.
    fn options(&self, key: &Key) -> Result<LoadOptions> {
        let Self { road, route, source, .. } = *self;
        let node = &road.nodes[route.authority()];
        Ok(LoadOptions {
            ttl: route.ttl.get().unwrap_or(TTL),
            negative_ttl: source.empty_ttl.get(),
            default: route.default(),
            tags: source.tags(key)?,
            // The wait for a place, and a query in its whole length.
            hard_timeout: node.timeout() + node.guard().bulkhead().queue_wait(),
            ..LoadOptions::default()
        })
    }

    /// Nobody reads what was loaded before.
    fn done(&self, reply: Reply) -> Served {
        let authority = self.route.authority();
        Served { worth: Worth::Write(Ack::Durable), ..Served::by(authority, reply) }
    }

    async fn of_one(
        &self,
        key: &Key,
        reply: impl FnOnce(Option<Record>) -> Reply,
    ) -> Result<Served> {
        let served = self.get(key).await?;
        Ok(Served { reply: reply(served.reply.into_record()?), ..served })
    }

    /// The worth of the whole is that of its worst part.
    async fn of_many(
        &self,
        keys: &[Key],
        reply: impl FnOnce(Vec<Option<Record>>) -> Reply,
    ) -> Result<Served> {
        let loads: Vec<_> = keys.iter().map(|key| self.get(key).boxed()).collect();
        let parts: Vec<Served> = stream::iter(loads).buffered(AT_ONCE).try_collect().await?;
        let mut whole = Served::by(self.route.authority(), Reply::Done);
        whole.worth = Worth::Read(Freshness::Loaded);
        let mut records = Vec::with_capacity(parts.len());
        for part in parts {
            whole.age = whole.age.max(part.age);
            if part.stale && !whole.stale {
                (whole.stale, whole.worth) = (true, part.worth);
            }
            records.push(part.reply.into_record()?);
        }
        whole.reply = reply(records);
        Ok(whole)
    }
}

/// The query of this key, asked through the guard of its database.
fn truth(road: &Arc<Road>, node: NodeId, source: &Source, key: &Key) -> Result<Truth> {
    let query = Op::Query(source.query(key)?);
    let road = Arc::clone(road);
    Ok(Truth::of_node(node, move || {
        Box::pin(async move {
            let node = &road.nodes[node];
            // Load bounds the whole; this is the time of the query itself.
            let limit =
                road.clock.deadline_in(node.timeout() + node.guard().bulkhead().queue_wait());
            let rows = attempt(&road, node, &query, limit, Last::Yes).await?.into_rows()?;
            Ok(rows.map(|value| Loaded { value }))
        })
    }))
}
