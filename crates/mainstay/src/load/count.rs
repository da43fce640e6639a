//! What is counted of loads, by route.
//! It must not know how the numbers are shown.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    route::{Route, Table},
    status::LoadStatus,
};

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    Hits,
    NegativeHits,
    Loads,
    LoadErrors,
    Joined,
    Shared,
    Refreshes,
    Stale,
    Defaults,
    ShedCacheUnavailable,
    ShedDatabaseSaturated,
    Invalidations,
}

const COUNTERS: usize = Counter::Invalidations as usize + 1;

/// A fixed table, so that counting is one addition.
#[derive(Debug)]
pub(crate) struct Counts(Vec<[AtomicU64; COUNTERS]>);

impl Counts {
    pub(super) fn new(routes: usize) -> Self {
        Self((0..routes).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect())
    }

    pub(crate) fn add(&self, route: &Route, counter: Counter) {
        self.0[route.id][counter as usize].fetch_add(1, Relaxed);
    }

    /// Of each route on which anything was loaded.
    pub(crate) fn status(&self, table: &Table) -> Vec<LoadStatus> {
        let routes = table.routes().iter().map(|route| {
            let of = |counter: Counter| self.0[route.id][counter as usize].load(Relaxed);
            LoadStatus {
                route: Arc::clone(&route.label),
                hits: of(Counter::Hits),
                negative_hits: of(Counter::NegativeHits),
                loads: of(Counter::Loads),
                load_errors: of(Counter::LoadErrors),
                joined: of(Counter::Joined),
                shared: of(Counter::Shared),
                refreshes: of(Counter::Refreshes),
                stale: of(Counter::Stale),
                defaults: of(Counter::Defaults),
                shed_cache_unavailable: of(Counter::ShedCacheUnavailable),
                shed_database_saturated: of(Counter::ShedDatabaseSaturated),
                invalidations: of(Counter::Invalidations),
            }
        });
        let used = |status: &LoadStatus| {
            let empty = LoadStatus { route: Arc::clone(&status.route), ..LoadStatus::default() };
            *status != empty
        };
        routes.filter(used).collect()
    }
}
