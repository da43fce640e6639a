//! The shortest road of a read: what this process keeps of a key, where it may be served.
//! It must not ask anybody, nor wait.

use std::sync::Arc;

use super::{Road, Served, read::Found};
use crate::{
    cache::era::{Era, Grounds},
    clock::Instant,
    entry::{Freshness, Key, Record},
    op::OpClass,
    reply::Reply,
    route::Route,
    sync::{domain::Domain, session::Session},
};

/// Whose read it is.
#[derive(Clone, Copy)]
pub(crate) struct Near<'a> {
    pub(crate) route: &'a Arc<Route>,
    /// The cache before the record.
    pub(crate) domain: Option<&'a Arc<Domain>>,
    pub(crate) session: Option<&'a Session>,
}

/// The value of a key from here, counted as a request. `None`: the long road, which does not look here again.
pub(super) fn get(
    road: &Road,
    route: &Arc<Route>,
    key: &Key,
    session: Option<&Session>,
) -> Option<Served> {
    // What a source has loaded stands under keys of our own.
    road.l1.of_route(route).filter(|_| route.source.is_none())?;
    if road.backlog.as_ref().is_some_and(|backlog| backlog.overlaid(key).is_some()) {
        return None;
    }
    let found = Near { route, domain: road.domain(route), session }.get(road, key)?;
    let served = Ok(found.into_served());
    road.counts.request(route, OpClass::Read, &served);
    served.ok()
}

/// Whether a session has seen nothing newer. `known`: what was written before this is known to who has found it.
pub(super) fn allows(
    session: Option<&Session>,
    key: &Key,
    record: Option<&Record>,
    known: Option<Instant>,
) -> bool {
    match (session, record.and_then(|record| record.version)) {
        (Some(session), Some(version)) => session.allows(key, version, known),
        _ => true,
    }
}

impl Near<'_> {
    /// What this process keeps of the key, if it may be served.
    pub(crate) fn get(&self, road: &Road, key: &Key) -> Option<Found> {
        let l1 = road.l1.of_route(self.route)?;
        let now = road.clock.now();
        let era = l1.current();
        let kept = era.as_ref().and_then(|era| {
            let grounds = self.grounds(road, era, key, now)?;
            let kept = l1.get(key, era, now)?;
            let record = kept.record(now);
            let allowed = allows(self.session, key, Some(&record), Some(grounds.known));
            allowed.then_some((kept, record, grounds))
        });
        l1.count(kept.as_ref().map(|(kept, ..)| &**kept));
        kept.map(|(kept, record, grounds)| Found {
            record: Some(record),
            node: Some(road.nodes.len() - 1),
            age: Some(kept.age(now)),
            freshness: Freshness::Bounded(grounds.bound),
        })
    }

    /// Why what is kept may be served now: a feed, or, where nothing tells of changes, its age alone.
    fn grounds(&self, road: &Road, era: &Era, key: &Key, now: Instant) -> Option<Grounds> {
        match (self.domain, self.route.l1_ttl.get()) {
            (Some(domain), _) => {
                let view = domain.last_look();
                let view = view.as_ref().filter(|_| !domain.is_around(key))?;
                era.vouches(view, key, now, road.clock.suspended_at(now))
            }
            (None, Some(bound)) => Some(Grounds { bound, known: now.checked_sub(bound)? }),
            (None, None) => None,
        }
    }
}

impl Found {
    /// As the reply to a read of its key.
    pub(super) fn into_served(mut self) -> Served {
        let record = self.record.take();
        self.served(Reply::Record(record))
    }
}
