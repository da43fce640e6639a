//! Loaded values in the memory of this process, where a route has nothing that processes share.
//! It must not know IO.

use std::{sync::Arc, time::Duration};

use super::{Copy, Lease, Look, Place};
use crate::{
    cache::{L1, Seat, l1::Kept},
    entry::{Key, Record},
    exec::Road,
    load::envelope::Envelope,
};

/// The memory for loaded values, which holds nothing else: a value stands under its user's key.
pub(in crate::load) struct Own<'a> {
    pub(super) road: &'a Arc<Road>,
    pub(super) l1: &'a Arc<L1>,
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
        let kept = self.l1.get_alone(key, self.road.clock.now())?;
        let envelope = Envelope::decode(kept.value())?;
        Some(Copy { envelope, node: self.road.memory() })
    }

    pub(super) fn remove(&self, key: &Key) {
        self.l1.forget(key);
    }

    pub(super) fn take(&self, key: &Key) -> Option<Seat> {
        self.l1.seat(key, &self.l1.era()?, self.road.clock.now())
    }

    pub(super) fn put(&self, seat: Seat, envelope: &Envelope, life: Duration) {
        let now = self.road.clock.now();
        let record = Record { value: envelope.encode(), version: None, ttl: Some(life) };
        seat.keep(Kept::new(&record, Duration::ZERO, now), life, None, now);
    }
}
