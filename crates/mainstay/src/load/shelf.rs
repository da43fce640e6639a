//! Where copies of loaded values stand, by route: looked at, the right to keep one taken, kept, given back.
//! It must not know how a value is loaded, nor decide whether a copy is fresh.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    envelope::Envelope,
    marks::{self, Marks},
};
use crate::{
    backend::Scope,
    clock::Deadline,
    entry::Key,
    error::{Error, Result},
    exec::Road,
    node::Node,
    route::{NodeId, Route, Shape},
};

mod copies;
mod own;
mod plain;
mod shared;

use copies::Copies;
pub(crate) use copies::loaded_under;
use own::Own;
use plain::Plain;
pub(super) use shared::SharedMarks;

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
    /// One of which it is not known whether it was invalidated: served only instead of nothing.
    pub(super) doubtful: Option<Copy>,
    /// Whether there was one that was invalidated.
    pub(super) ended: bool,
    /// What was read of the marks in the same moment, if that was all of them.
    pub(super) marks: Option<Marks>,
    pub(super) lease: Lease,
}

/// Who may load for all.
#[derive(Debug)]
pub(super) enum Lease {
    /// Nobody has the right to keep this key: it can be asked for, here.
    Vacant(Place),
    /// Somebody has it: the holder of this right.
    Held(u128),
    /// It is being invalidated.
    Marked,
    /// Nothing may be kept now: the key was invalidated around the cache.
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
    /// Whether the cache has shown that whoever loads under this right has it no more: an invalidation took it, and may
    /// have come after the truth was asked.
    pub(super) fn ends(&self, right: Option<u128>) -> bool {
        match self {
            Lease::Vacant(Place::Copies(_) | Place::Plain) => true,
            Lease::Held(holder) => right != Some(*holder),
            // Within this process only its own invalidations count, and these end flights themselves.
            Lease::Vacant(Place::Own) | Lease::Marked | Lease::Closed | Lease::Away(_) => false,
        }
    }

    /// Whether whoever is loading now may have been overtaken, and the cache does not tell. `strict`: also where it tells
    /// nothing at all.
    pub(super) fn hides(&self, strict: bool) -> bool {
        match self {
            Lease::Marked | Lease::Closed => true,
            Lease::Away(_) => strict,
            Lease::Vacant(_) | Lease::Held(_) => false,
        }
    }
}

impl Right {
    /// As `Lease::Held` shows it; `None`: it is shown to nobody.
    pub(super) fn number(&self) -> Option<u128> {
        match self {
            Right::Copies(right) => Some(right.number()),
            Right::Plain(right) => Some(plain::number(right)),
            Right::Own(_) => None,
        }
    }
}

impl<'a> Shelf<'a> {
    /// The shelf of a route.
    pub(super) fn of(road: &'a Arc<Road>, route: &'a Arc<Route>) -> Self {
        if let Some(domain) = road.domain(route) {
            return Shelf::Copies(Copies { road, route, domain });
        }
        match shared(route, &road.nodes) {
            Some(node) => Shelf::Plain(Plain { road, route, node }),
            None => Shelf::Own(Own { road, l1: road.l1.loaded() }),
        }
    }

    /// What this process keeps of a key.
    pub(super) fn near(&self, key: &Key) -> Option<Copy> {
        match self {
            Shelf::Copies(copies) => copies.near(key),
            Shelf::Plain(_) => None,
            Shelf::Own(own) => own.near(key),
        }
    }

    /// A copy that cannot be verified now, and since when: its lease has ended because the record does not answer.
    pub(super) async fn unverified(
        &self,
        key: &Key,
        stale_for: Duration,
        deadline: Deadline,
    ) -> Option<(Copy, Duration)> {
        match self {
            Shelf::Copies(copies) => copies.unverified(key, stale_for, deadline).await,
            Shelf::Plain(_) | Shelf::Own(_) => None,
        }
    }

    /// The node that processes share.
    pub(super) fn node(&self) -> Option<NodeId> {
        match self {
            Shelf::Copies(copies) => Some(copies.domain.cache),
            Shelf::Plain(plain) => Some(plain.node),
            Shelf::Own(_) => None,
        }
    }

    /// The copy of a key afar, and who may load it.
    async fn look(&self, key: &Key, tags: &[Bytes], deadline: Deadline) -> Look {
        match self {
            Shelf::Copies(copies) => copies.look(key, tags, deadline).await,
            Shelf::Plain(plain) => plain.look(key, tags, deadline).await,
            Shelf::Own(own) => own.look(key),
        }
    }

    /// The same, without a copy that was invalidated by a prefix or a tag. `tags`: those that it probably has.
    pub(super) async fn look_at_standing(
        &self,
        key: &Key,
        tags: &[Bytes],
        deadline: Deadline,
    ) -> Look {
        let mut look = self.look(key, tags, deadline).await;
        let Some(shared) = self.shared_marks() else { return look };
        let Some(copy) = look.copy.take() else { return look };
        let marks = match look.marks.take() {
            Some(marks) => Ok(marks),
            None => marks::read(&shared, tags, deadline).await,
        };
        match self.ended(&shared, key, &copy, marks, deadline).await {
            Ok(false) => look.copy = Some(copy),
            Ok(true) => look.ended = true,
            Err(_) => look.doubtful = Some(copy),
        }
        look
    }

    /// What this process keeps of a key, if it was not invalidated.
    pub(super) async fn near_and_standing(
        &self,
        key: &Key,
        tags: &[Bytes],
        deadline: Deadline,
    ) -> Option<Copy> {
        let copy = self.near(key)?;
        let Some(shared) = self.shared_marks() else { return Some(copy) };
        let marks = marks::read(&shared, tags, deadline).await;
        let ended = self.ended(&shared, key, &copy, marks, deadline).await;
        ended.is_ok_and(|ended| !ended).then_some(copy)
    }

    /// Whether a value that has just been loaded was invalidated since, as far as that can be known.
    pub(super) async fn has_ended(
        &self,
        key: &Key,
        envelope: &Envelope,
        deadline: Deadline,
    ) -> bool {
        let Some(shared) = self.shared_marks().filter(|_| envelope.since > 0) else { return false };
        let tags: Vec<Bytes> = envelope.tags.iter().map(|(tag, _)| tag.clone()).collect();
        let marks = marks::read(&shared, &tags, deadline).await;
        marks.is_ok_and(|marks| marks.ended(key, envelope) == Some(true))
    }

    /// Whether a copy was invalidated. It may have other tags than were asked for.
    async fn ended(
        &self,
        shared: &SharedMarks<'_>,
        key: &Key,
        copy: &Copy,
        marks: Result<Marks>,
        deadline: Deadline,
    ) -> Result<bool> {
        if let Some(ended) = marks?.ended(key, &copy.envelope) {
            return Ok(ended);
        }
        let tags: Vec<Bytes> = copy.envelope.tags.iter().map(|(tag, _)| tag.clone()).collect();
        let marks = marks::read(shared, &tags, deadline).await?;
        Ok(marks.ended(key, &copy.envelope).unwrap_or(true))
    }

    /// Where the marks of this shelf stand; `None`: in this process nothing has to be marked.
    pub(super) fn shared_marks(&self) -> Option<SharedMarks<'_>> {
        match self {
            Shelf::Copies(copies) => Some(SharedMarks::Copies(copies)),
            Shelf::Plain(plain) => Some(SharedMarks::Plain(plain)),
            Shelf::Own(_) => None,
        }
    }

    /// Removes what stands under a key, and every right to keep it.
    pub(super) async fn remove(&self, key: &Key, deadline: Deadline) -> Result<()> {
        match self {
            Shelf::Copies(copies) => copies.remove(key, deadline).await,
            Shelf::Plain(plain) => plain.remove(key, deadline).await,
            Shelf::Own(own) => {
                own.remove(key);
                Ok(())
            }
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

    /// Keeps a value where the right still stands.
    pub(super) async fn put(&self, key: &Key, right: Right, envelope: &Envelope, life: Duration) {
        match (self, right) {
            (Shelf::Copies(copies), Right::Copies(right)) => {
                copies.put(right, envelope, life).await
            }
            (Shelf::Plain(plain), Right::Plain(right)) => {
                plain.put(key, right, envelope, life).await
            }
            (Shelf::Own(own), Right::Own(seat)) => own.put(seat, envelope, life),
            _ => {}
        }
    }

    /// Gives the right back: nothing was loaded, and the next may try at once.
    pub(super) async fn give_back(&self, key: &Key, right: Right) {
        match (self, right) {
            (Shelf::Copies(copies), Right::Copies(right)) => copies.give_back(&right).await,
            (Shelf::Plain(plain), Right::Plain(right)) => plain.give_back(key, right).await,
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

/// Forgets those of the values in this process of which this is true; also what is being loaded is not kept.
pub(super) fn forget_own(road: &Road, these: impl Fn(&[u8], &Envelope) -> bool) {
    road.l1
        .loaded()
        .forget_where(|key, value| Envelope::decode(value).is_some_and(|value| these(key, &value)));
}

/// A key of our own for a user's key: what is loaded never meets what is stored.
fn own_key(place: &[u8], key: &Key) -> Key {
    Key::new([Key::RESERVED, place, b":", key.as_bytes()].concat())
}

/// The longest key that a value can be loaded under, with our own beginning before it.
pub(crate) const OWN_LEN: usize = Key::RESERVED.len() + 2;

/// Keeps nothing that a backend would refuse.
fn fits(road: &Road, bytes: &Bytes) -> bool {
    bytes.len() <= road.loads.value_max.get()
}
