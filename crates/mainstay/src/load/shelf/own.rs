//! Loaded values in the memory of this process, where a route has nothing that processes share.
//! It must not know IO.

use std::{sync::Arc, time::Duration};

use super::{Copy, Lease, Look, Place, own_key};
use crate::{
    cache::{L1, Seat, l1::Kept},
    entry::{Key, Record},
    exec::Road,
    load::envelope::Envelope,
};

/// The memory for loaded values.
pub(in crate::load) struct Own<'a> {
    pub(super) road: &'a Arc<Road>,
    pub(super) l1: &'a Arc<L1>,
}

/// The key under which a value is kept.
pub(in crate::load) fn place(key: &Key) -> Key {
    own_key(b"o", key)
}

impl Own<'_> {
    pub(super) fn look(&self, key: &Key) -> Look {
        let now = self.road.clock.now();
        let kept = self.l1.era().and_then(|era| self.l1.get(&place(key), &era, now));
        self.l1.count(kept.as_deref());
        let envelope = kept.and_then(|kept| Envelope::decode(kept.record(now).value));
        let node = self.road.nodes.len() - 1;
        let copy = envelope.map(|envelope| Copy { envelope, node });
        Look { copy, lease: Lease::Vacant(Place::Own) }
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
