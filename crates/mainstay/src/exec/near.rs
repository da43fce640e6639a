//! The shortest road of a read: what this process keeps of a key, where it may be served.
//! It must not ask anybody, nor wait.

use std::sync::Arc;

use super::{Road, Served, read::Found};
use crate::{
    cache::{
        era::{Era, Grounds},
        l1::Kept,
    },
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

/// The value of a key from here, counted as a request. `None`: `run` goes the long road, which does not look here again.
pub(super) fn get(
    road: &Road,
    route: &Arc<Route>,
    key: &Key,
    session: Option<&Session>,
) -> Option<Served> {
    let found = Near::of(road, route, key, session)?.get(road, key)?;
    Some(counted(road, route, found))
}

/// The same for who calls `run` afterwards, which looks here again: a miss is counted there.
pub(crate) fn get_local(
    road: &Road,
    route: &Arc<Route>,
    key: &Key,
    session: Option<&Session>,
) -> Option<Served> {
    let (kept, found) = Near::of(road, route, key, session)?.find(road, key)?;
    road.l1.of_route(route)?.count(Some(&kept));
    Some(counted(road, route, found))
}

fn counted(road: &Road, route: &Arc<Route>, found: Found) -> Served {
    road.counts.served(route, OpClass::Read, road.memory());
    found.into_served()
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

impl<'a> Near<'a> {
    /// Where a read of this key may look here at all.
    fn of(
        road: &'a Road,
        route: &'a Arc<Route>,
        key: &Key,
        session: Option<&'a Session>,
    ) -> Option<Self> {
        // What a source has loaded stands under keys of our own.
        road.l1.of_route(route).filter(|_| route.source.is_none())?;
        if road.backlog.as_ref().is_some_and(|backlog| backlog.overlaid(key).is_some()) {
            return None;
        }
        Some(Self { route, domain: road.domain(route), session })
    }

    /// What this process keeps of the key, if it may be served; counted as a hit or a miss.
    pub(crate) fn get(&self, road: &Road, key: &Key) -> Option<Found> {
        let l1 = road.l1.of_route(self.route)?;
        let found = self.find(road, key);
        l1.count(found.as_ref().map(|(kept, _)| &**kept));
        found.map(|(_, found)| found)
    }

    fn find(&self, road: &Road, key: &Key) -> Option<(Arc<Kept>, Found)> {
        let l1 = road.l1.of_route(self.route)?;
        let now = road.clock.now();
        let era = l1.current();
        let era = era.as_ref()?;
        let grounds = self.grounds(road, era, key, now)?;
        let kept = l1.get(key, era, now)?;
        let record = kept.record(now);
        if !allows(self.session, key, Some(&record), Some(grounds.known)) {
            return None;
        }
        let found = Found {
            record: Some(record),
            node: Some(road.memory()),
            age: Some(kept.age(now)),
            freshness: Freshness::Bounded(grounds.bound),
        };
        Some((kept, found))
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
