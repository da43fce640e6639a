//! What this process keeps of its own before caches and records (L1): which routes share which memory.
//! It must not know what a read does with it.

use std::{sync::Arc, time::Duration};

use crate::{
    config::L1Config,
    entropy::Entropy,
    route::{Route, Shape, Table},
};

pub(crate) mod era;
pub(crate) mod feed;
pub(crate) mod hot;
pub(crate) mod l1;

#[cfg(test)]
mod tests;

pub(crate) use l1::{L1, Seat};

/// The memory for loaded values where no route needs it.
const LOADED_MIN: u64 = 1 << 20;

/// The memory before each cache, and the one before records that have no cache.
#[derive(Debug)]
pub(crate) struct Layout {
    of_routes: Vec<Option<Arc<L1>>>,
    of_domains: Vec<Option<Arc<L1>>>,
    alone: Option<Arc<L1>>,
    loaded: Arc<L1>,
    /// How many share the bound, and whether `loaded` is one of them.
    users: usize,
    loads: bool,
}

impl Layout {
    /// One for each cache that has a route with memory before it, one for all records without a cache, and one for what
    /// is loaded, if a route keeps that in this process (`loads`); they share `config.max` equally.
    pub(crate) fn new(
        config: &L1Config,
        table: &Table,
        domain_of: &[Option<usize>],
        loads: bool,
        entropy: &Entropy,
    ) -> Self {
        let uses = |route: &Route| matches!(route.shape, Shape::Record { l1: true, .. });
        let mut users: Vec<Option<usize>> =
            table.routes().iter().filter(|route| uses(route)).map(|r| domain_of[r.id]).collect();
        users.sort_unstable();
        users.dedup();
        let sharing = users.len() + usize::from(loads);
        let max = share(config, sharing);
        let of_loaded = if loads { max } else { LOADED_MIN };
        let built: Vec<(Option<usize>, Arc<L1>)> = users
            .into_iter()
            .map(|user| (user, Arc::new(L1::new(max, config.ttl_max, entropy, user.is_some()))))
            .collect();
        let find = |user: Option<usize>| {
            built.iter().find(|(built, _)| *built == user).map(|(_, l1)| Arc::clone(l1))
        };
        let domains = domain_of.iter().flatten().max().map_or(0, |last| last + 1);
        Self {
            of_routes: table
                .routes()
                .iter()
                .map(|route| find(domain_of[route.id]).filter(|_| uses(route)))
                .collect(),
            of_domains: (0..domains).map(|id| find(Some(id))).collect(),
            alone: find(None),
            users: sharing,
            loads,
            loaded: Arc::new(L1::new(of_loaded, Duration::MAX, entropy, false)),
        }
    }

    /// Takes over settings.
    pub(crate) fn reconfigure(&self, config: &L1Config) {
        let max = share(config, self.users);
        for l1 in self.of_domains.iter().flatten().chain(&self.alone) {
            l1.set_bounds(max, config.ttl_max);
        }
        if self.loads {
            self.loaded.set_bounds(max, Duration::MAX);
        }
    }

    /// What a route may keep.
    pub(crate) fn of_route(&self, route: &Route) -> Option<&Arc<L1>> {
        self.of_routes.get(route.id)?.as_ref()
    }

    /// What stands before a cache.
    pub(crate) fn of_domain(&self, id: usize) -> Option<&Arc<L1>> {
        self.of_domains.get(id)?.as_ref()
    }

    /// Where loaded values stand that processes do not share.
    pub(crate) fn loaded(&self) -> &Arc<L1> {
        &self.loaded
    }

    /// What stands before the records that have no cache.
    pub(crate) fn alone(&self) -> Option<&Arc<L1>> {
        self.alone.as_ref()
    }
}

/// What each of those that share the bound may use.
fn share(config: &L1Config, users: usize) -> u64 {
    config.max / users.max(1) as u64
}
