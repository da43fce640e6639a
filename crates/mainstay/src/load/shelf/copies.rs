//! Loaded values as copies in a cache before a record: read under its lease, kept under its tokens.
//! It must not know how the lease is kept, nor how a copy is encoded beyond `semantics::copies`.
//!
//! A token is only given where nothing stands. So that a value can be refreshed while it is being served, each key has two
//! places: the value stands in one, whoever refreshes takes the token of the other, and clears the first when its value is
//! kept. A write to the key (an invalidation) is one to both.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Copy, Lease, Look, SharedMarks, fits, own_key};
use crate::{
    backend::semantics::copies::{self, Seen},
    clock::Deadline,
    entry::{Key, Record, Version},
    error::{Error, ErrorKind, Result},
    exec::{
        Found, Near, Reader, Road,
        fill::{self, Token},
        loaded, stale,
    },
    guard,
    load::{
        envelope::Envelope,
        marks::{self, Marks},
        prefixes::Prefixes,
        stage::{self, Stage},
    },
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

impl Right {
    /// What the cache shows of it.
    pub(super) fn number(&self) -> u128 {
        self.token.name()
    }
}

/// The two places of a key.
pub(in crate::load) fn places(key: &Key) -> [Key; 2] {
    [own_key(b"a", key), own_key(b"b", key)]
}

/// The key whose loaded value stands in this place.
pub(crate) fn loaded_under(place: &Key) -> Option<Key> {
    let rest = place.as_bytes().strip_prefix(Key::RESERVED)?;
    let key = rest.strip_prefix(b"a:").or_else(|| rest.strip_prefix(b"b:"))?;
    Some(Key::from(key))
}

fn seen_in(stored: Option<Record>) -> Option<Seen> {
    stored.map(|stored| copies::read(stored.value))
}

impl Copies<'_> {
    pub(super) async fn look(&self, key: &Key, tags: &[Bytes], deadline: Deadline) -> Look {
        let Self { road, domain, .. } = *self;
        let (reader, places) = (self.reader(deadline), places(key));
        let away = |error| Look {
            copy: None,
            doubtful: None,
            ended: false,
            marks: None,
            lease: Lease::Away(error),
        };
        let closed =
            Look { copy: None, doubtful: None, ended: false, marks: None, lease: Lease::Closed };
        let Some((_, view)) = reader.asks() else { return away(self.not_ready()) };
        let known_old = |key: &Key| view.is_dirty(key) || domain.is_around(key);
        if places.iter().any(known_old) {
            return closed;
        }
        let marks = marks::keys(&SharedMarks::Copies(self), tags);
        let seats = places.each_ref().map(|key| reader.seat(road, key, Some(view)));
        let node = &road.nodes[domain.cache];
        let keys = places.iter().chain(&marks).map(|key| view.key_of(key)).collect();
        let op = Op::GetMany { keys };
        let patience = deadline.within(road.clock.now(), node.hedge().patience);
        let asked = guard::call(node, &op, patience).await.and_then(Reply::into_records);
        let stored = match asked {
            Ok(stored) if reader.still_readable(road, view) => stored,
            Ok(_) => return away(self.not_ready()),
            Err(error) => return away(error),
        };
        let mut seen: Vec<Option<Seen>> = stored.into_iter().map(seen_in).collect();
        let of_marks = seen.split_off(places.len());
        let mut looked = self.judge(view, &places, seen);
        let values = marks.iter().zip(of_marks).map(|(key, seen)| match seen {
            Some(Seen::Value { value, .. }) if !known_old(key) => Some(value),
            _ => None,
        });
        // One that is not in the cache may stand in the record.
        let values: Option<Vec<Bytes>> = values.collect();
        looked.0.marks = values.map(|values| Marks::new(tags, values.into_iter().map(Some)));
        if let Some((at, found)) = looked.1.take() {
            let seat = seats.into_iter().nth(at).flatten();
            reader.keep(road, seat, &found);
        }
        looked.0
    }

    /// What this process keeps of it.
    pub(super) fn near(&self, key: &Key) -> Option<Copy> {
        self.road.l1.of_route(self.route)?;
        let near = Near { route: self.route, domain: Some(self.domain), session: None };
        let found = places(key).iter().find_map(|key| near.get(self.road, key))?;
        let envelope = Envelope::decode(&found.record?.value)?;
        Some(Copy { envelope, node: found.node.unwrap_or(self.domain.cache) })
    }

    /// A copy that was true when the record last answered, if that is not too long ago.
    pub(super) async fn unverified(
        &self,
        key: &Key,
        stale_for: Duration,
        deadline: Deadline,
    ) -> Option<(Copy, Duration)> {
        let Self { road, domain, .. } = *self;
        let (view, since) = stale::since(road, domain).filter(|(_, since)| *since < stale_for)?;
        let (node, places) = (&road.nodes[domain.cache], places(key));
        let known_old = |key: &Key| view.is_dirty(key) || domain.is_around(key);
        if !node.guard().is_readable() || places.iter().any(known_old) {
            return None;
        }
        let prefixes = SharedMarks::Copies(self).prefixes_key();
        let keys = places.iter().chain([&prefixes]).map(|key| view.key_of(key)).collect();
        let op = Op::GetMany { keys };
        let stored = guard::call(node, &op, deadline).await.and_then(Reply::into_records).ok()?;
        let mut seen: Vec<Option<Seen>> = stored.into_iter().map(seen_in).collect();
        let list = seen.pop().flatten();
        let copy = self.judge(&view, &places, seen).0.copy?;
        // What is known to have ended is not served, also when nothing else is known.
        if let Some(Seen::Value { value, .. }) = list
            && Prefixes::decode(value)
                .is_some_and(|list| list.ended(key.as_bytes(), copy.envelope.since))
        {
            return None;
        }
        match stage::of(&copy.envelope, self.now_ms(), 0.0, stale_for) {
            Stage::Fresh | Stage::Due => Some((copy, since)),
            Stage::Stale(over) => Some((copy, over.max(since))),
            Stage::Gone => None,
        }
    }

    fn not_ready(&self) -> Error {
        let error = Error::new(ErrorKind::NotReady, self.domain.reason());
        error.at(self.road.nodes[self.domain.cache].name())
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
            let Some(envelope) = Envelope::decode(value) else { continue };
            if best.as_ref().is_none_or(|(_, other, _)| other.loaded_at < envelope.loaded_at) {
                best = Some((at, envelope, seen.clone().unwrap_or(Seen::Unreadable)));
            }
        }
        let marked = seen.iter().flatten().any(|seen| *seen == Seen::Marked);
        let holder = seen.iter().flatten().find_map(|seen| match seen {
            Seen::Filling(token) => Some(*token),
            _ => None,
        });
        let free = seen.iter().position(Option::is_none);
        let lease = match (free, holder) {
            _ if marked => Lease::Marked,
            (_, Some(holder)) => Lease::Held(holder),
            (Some(at), None) => {
                let other = best.as_ref().map(|(other, ..)| view.key_of(&places[*other]));
                let key = places[at].clone();
                Lease::Vacant(super::Place::Copies(Place { view: Arc::clone(view), key, other }))
            }
            (None, None) => {
                // The older was left when the newer came.
                let other = best.as_ref().map(|(at, ..)| view.key_of(&places[1 - *at]));
                let keys = other.into_iter().collect();
                self.clear_behind(Op::Copy(CopyOp::Drain { keys }));
                Lease::Closed
            }
        };
        let node = self.domain.cache;
        let copy = best.as_ref().map(|(_, envelope, _)| Copy { envelope: envelope.clone(), node });
        let kept = best.and_then(|(at, envelope, seen)| {
            let found = Found::of_copy(self.road, view, node, seen)?;
            // As long as it is fresh: what is stale is not served from here.
            let ttl = envelope.times().left(self.now_ms());
            let record = found.record.map(|record| Record { ttl: Some(ttl), ..record });
            (!ttl.is_zero()).then_some((at, Found { record, ..found }))
        });
        (Look { copy, doubtful: None, ended: false, marks: None, lease }, kept)
    }

    /// A write to both places that changes nothing in the record: copies and tokens go, also those of other processes.
    pub(super) async fn remove(&self, key: &Key, deadline: Deadline) -> Result<()> {
        let Self { road, route, domain } = *self;
        let op = Op::DeleteMany { keys: places(key).to_vec() };
        loaded::write(road, route, domain, &op, deadline).await.map(drop)
    }

    pub(super) async fn take(
        &self,
        place: Place,
        life: Duration,
        deadline: Deadline,
    ) -> Option<Right> {
        let keys = std::slice::from_ref(&place.key);
        let version = Version { epoch: 0, counter: self.road.clock.unix_us() };
        let Self { road, domain, .. } = *self;
        match fill::ask_token_for(road, domain, &place.view, keys, life, deadline).await {
            Ok(token) => token.has(0).then_some(Right { token, place, version }),
            Err(Some(token)) => {
                self.forgo(Right { token, place, version });
                None
            }
            Err(None) => None,
        }
    }

    /// Gives back, behind the caller, what may have been granted without an answer: all others would wait for its holder.
    fn forgo(&self, right: Right) {
        let (road, route, domain) = (self.road.clone(), self.route.clone(), self.domain.clone());
        self.road.tasks.spawn_to_end(async move {
            Copies { road: &road, route: &route, domain: &domain }.give_back(&right).await;
        });
    }

    pub(super) async fn put(&self, right: Right, envelope: &Envelope, life: Duration) {
        let Self { road, route, domain } = *self;
        let value = envelope.encode();
        if !fits(road, &value) {
            return self.give_back(&right).await;
        }
        let life = life.min(route.ttl_max[domain.cache].get().unwrap_or(Duration::MAX));
        let Right { token, place, version } = right;
        let copy = CopyValue { value, version, life, ttl: Some(life) };
        let fill = token.fill(place.view.key_of(&place.key), copy);
        let clear = place.other.map(|key| Op::Copy(CopyOp::Drain { keys: vec![key] }));
        let kept = self.tell(&fill).await.and_then(Reply::into_flags);
        if let (Ok([true]), Some(clear)) = (kept.as_deref(), clear) {
            // Where it fails both stand; the newer counts, and the older ends by itself.
            drop(self.tell(&clear).await);
        }
    }

    pub(super) async fn give_back(&self, right: &Right) {
        // A copy without life: the token goes, and nothing comes in its place.
        let life = Duration::ZERO;
        let copy = CopyValue { value: Default::default(), version: right.version, life, ttl: None };
        let fill = right.token.fill(right.place.view.key_of(&right.place.key), copy);
        // Where it fails the token ends by itself.
        drop(self.tell(&fill).await);
    }

    async fn tell(&self, op: &Op) -> Result<Reply> {
        let node = &self.road.nodes[self.domain.cache];
        guard::call(node, op, self.road.clock.deadline_in(node.timeout())).await
    }

    /// In the background, if there is room: the next look finds it again.
    fn clear_behind(&self, op: Op) {
        let road = Arc::clone(self.road);
        let Ok(place) = Arc::clone(&road.fills).try_acquire_owned() else { return };
        let cache = self.domain.cache;
        self.road.tasks.spawn_to_end(async move {
            let node = &road.nodes[cache];
            drop(guard::call(node, &op, road.clock.deadline_in(node.timeout())).await);
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
            view: self.road.leased(self.route, self.road.clock.now()),
            looked: false,
            hedge: false,
            deadline,
            session: None,
        }
    }
}
