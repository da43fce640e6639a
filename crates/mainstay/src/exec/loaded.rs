//! What loads ask of a record route: records of our own, read as any are, and writes that hide copies.
//! It must not know what they mean.

use std::sync::Arc;

use super::{Reader, Road, many, write};
use crate::{
    backend::semantics::keys_of,
    clock::Deadline,
    entry::{Key, Record},
    error::Result,
    op::Op,
    reply::Reply,
    route::Route,
    sync::domain::Domain,
};

/// The records under these keys, from where the route's reads find them.
pub(crate) async fn read(
    road: &Arc<Road>,
    route: &Arc<Route>,
    domain: &Arc<Domain>,
    keys: &[Key],
    deadline: Deadline,
) -> Result<Vec<Option<Record>>> {
    let now = road.clock.now();
    let reader = Reader {
        route,
        record: domain.record,
        domain: Some(domain),
        view: road.leased(route, now),
        looked: false,
        hedge: road.nodes[domain.record].view(now).is_available(),
        deadline,
        session: None,
    };
    many::get_many(road, &reader, keys).await?.reply.into_records()
}

/// A write to the record; copies of its keys are not read by anybody afterwards. Never journaled.
pub(crate) async fn write(
    road: &Arc<Road>,
    route: &Arc<Route>,
    domain: &Arc<Domain>,
    op: &Op,
    deadline: Deadline,
) -> Result<Reply> {
    let keys = keys_of(op);
    let _writing = road.l1.of_route(route).map(|l1| l1.writing(&keys));
    write::direct(road, route, domain.record, op, deadline).await
}
