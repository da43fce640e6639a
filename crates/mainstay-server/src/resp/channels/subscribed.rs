//! What one client listens to. Dropped, it listens to nothing.
//! It must not know how it is told.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{Ear, Hub, Kind, Name, upstream::Upstream};

/// Names that one client listens to at most.
pub(in crate::resp) const NAMES_MAX: usize = 10_000;

/// A name that is told of here while this lives.
#[derive(Debug)]
pub(in crate::resp) struct Held {
    upstream: Arc<Upstream>,
    name: Name,
}

impl Held {
    pub(super) fn new(upstream: &Arc<Upstream>, name: Name) -> Self {
        upstream.want(&name);
        Self { upstream: Arc::clone(upstream), name }
    }

    pub(in crate::resp) fn name(&self) -> &Name {
        &self.name
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.upstream.let_go(&self.name);
    }
}

/// The names of one client.
#[derive(Debug)]
pub(in crate::resp) struct Subscribed {
    hub: Arc<Hub>,
    pub(in crate::resp) ear: Arc<Ear>,
    names: BTreeMap<Name, Held>,
    /// What the names take.
    bytes: usize,
}

/// Bytes that a name takes besides its own, here and in the hub.
const EACH: usize = 256;

impl Subscribed {
    pub(in crate::resp) fn new(hub: Arc<Hub>, ear: Ear) -> Self {
        Self { hub, ear: Arc::new(ear), names: BTreeMap::new(), bytes: 0 }
    }

    pub(in crate::resp) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(in crate::resp) fn len(&self) -> usize {
        self.names.len()
    }

    /// How many names a confirmation of this kind counts.
    pub(in crate::resp) fn count(&self, kind: Kind) -> i64 {
        let shard = kind == Kind::Shard;
        let counted = self.names.keys().filter(|name| (name.0 == Kind::Shard) == shard);
        i64::try_from(counted.count()).unwrap_or(i64::MAX)
    }

    /// Listens to one more.
    pub(in crate::resp) fn add(&mut self, held: Held) {
        let name = held.name().clone();
        self.hub.enter(&name, &self.ear);
        let bytes = EACH + name.1.len();
        if self.names.insert(name, held).is_none() {
            self.bytes += bytes;
        }
    }

    /// Listens to one less.
    pub(in crate::resp) fn remove(&mut self, kind: Kind, name: &Bytes) {
        let name = (kind, name.clone());
        if self.names.remove(&name).is_some() {
            self.bytes -= EACH + name.1.len();
            self.hub.leave(&name, self.ear.id());
        }
    }

    /// Bytes that the names take.
    pub(in crate::resp) fn held(&self) -> usize {
        self.bytes
    }

    /// The names of one kind.
    pub(in crate::resp) fn of(&self, kind: Kind) -> Vec<Bytes> {
        let names = self.names.keys().filter(|name| name.0 == kind);
        names.map(|name| name.1.clone()).collect()
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        for name in self.names.keys() {
            self.hub.leave(name, self.ear.id());
        }
    }
}
