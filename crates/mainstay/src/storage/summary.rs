//! The status document: every node, every route, and one sentence for people.
//! It must not change anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::sentence::{Told, ails, sentence};
use crate::{
    clock::Instant,
    config::{Consistency, ConsistencyConfig},
    exec::Road,
    route::{Route, Select, Shape},
    status::{
        Availability, BackendStatus, CacheStatus, Health, HistoryStatus, Kpis, LocksStatus,
        NodeView, Resilience, RouteStatus, Status,
    },
    sync::backlog::Backlog,
};

pub(super) fn status(road: &Road, opened: Instant) -> Status {
    let now = road.clock.now();
    let backends: Vec<BackendStatus> = road.nodes.iter().map(|node| node.status(now)).collect();
    let views = road.views();
    let routes: Vec<RouteStatus> =
        road.table.routes().iter().map(|route| describe(road, route, &views)).collect();
    let names: Vec<Arc<str>> = road.nodes.iter().map(|node| Arc::clone(node.name())).collect();
    let caches: Vec<CacheStatus> = (0..road.domains.len()).map(|id| cache(road, id, now)).collect();
    let health = overall(road, &backends, &routes);
    let journal = road.backlog.as_ref().map(Backlog::status);
    let overflowed_keys = road.overflow.iter().map(|overflow| overflow.len() as u64).sum();
    let told = Told {
        health,
        backends: &backends,
        routes: road.table.routes(),
        caches: &caches,
        journal: journal.as_ref(),
        overflowed: overflowed_keys,
        lease: lease(road),
    };
    Status {
        health,
        sentence: sentence(&told),
        uptime: now.saturating_duration_since(opened),
        requests: road.counts.requests(&road.table, &names),
        fallbacks: road.counts.fallbacks(&names),
        hedges: road.counts.hedges(),
        loads: road.loads.counts.status(&road.table),
        journal,
        overflowed_keys,
        dirty_keys: caches.iter().map(|cache| cache.dirty_keys).sum(),
        caches,
        l1: road.l1.alone().map(|l1| l1.status()),
        backends,
        routes,
        // Filled in by who has them.
        locks: LocksStatus::default(),
        kpis: Kpis::default(),
        resilience: Resilience::default(),
        history: HistoryStatus::default(),
        warnings: Vec::new(),
    }
}

/// How long a process may read copies without asking the record.
fn lease(road: &Road) -> Duration {
    let known = road.domains.iter().find_map(|domain| domain.view());
    known.map_or(ConsistencyConfig::default().lease, |view| view.control.terms.lease)
}

fn cache(road: &Road, id: usize, now: Instant) -> CacheStatus {
    let domain = &road.domains[id];
    let of = |counter: &AtomicU64| counter.load(Relaxed);
    let (view, counts) = (domain.view(), &domain.counts);
    let (phase, since) = {
        let lifecycle = domain.lifecycle();
        (lifecycle.phase(), lifecycle.since())
    };
    CacheStatus {
        cache: Arc::clone(&domain.name),
        record: Arc::clone(road.nodes[domain.record].name()),
        phase: phase.as_str(),
        since: now.saturating_duration_since(since),
        readable: domain.may_read(&road.clock) && road.nodes[domain.cache].guard().is_readable(),
        reason: domain.reason(),
        evicts: domain.evicts(),
        epoch: view.as_ref().map_or(0, |view| view.control.epoch),
        generation: view.as_ref().map_or(0, |view| view.control.generation),
        dirty_keys: view.map_or(0, |view| view.dirty_len() as u64),
        hits: of(&counts.hits),
        misses: of(&counts.misses),
        writes_around: of(&counts.around),
        drained_keys: of(&counts.drained),
        readmissions: of(&counts.readmissions),
        audited_keys: of(&counts.audited),
        inconsistent_keys: of(&counts.inconsistent),
        l1: road.l1.of_domain(id).map(|l1| l1.status()),
    }
}

const JOURNALED: &str = "while the record is down, writes that may wait do so in this host's journal, and are \
                         acknowledged as no more than that";

/// Up: every backend is and takes calls, and every route serves. Down: no route serves reads or writes.
fn overall(road: &Road, backends: &[BackendStatus], routes: &[RouteStatus]) -> Health {
    let in_use =
        |id: usize| road.table.routes().iter().any(|route| route.nodes().any(|node| node == id));
    let ailing = backends.iter().enumerate().any(|(id, backend)| in_use(id) && ails(backend));
    if routes.iter().all(|route| !route.readable && !route.writable) {
        Health::Down
    } else if ailing || routes.iter().any(|route| !route.readable || !route.writable) {
        Health::Degraded
    } else {
        Health::Up
    }
}

fn describe(road: &Road, route: &Route, views: &[NodeView]) -> RouteStatus {
    let name = |id: &usize| road.nodes[*id].name().to_string();
    let ready = |id: &usize| views[*id].availability == Availability::Available;
    let (description, promise, readable, writable) = match &route.shape {
        Shape::Record { cache, record, l1 } => {
            let first = l1.then(|| "memory".to_owned());
            let chain = first
                .into_iter()
                .chain(cache.iter().map(name))
                .chain([format!("{}(record)", name(record))]);
            let promise = match (cache.is_some(), route.consistency) {
                _ if *l1 => {
                    "acknowledged writes are durable; what this process keeps is older than one by a lease at most (l1_ttl where there is no cache)"
                }
                (false, _) => "acknowledged writes are durable; reads are linearizable",
                (true, Consistency::Strict) => {
                    "acknowledged writes are durable; reads are linearizable, also from copies"
                }
                (true, Consistency::Bounded) => {
                    "acknowledged writes are durable; a copy is older than one by a lease at most, and only while a process cannot reach the cache"
                }
            };
            let readable = ready(record) || cache.iter().any(ready) || route.default().is_some();
            let writable = ready(record) || route.journal;
            (chain.collect::<Vec<_>>().join(" -> "), promise, readable, writable)
        }
        Shape::Failover { backends, select } => {
            let chain = backends.iter().map(name).collect::<Vec<_>>().join(" -> ");
            let how = match select {
                Select::Failover => "failover",
                Select::Priority => "priority",
                Select::RoundRobin => "round robin",
            };
            let promise =
                "available while any backend is; no agreement between backends; memory is volatile";
            let any = backends.iter().any(ready);
            (format!("{chain} ({how})"), promise, any || route.default().is_some(), any)
        }
    };
    RouteStatus {
        prefix: route.label.to_string(),
        description,
        promise: match route.journal {
            true => format!("{promise}; {JOURNALED}"),
            false => promise.to_owned(),
        },
        readable,
        writable,
        stale_served: road.counts.stale(route),
    }
}
