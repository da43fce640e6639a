//! One read of a record route: what it may read from where, and what its session has seen.
//! It must not ask anybody.

use std::sync::Arc;

use super::{Road, read::Found};
use crate::{
    clock::Deadline,
    config::Consistency,
    entry::{Freshness, Key, Record},
    route::{NodeId, Route},
    sync::{domain::Domain, session::Session, view::View},
};

/// One read of a record route.
pub(super) struct Reader<'a> {
    pub(super) route: &'a Arc<Route>,
    pub(super) record: NodeId,
    /// The cache before the record, and what is known of it.
    pub(super) domain: Option<&'a Arc<Domain>>,
    /// Whether the plan lets this read ask the cache.
    pub(super) cached: bool,
    /// Whether a late cache may be overtaken by the record.
    pub(super) hedge: bool,
    pub(super) deadline: Deadline,
    pub(super) session: Option<&'a Session>,
}

impl Reader<'_> {
    /// The cache, and the view under which it may be asked for this key.
    pub(super) fn readable(&self, road: &Road, key: &Key) -> Option<(NodeId, Arc<View>)> {
        let (domain, view) = self.view(road)?;
        (!view.is_dirty(key) && !domain.is_around(key)).then_some((domain.cache, view))
    }

    /// The view under which the cache may be asked at all.
    pub(super) fn view(&self, road: &Road) -> Option<(&Domain, Arc<View>)> {
        let domain = self.domain.filter(|_| self.cached)?;
        let view = domain.view()?;
        let may = view.may_read(road.clock.now(), road.clock.suspended());
        may.then_some((&**domain, view))
    }

    /// Whether what was asked under this view may be served now.
    pub(super) fn still_readable(&self, road: &Road, view: &View) -> bool {
        let readable = |domain: &Arc<Domain>| road.nodes[domain.cache].guard().is_readable();
        view.may_read(road.clock.now(), road.clock.suspended()) && self.domain.is_some_and(readable)
    }

    /// What a copy that was read under this view is worth.
    pub(super) fn freshness(&self, view: &View) -> Freshness {
        match self.route.consistency {
            Consistency::Strict => Freshness::Linearizable,
            Consistency::Bounded => Freshness::Bounded(view.control.terms.lease),
        }
    }

    /// Whether the session has seen nothing newer.
    pub(super) fn allows(&self, road: &Road, key: &Key, found: &Found) -> bool {
        let version = found.record.as_ref().and_then(|record| record.version);
        match (self.session, version) {
            (Some(session), Some(version)) => session.allows(key, version, road.clock.now()),
            _ => true,
        }
    }

    /// The session has seen this.
    pub(super) fn saw(&self, road: &Road, key: &Key, record: Option<&Record>) {
        let version = record.and_then(|record| record.version);
        if let (Some(session), Some(version), Some(domain)) = (self.session, version, self.domain) {
            session.saw(key, version, domain.config.lease, road.clock.now());
        }
    }

    /// The record showed this: a journaled write may be based on it.
    pub(super) fn knows(&self, road: &Road, key: &Key, record: Option<&Record>) {
        let version = record.and_then(|record| record.version).filter(|_| self.route.journal);
        if let (Some(backlog), Some(version)) = (&road.backlog, version) {
            backlog.seen.read(key, version);
        }
    }
}
