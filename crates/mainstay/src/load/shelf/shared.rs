//! Where the marks of a shelf stand that processes share: read as fresh as the route promises, written for all of them.
//! It must not know what they say.

use super::{Copies, Plain};
use crate::{
    clock::Deadline,
    entry::{Key, Record},
    error::Result,
    exec::loaded,
    guard,
    op::Op,
    reply::Reply,
};

/// Where the marks of a shelf stand that processes share.
pub(in crate::load) enum SharedMarks<'a> {
    Copies(&'a Copies<'a>),
    Plain(&'a Plain<'a>),
}

impl SharedMarks<'_> {
    /// Where the route's invalidated prefixes are listed.
    pub(in crate::load) fn prefixes_key(&self) -> Key {
        let route = match self {
            SharedMarks::Copies(copies) => copies.route,
            SharedMarks::Plain(plain) => plain.route,
        };
        Key::new([Key::RESERVED, b"prefixes:", &route.prefix].concat())
    }

    /// A tag's mark. Two caches before one record each have their own: a write hides the copies of one cache.
    pub(in crate::load) fn tag_key(&self, tag: &[u8]) -> Key {
        let name = match self {
            SharedMarks::Copies(copies) => copies.domain.name.as_bytes(),
            SharedMarks::Plain(_) => b"",
        };
        Key::new([Key::RESERVED, b"tag:", name, b":", tag].concat())
    }

    /// As fresh as the route promises.
    pub(in crate::load) async fn read(
        &self,
        keys: &[Key],
        deadline: Deadline,
    ) -> Result<Vec<Option<Record>>> {
        match self {
            SharedMarks::Copies(Copies { road, route, domain }) => {
                loaded::read(road, route, domain, keys, deadline).await
            }
            SharedMarks::Plain(plain) => {
                let op = Op::GetMany { keys: keys.to_vec() };
                plain.call(&op, deadline).await?.into_records()
            }
        }
    }

    /// From where it was written.
    pub(in crate::load) async fn read_truth(
        &self,
        key: &Key,
        deadline: Deadline,
    ) -> Result<Option<Record>> {
        let op = Op::Get { key: key.clone(), with_ttl: false };
        let reply = match self {
            SharedMarks::Copies(Copies { road, domain, .. }) => {
                guard::call(&road.nodes[domain.record], &op, deadline).await?
            }
            SharedMarks::Plain(plain) => plain.call(&op, deadline).await?,
        };
        reply.into_record()
    }

    pub(in crate::load) async fn write(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        match self {
            SharedMarks::Copies(Copies { road, route, domain }) => {
                loaded::write(road, route, domain, op, deadline).await
            }
            SharedMarks::Plain(plain) => plain.call(op, deadline).await,
        }
    }
}
