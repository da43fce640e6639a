//! The shortest road: a fresh value in the memory of this process, of which nobody has to be asked.
//! It must not wait, nor begin anything: what is not fresh takes the long road.

use std::sync::Arc;

use super::{Counter, LoadOptions, envelope::Header, stage};
use crate::{
    entry::{Entry, Freshness, Key},
    exec::Road,
    op::OpClass,
    route::Route,
};

/// The value, or that there is none, if that stands here and is fresh, and not due to be refreshed.
pub(crate) fn hit(
    road: &Road,
    route: &Route,
    key: &Key,
    options: &LoadOptions,
) -> Option<Option<Entry>> {
    if !road.loads.is_own(route) {
        return None;
    }
    let now = road.clock.now();
    let now_ms = road.clock.unix_ms_at(now);
    let kept = road.l1.loaded().get_alone(key, now)?;
    let header = Header::read(kept.value())?;
    if !stage::is_fresh(header.times, now_ms, options.refresh_ahead) {
        return None;
    }
    let value = header.value(kept.value())?;
    let memory = road.memory();
    let counter = if value.is_some() { Counter::Hits } else { Counter::NegativeHits };
    road.loads.counts.add(route, counter);
    road.counts.served(route, OpClass::Read, memory);
    Some(value.map(|value| Entry {
        value,
        version: None,
        source: Arc::clone(road.nodes[memory].name()),
        stale: false,
        freshness: Freshness::Loaded,
        age: Some(header.times.age(now_ms)),
        ttl: Some(header.times.left(now_ms)),
    }))
}
