//! One read of a record route: what it may read from where, and what its session has seen.
//! It must not ask anybody.

use std::{sync::Arc, time::Duration};

use super::{
    Road,
    near::{self, Near},
    read::Found,
};
use crate::{
    cache::{Seat, l1::Kept},
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
    /// Under which the plan lets this read ask the cache.
    pub(crate) view: Option<Arc<View>>,
    /// Whether what this process keeps has been looked at.
    pub(crate) looked: bool,
    /// Whether a late cache may be overtaken by the record.
    pub(crate) hedge: bool,
    pub(crate) deadline: Deadline,
    pub(crate) session: Option<&'a Session>,
}

impl Reader<'_> {
    /// The cache, and the view under which it may be asked for this key.
    pub(crate) fn readable(&self, key: &Key) -> Option<(NodeId, &Arc<View>)> {
        let (domain, view) = self.asks()?;
        (!view.is_dirty(key) && !domain.is_around(key)).then_some((domain.cache, view))
    }

    /// The view under which the cache may be asked at all.
    pub(crate) fn asks(&self) -> Option<(&Arc<Domain>, &Arc<View>)> {
        self.domain.zip(self.view.as_ref())
    }

    /// What this process keeps of the key, if it may be served.
    pub(crate) fn near(&self, road: &Road, key: &Key) -> Option<Found> {
        let Self { route, domain, session, .. } = *self;
        Near { route, domain, session }.get(road, key)
    }

    /// Whether the session has seen nothing newer. `known`: what was written before this is known to who has found it.
    pub(crate) fn allows(&self, key: &Key, found: &Found, known: Option<Instant>) -> bool {
        near::allows(self.session, key, found.record.as_ref(), known)
    }

    /// Whether what was asked under this view may be served now.
    pub(crate) fn still_readable(&self, road: &Road, view: &View) -> bool {
        let readable = |domain: &Arc<Domain>| road.nodes[domain.cache].guard().is_readable();
        let now = road.clock.now();
        view.may_read(now, road.clock.suspended_at(now)) && self.domain.is_some_and(readable)
    }

    /// What a copy that was read under this view is worth.
    pub(crate) fn freshness(&self, view: &View) -> Freshness {
        match self.route.consistency {
            Consistency::Strict => Freshness::Linearizable,
            Consistency::Bounded => Freshness::Bounded(view.control.terms.lease),
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
        let cap = self.route.ttl_max[road.nodes.len() - 1].get().unwrap_or(Duration::MAX);
        let kept = Kept::new(record, found.age.unwrap_or_default(), now);
        seat.keep(kept, left.min(cap), self.route.l1_ttl.get(), now);
    }

    /// The record showed this: a journaled write may be based on it.
    pub(crate) fn knows(&self, road: &Road, key: &Key, record: Option<&Record>) {
        let version = record.and_then(|record| record.version).filter(|_| self.route.journal);
        if let (Some(backlog), Some(version)) = (&road.backlog, version) {
            backlog.seen.read(key, version);
        }
    }
}
