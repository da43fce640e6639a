//! Another configuration for a storage that is open: each owner takes over its part, and no operation is held up.
//! It must not open, close or connect anything.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Storage, builder, limits::Limits};
use crate::{
    backend::memory::Memory,
    config::Config,
    error::{Error, ErrorKind, Result},
    live::Live,
    route::{self, Route},
};

/// What a storage is configured with, of which some may change while it is open.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Live<Config>,
    pub(super) limits: Limits,
    memory: Arc<Memory>,
    /// Whether the embedded record stands in for what is not configured.
    embedded: bool,
    /// Held while another configuration is taken over.
    changing: Mutex<()>,
}

impl Settings {
    pub(super) fn new(config: Config, memory: Arc<Memory>, embedded: bool) -> Self {
        Self {
            limits: Limits::new(&config.limits),
            config: Live::new(config),
            memory,
            embedded,
            changing: Mutex::default(),
        }
    }
}

impl Storage {
    /// Takes over what may change while the storage is open. Operations under way end as they began. Nothing is changed
    /// when it is refused.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that does not validate, or that differs in what only another storage can
    /// take over (`Config::needs_reopening`); the message begins with the path of the value.
    pub fn reconfigure(&self, config: Config) -> Result<()> {
        let settings = &self.0.settings;
        let _one = settings.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let new = builder::with_embedded(config, settings.embedded);
        new.validate_with(|name| self.node(name).is_ok())?;
        if let Some(path) = settings.config.get().needs_reopening(&new) {
            let message = format!("{path}: cannot change while the storage is open; open it anew");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let routes = self.routes_of(&new)?;
        self.take_over(&new, &routes);
        settings.config.set(new);
        Ok(())
    }

    /// The routes of another configuration, in the order of those that are served.
    fn routes_of(&self, config: &Config) -> Result<Vec<Arc<Route>>> {
        let road = &self.0.road;
        let infos: Vec<_> = road
            .nodes
            .iter()
            .map(|node| {
                let configured = config.backends.get(&**node.name());
                let ttl_max = configured.map_or_else(|| node.ttl_max(), |backend| backend.ttl_max);
                route::NodeInfo { ttl_max, ..builder::info(node) }
            })
            .collect();
        let table = route::build(config, &infos)?;
        let same = |served: &Arc<Route>| {
            let found = table.routes().iter().find(|route| route.prefix == served.prefix);
            found.cloned().ok_or_else(|| Error::new(ErrorKind::Internal, "a route is missing"))
        };
        road.table.routes().iter().map(same).collect()
    }

    fn take_over(&self, config: &Config, routes: &[Arc<Route>]) {
        let (inner, road) = (&self.0, &self.0.road);
        let value_max = config.limits.value_max();
        inner.settings.limits.set(&config.limits);
        for node in &road.nodes {
            if let Some(backend) = config.backends.get(&**node.name()) {
                node.reconfigure(backend, value_max);
            }
        }
        inner.settings.memory.set(&config.memory, value_max);
        for (served, new) in road.table.routes().iter().zip(routes) {
            served.reconfigure(new);
        }
        road.loads.reconfigure(config, routes);
        road.l1.reconfigure(&config.l1);
        road.domains.iter().for_each(|domain| domain.audit.set(config.consistency.audit));
        if let Some(backlog) = &road.backlog {
            backlog.journal.set_limits((&config.journal).into());
        }
        inner.locks.reconfigure(&config.locks, config.limits.deadline);
        let totals = super::watch::totals(road);
        inner.observer.reconfigure(&config.observe, road.clock.now(), totals);
    }

    /// The share of operations that offer a span from now on, and how many a second at most; see [`Builder`](super::Builder).
    pub fn set_traces(&self, share: f64, max: Option<u32>) {
        self.0.traces.set(share, max);
    }
}
