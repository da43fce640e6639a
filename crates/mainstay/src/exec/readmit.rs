//! A backend is back: before it serves again its copies are made true, and what others took for it is moved up.
//! It must not declare it up; the supervisor does, when this has succeeded.

use std::{sync::Arc, time::Duration};

use super::{Road, raise};
use crate::{
    backend::ProbeDepth,
    cache::copy,
    clock::Deadline,
    error::Result,
    guard,
    op::Op,
    reply::Reply,
    route::{NodeId, Shape},
};

/// Keys of one round trip.
const BATCH: usize = 500;

/// Batches of one readmission at most; what is left stays missed, and the drain goes on with it.
const BATCHES_MAX: usize = 1000;

/// Time for one round trip of a readmission.
const STEP: Duration = Duration::from_secs(2);

/// Makes a returning node fit to serve; returns how many keys were made absent, moved or discarded.
///
/// # Errors
/// The node's, when it fails again meanwhile: it must not be declared up.
pub(crate) async fn readmit(road: &Arc<Road>, id: NodeId) -> Result<u64> {
    let mut handled = 0;
    if road.is_cache(id) {
        let identity = identity(road, id).await?;
        road.missed[id].meet(identity);
    }
    if road.missed[id].is_all() && road.missed[id].begin_all(road.clock.now()) {
        handled += delete_all_copies(road, id).await?;
        road.missed[id].made_all_true();
    }
    handled += drain(road, id, true).await?;
    for route in road.table.routes() {
        if let Shape::Failover { .. } = route.shape
            && route.authority() == id
        {
            for from in route.nodes().filter(|from| *from != id) {
                handled += raise::all(road, route, from, id, true).await?;
            }
        }
    }
    Ok(handled)
}

/// Which server answers, and which history of it: another one than before holds copies that nobody kept true. Empty
/// where it does not say.
async fn identity(road: &Arc<Road>, id: NodeId) -> Result<String> {
    let node = &road.nodes[id];
    let deadline = road.clock.deadline_in(STEP);
    let report = node.backend().probe(ProbeDepth::Ping, deadline).await;
    let facts = report.map_err(|error| error.at(node.name()))?.facts;
    let names = ["run_id", "replication_id"];
    let said = facts.into_iter().filter(|(name, _)| names.contains(name)).map(|(_, value)| value);
    Ok(said.collect::<Vec<_>>().join(" "))
}

impl Road {
    /// Whether a record route keeps copies there.
    fn is_cache(&self, id: NodeId) -> bool {
        self.table.routes().iter().any(|route| match &route.shape {
            Shape::Record { caches, .. } => caches.contains(&id),
            Shape::Failover { .. } => false,
        })
    }
}

/// Makes missed copies absent, in batches. `out_of_band`: past the breaker, for a node that is not up yet.
pub(crate) async fn drain(road: &Arc<Road>, id: NodeId, out_of_band: bool) -> Result<u64> {
    let mut handled = 0;
    for _ in 0..BATCHES_MAX {
        let due = road.missed[id].due(road.clock.now(), BATCH);
        if due.is_empty() {
            break;
        }
        let op = Op::DeleteMany { keys: due.iter().map(|due| copy::key_of(&due.key)).collect() };
        perform(road, id, &op, out_of_band).await?;
        road.missed[id].made_true(&due);
        handled += due.len() as u64;
    }
    Ok(handled)
}

/// Too many keys were missed: every copy goes.
async fn delete_all_copies(road: &Arc<Road>, id: NodeId) -> Result<u64> {
    let (mut handled, mut cursor) = (0, None);
    loop {
        let op = Op::Scan { prefix: bytes::Bytes::from_static(copy::PREFIX), cursor, limit: BATCH };
        let page = perform(road, id, &op, true).await?.into_page()?;
        if !page.keys.is_empty() {
            handled += page.keys.len() as u64;
            perform(road, id, &Op::DeleteMany { keys: page.keys }, true).await?;
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(handled);
        }
    }
}

/// Moves up what this node took for others that serve.
///
/// # Errors
/// Theirs; the keys stay remembered.
pub(crate) async fn relieve(road: &Arc<Road>, id: NodeId) -> Result<()> {
    for route in road.table.routes() {
        let authority = route.authority();
        if let Shape::Failover { .. } = route.shape
            && authority != id
            && !road.overflow[route.id].is_empty()
            && road.nodes[authority].view(road.clock.now()).is_available()
        {
            raise::all(road, route, id, authority, false).await?;
        }
    }
    Ok(())
}

async fn perform(road: &Arc<Road>, id: NodeId, op: &Op, out_of_band: bool) -> Result<Reply> {
    let deadline: Deadline = road.clock.deadline_in(STEP);
    let node = &road.nodes[id];
    if out_of_band {
        guard::call_unguarded(node, op, deadline).await
    } else {
        guard::call(node, op, deadline).await
    }
}
