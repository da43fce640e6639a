//! Which route a key takes: prefixes, roles, TTLs. Resolved once at `open`, pure afterwards.
//! It must not know backends, guards or tokio; a node is a number here.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

pub(crate) use crate::config::{Consistency, Select};
use crate::{
    entry::Key,
    error::{Error, ErrorKind, Result},
    live::{LiveDuration, LiveLimit},
    op::Op,
};

mod plan;
mod source;
mod table;

pub(crate) use plan::{Plan, plan};
pub(crate) use source::Source;
pub(crate) use table::{NodeInfo, build};

#[cfg(test)]
mod tests;

/// A node's number in the storage.
pub(crate) type NodeId = usize;

/// One route. What may change while it is served is live; the rest is fixed once it is open.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its number in the table.
    pub(crate) id: usize,
    /// Keys that begin with this.
    pub(crate) prefix: Bytes,
    /// The prefix for people; `*` for the default route.
    pub(crate) label: Arc<str>,
    /// Who serves it.
    pub(crate) shape: Shape,
    /// The TTL of a key that is written without one.
    pub(crate) ttl: LiveLimit,
    /// The longest life on each node, by node.
    pub(crate) ttl_max: Vec<LiveLimit>,
    /// Served, marked stale, when nothing else can be.
    default: ArcSwapOption<Bytes>,
    /// What it promises while some process cannot reach the cache.
    pub(crate) consistency: Consistency,
    /// How long copies may be served while the record does not answer.
    pub(crate) stale_if_error: LiveDuration,
    /// How long this process may serve what it keeps of its own, from when it was read.
    pub(crate) l1_ttl: LiveLimit,
    /// Whether writes may wait in the journal while the record is down.
    pub(crate) journal: bool,
    /// Where values come from that are rows of the application's own; then the record of `shape` has its tables.
    pub(crate) source: Option<Arc<Source>>,
    /// To whom every command on its keys is passed through; then it is the only backend.
    pub(crate) raw: Option<NodeId>,
}

/// The two shapes of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The record is the truth, the cache holds copies.
    Record {
        /// Holds copies that are kept true.
        cache: Option<NodeId>,
        /// The truth.
        record: NodeId,
        /// Whether this process's memory stands before both.
        l1: bool,
    },
    /// The first that is available.
    Failover {
        /// Best first.
        backends: Vec<NodeId>,
        /// How reads choose.
        select: Select,
    },
}

impl Route {
    /// Served, marked stale, when nothing else can be.
    pub(crate) fn default(&self) -> Option<Bytes> {
        self.default.load().as_deref().cloned()
    }

    /// Takes over what may change while it is served, from the same route of another table.
    pub(crate) fn reconfigure(&self, other: &Self) {
        self.ttl.set(other.ttl.get());
        for (own, new) in self.ttl_max.iter().zip(&other.ttl_max) {
            own.set(new.get());
        }
        self.default.store(other.default.load_full());
        self.stale_if_error.set(other.stale_if_error.get());
        self.l1_ttl.set(other.l1_ttl.get());
        if let (Some(own), Some(new)) = (&self.source, &other.source) {
            own.reconfigure(new);
        }
    }

    /// The node that would serve a write if all were well.
    pub(crate) fn authority(&self) -> NodeId {
        match &self.shape {
            Shape::Record { record, .. } => *record,
            Shape::Failover { backends, .. } => backends.first().copied().unwrap_or(0),
        }
    }

    /// Every node of the route, best first for reads.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let (first, many, last) = match &self.shape {
            Shape::Record { cache, record, .. } => (*cache, &[][..], Some(*record)),
            Shape::Failover { backends, .. } => (None, &backends[..], None),
        };
        first.into_iter().chain(many.iter().copied()).chain(last)
    }
}

/// All routes, longest prefix first; the last takes every key.
#[derive(Debug)]
pub(crate) struct Table {
    routes: Vec<Arc<Route>>,
}

impl Table {
    /// The routes, longest prefix first.
    pub(crate) fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route of a key.
    pub(crate) fn of(&self, key: &Key) -> &Arc<Route> {
        // The empty prefix is not compared: it points nowhere, and a comparison of no bytes there, masked as it is, costs a
        // processor with AVX-512 sixty nanoseconds.
        let takes = |route: &&Arc<Route>| {
            route.prefix.is_empty() || key.as_bytes().starts_with(&route.prefix)
        };
        let found = self.routes.iter().find(takes);
        // `build` ends the table with the empty prefix, which every key begins with.
        found.unwrap_or(&self.routes[self.routes.len() - 1])
    }

    /// The one route of an operation; `None` when its keys take several, or it names no key.
    pub(crate) fn of_op(&self, op: &Op) -> Option<&Arc<Route>> {
        let mut found: Option<&Arc<Route>> = None;
        let mut several = false;
        op.for_each_key(|key| {
            let route = self.of(key);
            several |= found.is_some_and(|first| first.id != route.id);
            found = Some(route);
        });
        found.filter(|_| !several)
    }

    /// The nodes that hold the keys under a prefix, each once.
    pub(crate) fn authorities_under(&self, prefix: &[u8]) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        for route in &self.routes {
            let touches = route.prefix.starts_with(prefix) || prefix.starts_with(&route.prefix);
            if touches && !nodes.contains(&route.authority()) {
                nodes.push(route.authority());
            }
            if prefix.starts_with(&route.prefix) {
                break;
            }
        }
        nodes
    }
}

fn misrouted(path: &str, problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{path}: {problem}"))
}

/// What `build` gives.
type Built = Result<Table>;
