//! What the road counts: requests by route, class, source and outcome, fallbacks, hedges.
//! It must not know how the numbers are shown.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use super::Served;
use crate::{
    error::{ErrorKind, Result},
    op::OpClass,
    route::{NodeId, Route, Table},
    status::{FallbackCount, RequestCount},
};

const CLASSES: [OpClass; 3] = [OpClass::Read, OpClass::LastWriterWins, OpClass::Strict];

/// Fixed tables of counters, so that counting is one addition.
#[derive(Debug)]
pub(crate) struct Counts {
    nodes: usize,
    requests: Vec<AtomicU64>,
    fallbacks: Vec<AtomicU64>,
    hedges: AtomicU64,
    turn: AtomicUsize,
}

impl Counts {
    /// Zeroes for so many routes and nodes.
    pub(crate) fn new(routes: usize, nodes: usize) -> Self {
        let zeroes = |length: usize| (0..length).map(|_| AtomicU64::new(0)).collect();
        Self {
            nodes,
            requests: zeroes(routes * CLASSES.len() * (nodes + 1) * outcomes()),
            fallbacks: zeroes(nodes * nodes * ErrorKind::ALL.len()),
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
        let (source, outcome) = match result {
            Ok(served) => (served.node.unwrap_or(self.nodes), 0),
            Err(error) => (self.nodes, 1 + error.kind() as usize),
        };
        self.requests[self.request_index(route.id, class, source) * outcomes() + outcome]
            .fetch_add(1, Relaxed);
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

    /// What was counted, zeroes left out.
    pub(crate) fn requests(&self, table: &Table, names: &[Arc<str>]) -> Vec<RequestCount> {
        let none: Arc<str> = Arc::from("");
        let mut all = Vec::new();
        for route in table.routes() {
            for class in CLASSES {
                for source in 0..=self.nodes {
                    let base = self.request_index(route.id, class, source) * outcomes();
                    for outcome in 0..outcomes() {
                        let count = self.requests[base + outcome].load(Relaxed);
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
