//! One read of a record route: what it may read from where, and what its session has seen.
//! It must not ask anybody.

use std::{sync::Arc, time::Duration};

use super::{Road, read::Found};
use crate::{
    cache::{
        Seat,
        era::{Era, Grounds},
        l1::Kept,
    },
    clock::{Deadline, Instant},
    config::Consistency,
    entry::{Freshness, Key, Record},
    route::{NodeId, Route},
    sync::{domain::Domain, session::Session, view::View},
};

/// One read of a record route.
pub(crate) struct Reader<'a> {
    pub(crate) route: &'a Arc<Route>,
    pub(crate) record: NodeId,
    /// The cache before the record, and what is known of it.
    pub(crate) domain: Option<&'a Arc<Domain>>,
    /// Whether the plan lets this read ask the cache.
    pub(crate) cached: bool,
    /// Whether a late cache may be overtaken by the record.
    pub(crate) hedge: bool,
    pub(crate) deadline: Deadline,
    pub(crate) session: Option<&'a Session>,
}

impl Reader<'_> {
    /// The cache, and the view under which it may be asked for this key.
    pub(crate) fn readable(&self, road: &Road, key: &Key) -> Option<(NodeId, Arc<View>)> {
        let (domain, view) = self.view(road)?;
        (!view.is_dirty(key) && !domain.is_around(key)).then_some((domain.cache, view))
    }

    /// The view under which the cache may be asked at all.
    pub(crate) fn view(&self, road: &Road) -> Option<(&Domain, Arc<View>)> {
        let domain = self.domain.filter(|_| self.cached)?;
        let view = domain.view()?;
        let may = view.may_read(road.clock.now(), road.clock.suspended());
        may.then_some((&**domain, view))
    }

    /// Whether what was asked under this view may be served now.
    pub(crate) fn still_readable(&self, road: &Road, view: &View) -> bool {
        let readable = |domain: &Arc<Domain>| road.nodes[domain.cache].guard().is_readable();
        view.may_read(road.clock.now(), road.clock.suspended()) && self.domain.is_some_and(readable)
    }

    /// What a copy that was read under this view is worth.
    pub(crate) fn freshness(&self, view: &View) -> Freshness {
        match self.route.consistency {
            Consistency::Strict => Freshness::Linearizable,
            Consistency::Bounded => Freshness::Bounded(view.control.terms.lease),
        }
    }

    /// Whether the session has seen nothing newer. `known`: what was written before this is known to who has found it.
    pub(crate) fn allows(&self, key: &Key, found: &Found, known: Option<Instant>) -> bool {
        let version = found.record.as_ref().and_then(|record| record.version);
        match (self.session, version) {
            (Some(session), Some(version)) => session.allows(key, version, known),
            _ => true,
        }
    }

    /// This has been read from a copy, or (`floor`) from the record in such a way that a copy may be older.
    pub(crate) fn saw(&self, road: &Road, key: &Key, record: Option<&Record>, floor: bool) {
        let Some(version) = record.and_then(|record| record.version) else { return };
        if let Some(l1) = road.l1.of_route(self.route) {
            l1.witness(key, version);
        }
        let (Some(session), Some(lease)) = (self.session, road.floor_for(self.route)) else {
            return;
        };
        session.shown(key, version);
        if floor {
            session.saw(key, version, lease, road.clock.now());
        }
    }

    /// What this process keeps of the key, if it may be served.
    pub(crate) fn near(&self, road: &Road, key: &Key) -> Option<Found> {
        let l1 = road.l1.of_route(self.route)?;
        let now = road.clock.now();
        let kept = l1.era().and_then(|era| {
            let grounds = self.grounds(road, &era, key, now)?;
            let kept = l1.get(key.as_bytes(), &era, now)?;
            let found = Found {
                record: Some(kept.record(now)),
                node: Some(road.nodes.len() - 1),
                age: Some(kept.age(now)),
                freshness: Freshness::Bounded(grounds.bound),
            };
            self.allows(key, &found, Some(grounds.known)).then_some((kept, found))
        });
        l1.count(kept.as_ref().map(|(kept, _)| &**kept));
        kept.map(|(_, found)| found)
    }

    /// Why what is kept may be served now: a feed, or, where nothing tells of changes, its age alone.
    fn grounds(&self, road: &Road, era: &Era, key: &Key, now: Instant) -> Option<Grounds> {
        match (self.domain, self.route.l1_ttl) {
            (Some(domain), _) => {
                let view = domain.view().filter(|_| !domain.is_around(key))?;
                era.vouches(&view, key, now, road.clock.suspended())
            }
            (None, Some(bound)) => Some(Grounds { bound, known: now.checked_sub(bound)? }),
            (None, None) => None,
        }
    }

    /// The right to keep what is about to be read under this view (without a cache: from the record).
    pub(crate) fn seat(&self, road: &Road, key: &Key, view: Option<&View>) -> Option<Seat> {
        let l1 = road.l1.of_route(self.route)?;
        let era = l1.era()?;
        let same = era.is_of(view.map(|view| view.control.generation));
        if same { l1.seat(key, &era, road.clock.now()) } else { None }
    }

    /// Keeps what was found.
    pub(crate) fn keep(&self, road: &Road, seat: Option<Seat>, found: &Found) {
        let (Some(seat), Some(record)) = (seat, &found.record) else { return };
        let now = road.clock.now();
        // Less what clocks may drift.
        let left = record.ttl.map_or(Duration::MAX, |ttl| ttl.mul_f64(0.98));
        let cap = self.route.ttl_max[road.nodes.len() - 1].unwrap_or(Duration::MAX);
        let kept = Kept::new(record, found.age.unwrap_or_default(), now);
        seat.keep(kept, left.min(cap), self.route.l1_ttl, now);
    }

    /// The record showed this: a journaled write may be based on it.
    pub(crate) fn knows(&self, road: &Road, key: &Key, record: Option<&Record>) {
        let version = record.and_then(|record| record.version).filter(|_| self.route.journal);
        if let (Some(backlog), Some(version)) = (&road.backlog, version) {
            backlog.seen.read(key, version);
        }
    }
}
