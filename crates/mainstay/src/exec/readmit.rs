//! A backend is back: before it serves again it is known whose copies it holds, and what others took for it is moved up.
//! It must not declare it up; the supervisor does, when this has succeeded.

use std::sync::Arc;

use super::{Road, raise};
use crate::{
    error::Result,
    route::{NodeId, Shape},
    sync::keeper,
};

/// Makes a returning node fit to serve; returns how many keys were moved or discarded.
///
/// # Errors
/// The node's, when it fails again meanwhile: it must not be declared up.
pub(crate) async fn readmit(road: &Arc<Road>, id: NodeId) -> Result<u64> {
    let mut handled = 0;
    for domain in road.domains.iter().filter(|domain| domain.cache == id) {
        keeper::meet(road, domain).await?;
    }
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
