//! Loaded values in the memory of this process, where a route has nothing that processes share.
//! It must not know IO.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::{Copy, Lease, Look, Place, own_key};
use crate::{
    cache::{L1, Seat, l1::Kept},
    entry::{Key, Record},
    exec::Road,
    load::envelope::Envelope,
};

/// Between our own beginning and the user's key.
const PLACE: &[u8] = b"o";
/// Places that are made without an allocation, bytes.
const PLACE_LEN: usize = 96;

/// The memory for loaded values.
pub(in crate::load) struct Own<'a> {
    pub(super) road: &'a Arc<Road>,
    pub(super) l1: &'a Arc<L1>,
}

/// The key under which a value is kept.
pub(in crate::load) fn place(key: &Key) -> Key {
    own_key(PLACE, key)
}

impl Own<'_> {
    pub(super) fn look(&self, key: &Key) -> Look {
        // Asked again: another may have loaded it since.
        Look {
            copy: self.near(key),
            doubtful: None,
            ended: false,
            marks: None,
            lease: Lease::Vacant(Place::Own),
        }
    }

    pub(super) fn near(&self, key: &Key) -> Option<Copy> {
        let now = self.road.clock.now();
        // Not a key of its own: a hit costs no allocation.
        let mut place: SmallVec<[u8; PLACE_LEN]> = SmallVec::from_slice(Key::RESERVED);
        place.extend_from_slice(PLACE);
        place.push(b':');
        place.extend_from_slice(key.as_bytes());
        let era = self.l1.current();
        let kept = era.as_ref().and_then(|era| self.l1.get(&place, era, now));
        self.l1.count(kept.as_deref());
        let envelope = kept.and_then(|kept| Envelope::decode(kept.record(now).value));
        let node = self.road.nodes.len() - 1;
        envelope.map(|envelope| Copy { envelope, node })
    }

    pub(super) fn remove(&self, key: &Key) {
        self.l1.forget(&place(key));
    }

    pub(super) fn take(&self, key: &Key) -> Option<Seat> {
        self.l1.seat(&place(key), &self.l1.era()?, self.road.clock.now())
    }

    pub(super) fn put(&self, seat: Seat, envelope: &Envelope, life: Duration) {
        let now = self.road.clock.now();
        let record = Record { value: envelope.encode(), version: None, ttl: Some(life) };
        seat.keep(Kept::new(&record, Duration::ZERO, now), life, None, now);
    }
}
