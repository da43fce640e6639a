//! Where copies of loaded values stand, by route: looked at, the right to keep one taken, kept, given back.
//! It must not know how a value is loaded, nor decide whether a copy is fresh.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::envelope::Envelope;
use crate::{
    backend::Scope,
    clock::Deadline,
    entry::Key,
    error::Error,
    exec::Road,
    node::Node,
    route::{NodeId, Route, Shape},
};

mod copies;
mod own;
mod plain;

use copies::Copies;
use own::Own;
use plain::Plain;

/// A right that its holder does not use within this time ends. Above it, `hard_timeout` of the load counts.
const RIGHT_SLACK: Duration = Duration::from_millis(500);

/// Where the copies of one route stand.
pub(super) enum Shelf<'a> {
    /// In a cache before a record, under its lease.
    Copies(Copies<'a>),
    /// In the first backend of a failover route, as plain keys.
    Plain(Plain<'a>),
    /// In this process.
    Own(Own<'a>),
}

/// A copy.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) envelope: Envelope,
    pub(super) node: NodeId,
}

/// What one look has shown.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) copy: Option<Copy>,
    pub(super) lease: Lease,
}

/// Who may load for all.
#[derive(Debug)]
pub(super) enum Lease {
    /// Nobody has the right to keep this key: it can be asked for, here.
    Vacant(Place),
    /// Somebody has it.
    Held,
    /// Nothing may be kept now: the key is being invalidated, or the cache may not be read.
    Closed,
    /// The cache gave no answer.
    Away(Error),
}

/// Where a right can be asked for.
#[derive(Debug)]
pub(super) enum Place {
    Copies(copies::Place),
    Plain,
    Own,
}

/// The right to keep what is loaded.
#[derive(Debug)]
pub(super) enum Right {
    Copies(copies::Right),
    Plain(Bytes),
    Own(crate::cache::Seat),
}

impl Lease {
    pub(super) fn is_vacant(&self) -> bool {
        // Within this process only its own invalidations count, and these end flights themselves.
        matches!(self, Lease::Vacant(Place::Copies(_) | Place::Plain))
    }
}

impl<'a> Shelf<'a> {
    /// The shelf of a route.
    pub(super) fn of(road: &'a Arc<Road>, route: &'a Arc<Route>) -> Self {
        if let Some(domain) = road.domain(route) {
            return Shelf::Copies(Copies { road, route, domain });
        }
        match shared(route, &road.nodes) {
            Some(node) => Shelf::Plain(Plain { road, node }),
            None => Shelf::Own(Own { road, l1: road.l1.loaded() }),
        }
    }

    /// The copy of a key, and who may load it.
    pub(super) async fn look(&self, key: &Key, deadline: Deadline) -> Look {
        match self {
            Shelf::Copies(copies) => copies.look(key, deadline).await,
            Shelf::Plain(plain) => plain.look(key, deadline).await,
            Shelf::Own(own) => own.look(key),
        }
    }

    /// Asks for the right to keep; `None`: another has it by now, or the cache is slow. It ends by itself after `life`.
    pub(super) async fn take(
        &self,
        key: &Key,
        place: Place,
        life: Duration,
        deadline: Deadline,
    ) -> Option<Right> {
        let life = life + RIGHT_SLACK;
        match (self, place) {
            (Shelf::Copies(copies), Place::Copies(place)) => {
                copies.take(place, life, deadline).await.map(Right::Copies)
            }
            (Shelf::Plain(plain), Place::Plain) => {
                plain.take(key, life, deadline).await.map(Right::Plain)
            }
            (Shelf::Own(own), Place::Own) => own.take(key).map(Right::Own),
            _ => None,
        }
    }

    /// Keeps a value where the right still stands. It goes on behind whoever asked for it.
    pub(super) fn put(&self, key: &Key, right: Right, envelope: &Envelope, life: Duration) {
        match (self, right) {
            (Shelf::Copies(copies), Right::Copies(right)) => copies.put(right, envelope, life),
            (Shelf::Plain(plain), Right::Plain(right)) => plain.put(key, right, envelope, life),
            (Shelf::Own(own), Right::Own(seat)) => own.put(seat, envelope, life),
            _ => {}
        }
    }

    /// Gives the right back: nothing was loaded, and the next may try at once.
    pub(super) fn give_back(&self, key: &Key, right: Right) {
        match (self, right) {
            (Shelf::Copies(copies), Right::Copies(right)) => copies.give_back(&right),
            (Shelf::Plain(plain), Right::Plain(right)) => plain.give_back(key, right),
            _ => {}
        }
    }

    /// The time of the envelopes on this shelf, Unix milliseconds: the cache's clock where it is known, so that processes
    /// agree.
    pub(super) fn now_ms(&self) -> i64 {
        match self {
            Shelf::Copies(copies) => copies.now_ms(),
            Shelf::Plain(Plain { road, .. }) | Shelf::Own(Own { road, .. }) => road.clock.unix_ms(),
        }
    }
}

/// Whether what is loaded on a route stands in this process.
pub(crate) fn is_own(route: &Route, nodes: &[Arc<Node>]) -> bool {
    !matches!(route.shape, Shape::Record { cache: Some(_), .. }) && shared(route, nodes).is_none()
}

/// The first backend of a failover route, if processes share it.
fn shared(route: &Route, nodes: &[Arc<Node>]) -> Option<NodeId> {
    let Shape::Failover { backends, .. } = &route.shape else { return None };
    let first = backends.first().copied()?;
    (nodes[first].capabilities().scope == Scope::Shared).then_some(first)
}

/// A key of our own for a user's key: what is loaded never meets what is stored.
fn own_key(place: &[u8], key: &Key) -> Key {
    Key::new([Key::RESERVED, place, b":", key.as_bytes()].concat())
}

/// The longest key that a value can be loaded under, with our own beginning before it.
pub(crate) const OWN_LEN: usize = Key::RESERVED.len() + 2;

/// Keeps nothing that a backend would refuse.
fn fits(road: &Road, bytes: &Bytes) -> bool {
    u64::try_from(bytes.len()).is_ok_and(|length| length <= road.loads.value_max)
}
