//! Loaded values as plain keys of a shared backend without leases: the value under one key, who loads it under another.
//! It must not know other backends of the route.
//!
//! Best effort: between the look at the lease key and the write of the value lies one round trip, in which an invalidation
//! can be overwritten. Where that matters, a route needs a record.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Copy, Lease, Look, Place, fits, own_key};
use crate::{
    clock::Deadline,
    entry::Key,
    exec::Road,
    guard,
    load::envelope::Envelope,
    op::{Condition, Op, TtlChange},
    reply::Reply,
    route::NodeId,
};

/// The shared backend of one route.
pub(in crate::load) struct Plain<'a> {
    pub(super) road: &'a Arc<Road>,
    pub(super) node: NodeId,
}

/// The value's key and the lease's.
pub(in crate::load) fn places(key: &Key) -> [Key; 2] {
    [own_key(b"v", key), own_key(b"l", key)]
}

impl Plain<'_> {
    pub(super) async fn look(&self, key: &Key, deadline: Deadline) -> Look {
        let op = Op::GetMany { keys: places(key).to_vec() };
        let node = &self.road.nodes[self.node];
        let patience = deadline.within(self.road.clock.now(), node.hedge().patience);
        match guard::call(node, &op, patience).await.and_then(Reply::into_records) {
            Err(error) => Look { copy: None, lease: Lease::Away(error) },
            Ok(mut stored) => {
                let held = stored.pop().flatten().is_some();
                let value = stored.pop().flatten();
                let envelope = value.and_then(|record| Envelope::decode(record.value));
                let lease = if held { Lease::Held } else { Lease::Vacant(Place::Plain) };
                Look { copy: envelope.map(|envelope| Copy { envelope, node: self.node }), lease }
            }
        }
    }

    pub(super) async fn take(
        &self,
        key: &Key,
        life: Duration,
        deadline: Deadline,
    ) -> Option<Bytes> {
        let [_, lease] = places(key);
        let name = Bytes::copy_from_slice(&self.road.entropy.nonce().to_be_bytes());
        let op = Op::Set {
            key: lease,
            value: name.clone(),
            ttl: TtlChange::For(life),
            condition: Condition::Absent,
            want_previous: false,
        };
        let reply = guard::call(&self.road.nodes[self.node], &op, deadline).await;
        reply.and_then(Reply::into_written).ok()?.applied.then_some(name)
    }

    pub(super) fn put(&self, key: &Key, right: Bytes, envelope: &Envelope, life: Duration) {
        let bytes = envelope.encode();
        if !fits(self.road, &bytes) {
            return self.give_back(key, right);
        }
        let [value, lease] = places(key);
        let set = Op::Set {
            key: value,
            value: bytes,
            ttl: TtlChange::For(life),
            condition: Condition::Always,
            want_previous: false,
        };
        self.spawn(Some(set), lease, right);
    }

    pub(super) fn give_back(&self, key: &Key, right: Bytes) {
        let [_, lease] = places(key);
        self.spawn(None, lease, right);
    }

    /// In the background: the value while the lease is ours, then the end of the lease.
    fn spawn(&self, set: Option<Op>, lease: Key, name: Bytes) {
        let road = Arc::clone(self.road);
        let Ok(place) = Arc::clone(&road.fills).try_acquire_owned() else { return };
        let id = self.node;
        self.road.tasks.spawn_to_end(async move {
            let node = &road.nodes[id];
            let step = || road.clock.deadline_in(node.timeout());
            if let Some(set) = set {
                let op = Op::Get { key: lease.clone(), with_ttl: false };
                let held = guard::call(node, &op, step()).await.and_then(Reply::into_record);
                if !matches!(held, Ok(Some(record)) if record.value == name) {
                    return;
                }
                drop(guard::call(node, &set, step()).await);
            }
            let condition = Condition::ValueIs(name);
            let end = Op::Delete { key: lease, condition, want_previous: false };
            drop(guard::call(node, &end, step()).await);
            drop(place);
        });
    }
}
