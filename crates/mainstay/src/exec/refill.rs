//! A cache that has been begun anew is filled with what was read most before: read from the record under tokens, as any
//! reader would fill it; rows of a source are loaded anew.
//! It must not know why those keys; never values from this process's memory, which may be old.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{
    future::{FutureExt, ready},
    stream::{self, StreamExt},
};

use super::{Road, fill, source};
use crate::{
    entry::Key,
    event::EventKind,
    guard, load,
    op::Op,
    reply::Reply,
    route::Route,
    sync::{domain::Domain, view::View},
};

/// Keys of one round trip.
const CHUNK: usize = 32;
/// Round trips at once.
const AT_ONCE: usize = 4;
/// Time for one.
const STEP: Duration = Duration::from_secs(1);

/// Fills these keys, hottest first.
pub(crate) async fn hottest(road: Arc<Road>, id: usize, keys: Vec<Key>) {
    if keys.is_empty() {
        return;
    }
    let loaded = load_anew(&road, id, &keys).await;
    let chunks: Vec<(Arc<Route>, Vec<Key>)> = by_route(&road, id, keys);
    let filled = stream::iter(chunks)
        .map(|(route, keys)| chunk(&road, route, id, keys))
        .buffered(AT_ONCE)
        .fold(loaded, |sum, filled| async move { sum + filled })
        .await;
    let text = format!("{filled} of the keys that were read most are filled first");
    road.nodes[road.domains[id].cache].publish(EventKind::Copies { state: "refilled" }, text);
}

/// Loads rows of sources as readers would, and how many: through the same bulkheads, a few at once. The first that fails
/// ends it: then readers have need of the database.
async fn load_anew(road: &Arc<Road>, id: usize, hot: &[Key]) -> usize {
    let mut seen = BTreeSet::new();
    let keys = hot.iter().filter_map(load::loaded_under);
    let loads = keys.filter(|key| seen.insert(key.clone())).filter_map(|key| {
        let route = road.table.of(&key);
        let source = route.source.as_ref().filter(|_| road.domain_of[route.id] == Some(id))?;
        let (road, route, source) = (Arc::clone(road), Arc::clone(route), Arc::clone(source));
        let load = async move {
            let (get, deadline) = (Op::Get { key, with_ttl: false }, road.clock.deadline_in(STEP));
            let served = source::run(&road, &route, &source, &get, deadline).await;
            served.is_ok_and(|served| !served.stale)
        };
        Some(load.boxed())
    });
    let loads: Vec<_> = loads.collect();
    stream::iter(loads).buffered(AT_ONCE).take_while(|loaded| ready(*loaded)).count().await
}

/// Chunks whose keys share a route of this cache.
fn by_route(road: &Road, id: usize, keys: Vec<Key>) -> Vec<(Arc<Route>, Vec<Key>)> {
    let mut chunks: Vec<(Arc<Route>, Vec<Key>)> = Vec::new();
    for key in keys {
        let route = road.table.of(&key);
        // What is loaded is not in the record.
        if key.is_reserved() || road.domain_of[route.id] != Some(id) {
            continue;
        }
        let open = chunks.iter_mut().find(|(r, keys)| r.id == route.id && keys.len() < CHUNK);
        match open {
            Some((_, keys)) => keys.push(key),
            None => chunks.push((Arc::clone(route), vec![key])),
        }
    }
    chunks
}

/// How many of them are being filled. A failure is the node's: readers will fill.
async fn chunk(road: &Arc<Road>, route: Arc<Route>, id: usize, keys: Vec<Key>) -> usize {
    let domain = &road.domains[id];
    let Some(view) = readable(road, domain) else { return 0 };
    let deadline = road.clock.deadline_in(STEP);
    let Some(token) = fill::ask_token(road, domain, &view, &keys, deadline).await else {
        return 0;
    };
    let granted = keys.into_iter().enumerate().filter(|(place, _)| token.has(*place));
    let keys: Vec<Key> = granted.map(|(_, key)| key).collect();
    if keys.is_empty() {
        return 0;
    }
    let op = Op::GetMany { keys: keys.clone() };
    let reply = guard::call(&road.nodes[domain.record], &op, deadline).await;
    let Ok(records) = reply.and_then(Reply::into_records) else { return 0 };
    let found: Vec<_> =
        keys.into_iter().zip(records).filter_map(|(key, record)| Some((key, record?))).collect();
    let filled = found.len();
    fill::spawn(road, &route, domain, &token, found);
    filled
}

fn readable(road: &Road, domain: &Domain) -> Option<Arc<View>> {
    let view = domain.view()?;
    let now = road.clock.now();
    let available = road.nodes[domain.cache].view(now).is_available();
    (available && view.may_read(now, road.clock.suspended())).then_some(view)
}
