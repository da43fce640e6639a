//! What the road counts: requests by route, class, source and outcome, fallbacks, hedges.
//! It must not know how the numbers are shown.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use super::Served;
use crate::{
    error::{ErrorKind, Result},
    observe::Totals,
    op::OpClass,
    route::{NodeId, Route, Shape, Table},
    sharded::{Apart, SHARDS, mine},
    status::{FallbackCount, RequestCount},
};

const CLASSES: [OpClass; 3] = [OpClass::Read, OpClass::LastWriterWins, OpClass::Strict];

/// Counters of one thread that stand together.
const BLOCK: usize = 16;

/// Fixed tables of counters, so that counting is one addition.
#[derive(Debug)]
pub(crate) struct Counts {
    nodes: usize,
    /// Requests that were answered, by thread, in blocks.
    answered: Vec<Apart<[AtomicU64; BLOCK]>>,
    /// And those that were not. They have no source.
    failed: Vec<AtomicU64>,
    fallbacks: Vec<AtomicU64>,
    /// By route: answers that were marked stale.
    stale: Vec<AtomicU64>,
    hedges: AtomicU64,
    turn: AtomicUsize,
}

impl Counts {
    /// Zeroes for so many routes and nodes.
    pub(crate) fn new(routes: usize, nodes: usize) -> Self {
        let zeroes = |length: usize| (0..length).map(|_| AtomicU64::new(0)).collect();
        let sources = routes * CLASSES.len() * (nodes + 1);
        Self {
            nodes,
            answered: (0..SHARDS * sources.div_ceil(BLOCK)).map(|_| Apart::default()).collect(),
            failed: zeroes(routes * CLASSES.len() * ErrorKind::ALL.len()),
            fallbacks: zeroes(nodes * nodes * ErrorKind::ALL.len()),
            stale: zeroes(routes),
            hedges: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
        }
    }

    /// A number that rises with each call, for round robin.
    pub(super) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Relaxed)
    }

    /// One request has ended.
    pub(crate) fn request(&self, route: &Route, class: OpClass, result: &Result<Served>) {
        match result {
            Ok(served) => self.served(route, class, served.node.unwrap_or(self.nodes)),
            Err(error) => {
                let index = self.failed_index(route.id, class, error.kind() as usize);
                self.failed[index].fetch_add(1, Relaxed);
            }
        }
        if result.as_ref().is_ok_and(|served| served.stale) {
            self.stale[route.id].fetch_add(1, Relaxed);
        }
    }

    /// This node has answered one.
    pub(crate) fn served(&self, route: &Route, class: OpClass, node: NodeId) {
        let index = self.request_index(route.id, class, node);
        self.answered(mine(), index).fetch_add(1, Relaxed);
    }

    fn answered(&self, shard: usize, index: usize) -> &AtomicU64 {
        let blocks = self.answered.len() / SHARDS;
        &self.answered[shard * blocks + index / BLOCK].0[index % BLOCK]
    }

    /// Requests of this outcome: zero for answered, else one more than the kind of error.
    fn ended(&self, route: &Route, class: OpClass, source: usize, outcome: usize) -> u64 {
        match outcome.checked_sub(1) {
            None => {
                let index = self.request_index(route.id, class, source);
                (0..SHARDS).map(|shard| self.answered(shard, index).load(Relaxed)).sum()
            }
            Some(kind) if source == self.nodes => {
                self.failed[self.failed_index(route.id, class, kind)].load(Relaxed)
            }
            Some(_) => 0,
        }
    }

    /// `to` served what `from` normally serves.
    pub(super) fn fallback(&self, from: NodeId, to: NodeId, reason: ErrorKind) {
        let index = (from * self.nodes + to) * ErrorKind::ALL.len() + reason as usize;
        self.fallbacks[index].fetch_add(1, Relaxed);
    }

    /// A read was hedged.
    pub(super) fn hedge(&self) {
        self.hedges.fetch_add(1, Relaxed);
    }

    /// Hedged reads since start.
    pub(crate) fn hedges(&self) -> u64 {
        self.hedges.load(Relaxed)
    }

    /// Answers of a route that were marked stale, since start.
    pub(crate) fn stale(&self, route: &Route) -> u64 {
        self.stale[route.id].load(Relaxed)
    }

    /// What the key figures are made of. A hit is a read that a cache of its route answered.
    pub(crate) fn totals(&self, table: &Table) -> Totals {
        let mut totals = Totals::default();
        for route in table.routes() {
            for (class, source) in CLASSES
                .into_iter()
                .flat_map(|class| (0..=self.nodes).map(move |node| (class, node)))
            {
                let count = |outcome: usize| self.ended(route, class, source, outcome);
                let served = count(0);
                let failed = |callers: bool| {
                    let kinds =
                        ErrorKind::ALL.into_iter().filter(|kind| kind.is_callers() == callers);
                    kinds.map(|kind| count(1 + kind as usize)).sum::<u64>()
                };
                let errors = failed(false);
                totals.requests += served + errors + failed(true);
                totals.errors += errors;
                if class == OpClass::Read && has_cache(route) {
                    totals.reads += served;
                    totals.hits += if self.is_cache(route, source) { served } else { 0 };
                }
            }
        }
        totals.fallbacks = self.fallbacks.iter().map(|count| count.load(Relaxed)).sum();
        totals
    }

    fn is_cache(&self, route: &Route, node: usize) -> bool {
        match route.shape {
            // Memory is the last node.
            Shape::Record { cache, l1, .. } => {
                cache == Some(node) || (l1 && node + 1 == self.nodes)
            }
            Shape::Failover { .. } => false,
        }
    }

    /// What was counted, zeroes left out.
    pub(crate) fn requests(&self, table: &Table, names: &[Arc<str>]) -> Vec<RequestCount> {
        let none: Arc<str> = Arc::from("");
        let mut all = Vec::new();
        for route in table.routes() {
            for class in CLASSES {
                for source in 0..=self.nodes {
                    for outcome in 0..outcomes() {
                        let count = self.ended(route, class, source, outcome);
                        if count > 0 {
                            all.push(RequestCount {
                                route: Arc::clone(&route.label),
                                op: class_word(class),
                                source: Arc::clone(names.get(source).unwrap_or(&none)),
                                outcome: outcome
                                    .checked_sub(1)
                                    .map_or("ok", |kind| ErrorKind::ALL[kind].as_str()),
                                count,
                            });
                        }
                    }
                }
            }
        }
        all
    }

    /// Fallbacks, zeroes left out.
    pub(crate) fn fallbacks(&self, names: &[Arc<str>]) -> Vec<FallbackCount> {
        let kinds = ErrorKind::ALL.len();
        let counted =
            self.fallbacks.iter().enumerate().map(|(index, count)| (index, count.load(Relaxed)));
        let shown = counted.filter(|(_, count)| *count > 0).map(|(index, count)| FallbackCount {
            from: Arc::clone(&names[index / kinds / self.nodes]),
            to: Arc::clone(&names[index / kinds % self.nodes]),
            reason: ErrorKind::ALL[index % kinds].as_str(),
            count,
        });
        shown.collect()
    }

    fn request_index(&self, route: usize, class: OpClass, source: usize) -> usize {
        (route * CLASSES.len() + class as usize) * (self.nodes + 1) + source
    }

    fn failed_index(&self, route: usize, class: OpClass, kind: usize) -> usize {
        (route * CLASSES.len() + class as usize) * ErrorKind::ALL.len() + kind
    }
}

fn has_cache(route: &Route) -> bool {
    matches!(route.shape, Shape::Record { cache, l1, .. } if l1 || cache.is_some())
}

fn outcomes() -> usize {
    1 + ErrorKind::ALL.len()
}

fn class_word(class: OpClass) -> &'static str {
    match class {
        OpClass::Read => "read",
        OpClass::LastWriterWins => "write",
        OpClass::Strict => "strict",
    }
}
