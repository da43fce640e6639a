//! A backend is back: before it serves again it is known whose copies it holds, and what others took for it is moved up.
//! It must not declare it up; the supervisor does, when this has succeeded.

use std::sync::Arc;

use super::{
    Road, raise,
    rows::{self, Via},
};
use crate::{
    error::Result,
    route::{NodeId, Route, Shape},
    sync::{keeper, rows::Rows},
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
    if let Some(rows) = &road.rows[id] {
        // Another database may answer by now.
        rows.set_ready(false);
        if !rows.all_listed() {
            // What it took before this process started. Without that it serves all the same; the rows are asked for again.
            drop(rows::list(road, id, Via::OutOfBand).await);
        }
    }
    for route in road.table.routes() {
        if let Shape::Failover { .. } = route.shape
            && route.authority() == id
        {
            for from in route.nodes().filter(|from| *from != id) {
                handled += move_up(road, route, from, id).await?;
            }
        }
    }
    Ok(handled)
}

/// What other processes had it take as well, as long as there is more than can be remembered at once.
async fn move_up(road: &Arc<Road>, route: &Arc<Route>, from: NodeId, to: NodeId) -> Result<u64> {
    let available = || road.nodes[from].view(road.clock.now()).is_available();
    let mut handled = 0;
    loop {
        let listed = match &road.rows[from] {
            Some(rows) if available() => {
                rows::list(road, from, Via::Guard).await.is_err() || rows.all_listed()
            }
            Some(_) | None => true,
        };
        let moved = raise::all(road, route, from, to, Via::OutOfBand).await?;
        handled += moved;
        if listed || moved == 0 {
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
            raise::all(road, route, id, authority, Via::Guard).await?;
        }
    }
    Ok(())
}

/// Looks for rows that this process does not know of, while a better node serves or the node's own rows have never been
/// listed to their end. A failure is the node's: its breaker has seen it.
pub(crate) async fn look_for_rows(road: &Arc<Road>, id: NodeId) {
    let Some(rows) = &road.rows[id] else { return };
    let now = road.clock.now();
    let available = |id: NodeId| road.nodes[id].view(now).is_available();
    let wanted = |route: &Arc<Route>| {
        rows::stands_below(route, id) && route.nodes().take_while(|node| *node != id).any(available)
    };
    if available(id) && (!rows.all_listed() || road.table.routes().iter().any(wanted)) {
        drop(rows::list(road, id, Via::Guard).await);
    }
}

/// Lets other processes move what this node took, once there is nothing more to move.
pub(crate) async fn rest(road: &Arc<Road>, id: NodeId) {
    let due = |route: &Arc<Route>| !road.overflow[route.id].due(id, None, 1).is_empty();
    let holds = road.rows[id].as_ref().is_some_and(Rows::is_held);
    if holds && !road.table.routes().iter().any(due) {
        rows::give_back(road, id).await;
    }
}
