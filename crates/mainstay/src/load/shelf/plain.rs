//! Loaded values as plain keys of a shared backend without leases: the value under one key, who loads it under another.
//! It must not know other backends of the route.
//!
//! The value is written in the step that looks at the lease. A cluster whose slots part the two takes two steps, between
//! which an invalidation can be overwritten; where that matters, a route needs a record.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Copy, Lease, Look, Place, SharedMarks, fits, own_key};
use crate::{
    clock::Deadline,
    entry::Key,
    error::{Effect, ErrorKind, Result},
    exec::Road,
    guard,
    load::{
        envelope::Envelope,
        marks::{self, Marks},
    },
    op::{Change, Condition, Op, TtlChange},
    reply::Reply,
    route::{NodeId, Route},
};

/// The shared backend of one route.
pub(in crate::load) struct Plain<'a> {
    pub(super) road: &'a Arc<Road>,
    pub(super) route: &'a Arc<Route>,
    pub(super) node: NodeId,
}

/// The value's key and the lease's.
pub(in crate::load) fn places(key: &Key) -> [Key; 2] {
    [own_key(b"v", key), own_key(b"l", key)]
}

/// A lease by its holder.
pub(super) fn number(right: &[u8]) -> u128 {
    right.try_into().map_or(0, u128::from_be_bytes)
}

impl Plain<'_> {
    /// One operation on the backend.
    pub(super) async fn call(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        guard::call(&self.road.nodes[self.node], op, deadline).await
    }

    /// The value, and the lease: what is being loaded is not kept.
    pub(super) async fn remove(&self, key: &Key, deadline: Deadline) -> Result<()> {
        let op = Op::DeleteMany { keys: places(key).to_vec() };
        self.call(&op, deadline).await.map(drop)
    }

    pub(super) async fn look(&self, key: &Key, tags: &[Bytes], deadline: Deadline) -> Look {
        let mut keys = places(key).to_vec();
        keys.extend(marks::keys(&SharedMarks::Plain(self), tags));
        let op = Op::GetMany { keys };
        let node = &self.road.nodes[self.node];
        let patience = deadline.within(self.road.clock.now(), node.hedge().patience);
        match guard::call(node, &op, patience).await.and_then(Reply::into_records) {
            Err(error) => Look {
                copy: None,
                doubtful: None,
                ended: false,
                marks: None,
                lease: Lease::Away(error),
            },
            Ok(stored) => {
                let mut stored = stored.into_iter();
                let (value, held) = (stored.next().flatten(), stored.next().flatten());
                let marks = stored.map(|record| record.map(|record| record.value));
                let marks = Some(Marks::new(tags, marks));
                let envelope = value.and_then(|record| Envelope::decode(&record.value));
                let lease = match held {
                    Some(held) => Lease::Held(number(&held.value)),
                    None => Lease::Vacant(Place::Plain),
                };
                let copy = envelope.map(|envelope| Copy { envelope, node: self.node });
                Look { copy, doubtful: None, ended: false, marks, lease }
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
        match reply.and_then(Reply::into_written) {
            Ok(written) => written.applied.then_some(name),
            Err(error) => {
                if error.effect() != Effect::None {
                    self.forgo(key.clone(), name);
                }
                None
            }
        }
    }

    /// Gives back, behind the caller, what may have been granted without an answer: all others would wait for its holder.
    fn forgo(&self, key: Key, right: Bytes) {
        let (road, route, node) = (self.road.clone(), self.route.clone(), self.node);
        self.road.tasks.spawn_to_end(async move {
            Plain { road: &road, route: &route, node }.give_back(&key, right).await;
        });
    }

    pub(super) async fn put(&self, key: &Key, right: Bytes, envelope: &Envelope, life: Duration) {
        let bytes = envelope.encode();
        if !fits(self.road, &bytes) {
            return self.give_back(key, right).await;
        }
        let life = life.min(self.route.ttl_max[self.node].get().unwrap_or(Duration::MAX));
        let [value, lease] = places(key);
        let put = Change::Put { value: bytes.clone(), ttl: TtlChange::For(life) };
        let both = Op::Transact {
            expected: vec![(lease.clone(), Some(right.clone()))],
            changes: vec![(value, put), (lease, Change::Delete)],
        };
        match self.call(&both, self.step()).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidArgument => {
                self.put_apart(key, right, bytes, life).await;
            }
            Err(_) => self.give_back(key, right).await,
        }
    }

    /// The same in two steps.
    async fn put_apart(&self, key: &Key, right: Bytes, bytes: Bytes, life: Duration) {
        let [value, lease] = places(key);
        let set = Op::Set {
            key: value,
            value: bytes,
            ttl: TtlChange::For(life),
            condition: Condition::Always,
            want_previous: false,
        };
        let held = self.call(&Op::Get { key: lease.clone(), with_ttl: false }, self.step()).await;
        let held = held.and_then(Reply::into_record);
        if matches!(held, Ok(Some(record)) if record.value == right) {
            drop(self.call(&set, self.step()).await);
            self.give_back(key, right).await;
        }
    }

    /// Ends the lease. Where that fails it ends by itself.
    pub(super) async fn give_back(&self, key: &Key, right: Bytes) {
        let [_, lease] = places(key);
        let condition = Condition::ValueIs(right);
        let end = Op::Delete { key: lease, condition, want_previous: false };
        drop(self.call(&end, self.step()).await);
    }

    fn step(&self) -> Deadline {
        self.road.clock.deadline_in(self.road.nodes[self.node].timeout())
    }
}
