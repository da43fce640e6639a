//! Ending loaded values before their time: one key, all under a prefix, all with a tag. Who reads afterwards gets nothing
//! that was loaded before.
//! It must not load.

use std::sync::Arc;

use bytes::Bytes;

use super::{Counter, marks, shelf::Shelf};
use crate::{clock::Deadline, entry::Key, error::Result, exec::Road, route::Route};

/// One key.
///
/// # Errors
/// As a delete: what the record or the shared backend says.
pub(crate) async fn key(road: &Arc<Road>, key: &Key, deadline: Deadline) -> Result<()> {
    let route = road.table.of(key);
    Shelf::of(road, route).remove(key, deadline).await?;
    road.loads.flights.leave(|flying| flying == key);
    road.loads.throttle().clear(key);
    road.loads.counts.add(route, Counter::Invalidations);
    Ok(())
}

/// All keys under a prefix, on every route that it touches. Each is tried, also after one has failed.
///
/// # Errors
/// The first.
pub(crate) async fn prefix(road: &Arc<Road>, prefix: &[u8], deadline: Deadline) -> Result<()> {
    let touches =
        |route: &&Arc<Route>| route.prefix.starts_with(prefix) || prefix.starts_with(&route.prefix);
    let mut outcome = Ok(());
    for route in road.table.routes().iter().filter(touches) {
        let ended = marks::end_prefix(road, &Shelf::of(road, route), prefix, deadline).await;
        road.loads.counts.add(route, Counter::Invalidations);
        outcome = outcome.and(ended);
    }
    super::shelf::forget_own(road, |key, _| key.starts_with(prefix));
    road.loads.flights.leave(|key| key.as_bytes().starts_with(prefix));
    outcome
}

/// All that was loaded with a tag, on every route. Each is tried, also after one has failed.
///
/// # Errors
/// The first.
pub(crate) async fn tag(road: &Arc<Road>, tag: &Bytes, deadline: Deadline) -> Result<()> {
    let mut outcome = Ok(());
    for route in one_of_each_shelf(road) {
        let ended = marks::end_tag(road, &Shelf::of(road, route), tag, deadline).await;
        road.loads.counts.add(route, Counter::Invalidations);
        outcome = outcome.and(ended);
    }
    super::shelf::forget_own(road, |_, envelope| envelope.tags.iter().any(|(own, _)| own == tag));
    // What is being loaded may carry it.
    road.loads.flights.leave(|_| true);
    outcome
}

/// Strict ones first: what is written for these is known to all when it is acknowledged.
fn one_of_each_shelf(road: &Arc<Road>) -> Vec<&Arc<Route>> {
    let mut routes: Vec<&Arc<Route>> = road.table.routes().iter().collect();
    routes.sort_by_key(|route| route.consistency == crate::config::Consistency::Bounded);
    let mut seen = Vec::new();
    routes.retain(|route| {
        let place = (road.domain_of[route.id], Shelf::of(road, route).node());
        let new = !seen.contains(&place);
        seen.push(place);
        new
    });
    routes
}
