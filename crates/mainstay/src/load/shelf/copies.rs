//! Loaded values as copies in a cache before a record: read under its lease, kept under its tokens.
//! It must not know how the lease is kept, nor how a copy is encoded beyond `semantics::copies`.
//!
//! A token is only given where nothing stands. So that a value can be refreshed while it is being served, each key has two
//! places: the value stands in one, whoever refreshes takes the token of the other, and clears the first when its value is
//! kept. A write to the key (an invalidation) is one to both.

use std::{sync::Arc, time::Duration};

use super::{Copy, Lease, Look, fits, own_key};
use crate::{
    backend::semantics::copies::{self, Seen},
    clock::Deadline,
    entry::{Key, Record, Version},
    exec::{
        Found, Reader, Road,
        fill::{self, Token},
    },
    guard,
    load::envelope::Envelope,
    op::{CopyOp, CopyValue, Op},
    reply::Reply,
    route::Route,
    sync::{domain::Domain, view::View},
};

/// The cache of one route.
pub(in crate::load) struct Copies<'a> {
    pub(super) road: &'a Arc<Road>,
    pub(super) route: &'a Arc<Route>,
    pub(super) domain: &'a Arc<Domain>,
}

/// One of the two places of a key that holds nothing, and the other, which is cleared when this one is filled.
#[derive(Debug)]
pub(in crate::load) struct Place {
    view: Arc<View>,
    key: Key,
    other: Option<Key>,
}

/// A token.
#[derive(Debug)]
pub(in crate::load) struct Right {
    token: Token,
    place: Place,
    version: Version,
}

/// The two places of a key.
pub(in crate::load) fn places(key: &Key) -> [Key; 2] {
    [own_key(b"a", key), own_key(b"b", key)]
}

impl Copies<'_> {
    pub(super) async fn look(&self, key: &Key, deadline: Deadline) -> Look {
        let Self { road, domain, .. } = *self;
        let reader = self.reader(deadline);
        let places = places(key);
        if let Some(copy) = self.near(&reader, &places) {
            return Look { copy: Some(copy), lease: Lease::Closed };
        }
        let closed = Look { copy: None, lease: Lease::Closed };
        let Some((_, view)) = reader.view(road) else { return closed };
        if places.iter().any(|key| view.is_dirty(key) || domain.is_around(key)) {
            return closed;
        }
        let seats = places.each_ref().map(|key| reader.seat(road, key, Some(&view)));
        let node = &road.nodes[domain.cache];
        let op = Op::GetMany { keys: places.iter().map(|key| view.key_of(key)).collect() };
        let patience = deadline.within(road.clock.now(), node.hedge().patience);
        let asked = guard::call(node, &op, patience).await.and_then(Reply::into_records);
        let stored = match asked {
            Ok(stored) if reader.still_readable(road, &view) => stored,
            Ok(_) => return closed,
            Err(error) => return Look { copy: None, lease: Lease::Away(error) },
        };
        let seen = stored.into_iter().map(|stored| stored.map(|stored| copies::read(stored.value)));
        let mut looked = self.judge(&view, &places, seen.collect());
        if let Some((at, found)) = looked.1.take() {
            let seat = seats.into_iter().nth(at).flatten();
            reader.keep(road, seat, &found);
        }
        looked.0
    }

    /// What this process keeps of it.
    fn near(&self, reader: &Reader<'_>, places: &[Key; 2]) -> Option<Copy> {
        let found = places.iter().find_map(|key| reader.near(self.road, key))?;
        let envelope = Envelope::decode(found.record?.value)?;
        Some(Copy { envelope, node: found.node.unwrap_or(self.domain.cache) })
    }

    /// The newer of the two, and which place is free.
    fn judge(
        &self,
        view: &Arc<View>,
        places: &[Key; 2],
        seen: Vec<Option<Seen>>,
    ) -> (Look, Option<(usize, Found)>) {
        let mut best: Option<(usize, Envelope, Seen)> = None;
        for (at, seen) in seen.iter().enumerate() {
            let Some(Seen::Value { value, .. }) = seen else { continue };
            let Some(envelope) = Envelope::decode(value.clone()) else { continue };
            if best.as_ref().is_none_or(|(_, other, _)| other.loaded_at < envelope.loaded_at) {
                best = Some((at, envelope, seen.clone().unwrap_or(Seen::Unreadable)));
            }
        }
        let holds = |wanted: &Seen| seen.iter().flatten().any(|seen| seen == wanted);
        let free = seen.iter().position(Option::is_none);
        let lease = match free {
            _ if holds(&Seen::Marked) => Lease::Closed,
            _ if holds(&Seen::Filling) => Lease::Held,
            Some(at) => {
                let other = best.as_ref().map(|(other, ..)| view.key_of(&places[*other]));
                let key = places[at].clone();
                Lease::Vacant(super::Place::Copies(Place { view: Arc::clone(view), key, other }))
            }
            None => Lease::Closed,
        };
        let node = self.domain.cache;
        let copy = best.as_ref().map(|(_, envelope, _)| Copy { envelope: envelope.clone(), node });
        let kept = best.and_then(|(at, envelope, seen)| {
            let found = Found::of_copy(self.road, view, node, seen)?;
            // As long as it is fresh: what is stale is not served from here.
            let ttl = envelope.left(self.now_ms());
            let record = found.record.map(|record| Record { ttl: Some(ttl), ..record });
            (!ttl.is_zero()).then_some((at, Found { record, ..found }))
        });
        (Look { copy, lease }, kept)
    }

    pub(super) async fn take(
        &self,
        place: Place,
        life: Duration,
        deadline: Deadline,
    ) -> Option<Right> {
        let keys = std::slice::from_ref(&place.key);
        let version = Version { epoch: 0, counter: self.road.clock.unix_us() };
        let token =
            fill::ask_token_for(self.road, self.domain, &place.view, keys, life, deadline).await?;
        token.has(0).then_some(Right { token, place, version })
    }

    pub(super) fn put(&self, right: Right, envelope: &Envelope, life: Duration) {
        let Self { road, route, domain } = *self;
        let value = envelope.encode();
        if !fits(road, &value) {
            return self.give_back(&right);
        }
        let life = life.min(route.ttl_max[domain.cache].unwrap_or(Duration::MAX));
        let Right { token, place, version } = right;
        let copy = CopyValue { value, version, life, ttl: Some(life) };
        let fill = token.fill(place.view.key_of(&place.key), copy);
        let clear = place.other.map(|key| Op::Copy(CopyOp::Drain { keys: vec![key] }));
        self.spawn(fill, clear);
    }

    pub(super) fn give_back(&self, right: &Right) {
        // A copy without life: the token goes, and nothing comes in its place.
        let life = Duration::ZERO;
        let copy = CopyValue { value: Default::default(), version: right.version, life, ttl: None };
        self.spawn(right.token.fill(right.place.view.key_of(&right.place.key), copy), None);
    }

    /// In the background; the second only when the first was done.
    fn spawn(&self, first: Op, second: Option<Op>) {
        let road = Arc::clone(self.road);
        let Ok(place) = Arc::clone(&road.fills).try_acquire_owned() else { return };
        let cache = self.domain.cache;
        self.road.tasks.spawn_to_end(async move {
            let node = &road.nodes[cache];
            let done = guard::call(node, &first, road.clock.deadline_in(node.timeout())).await;
            let kept = done.and_then(Reply::into_flags).is_ok_and(|flags| flags == [true]);
            if let Some(second) = second.filter(|_| kept) {
                // Where it fails both stand; the newer counts, and the older ends by itself.
                drop(guard::call(node, &second, road.clock.deadline_in(node.timeout())).await);
            }
            drop(place);
        });
    }

    pub(super) fn now_ms(&self) -> i64 {
        let unix_ms = self.road.clock.unix_ms();
        self.domain.view().map_or(unix_ms, |view| view.cache_ms(unix_ms))
    }

    fn reader(&self, deadline: Deadline) -> Reader<'_> {
        Reader {
            route: self.route,
            record: self.domain.record,
            domain: Some(self.domain),
            cached: self.road.has_lease(self.route),
            hedge: false,
            deadline,
            session: None,
        }
    }
}
