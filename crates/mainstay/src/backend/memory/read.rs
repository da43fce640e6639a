//! The reads of the memory backend.
//! It must not change anything but marks of use and records that have expired.

use bytes::Bytes;

use super::{Memory, shard::Held, shard_of};
use crate::{
    backend::semantics::{range_of, ttl_left},
    entry::{Key, Record, Ttl},
    error::{Error, ErrorKind, Result},
    op::Op,
    reply::Reply,
};

impl Memory {
    /// The reply to a read; `None` for a write.
    pub(super) fn read(&self, op: &Op) -> Option<Result<Reply>> {
        let reply = match op {
            Op::Get { key, with_ttl } => {
                Reply::Record(self.with(key, |held| self.record(held, *with_ttl)))
            }
            Op::GetMany { keys } => Reply::Records(self.get_many(keys)),
            Op::GetRange { key, start, end } => {
                let range = self.with(key, |held| range_of(&held.value, *start, *end));
                Reply::Bytes(range.unwrap_or_default())
            }
            Op::Length { key } => Reply::Integer(integer(self.with(key, |held| held.value.len()))),
            Op::TimeToLive { key } => {
                Reply::Ttl(self.with(key, |held| self.ttl(held)).unwrap_or(Ttl::Missing))
            }
            Op::Exists { keys } => Reply::Integer(integer(Some(self.exists(keys)))),
            Op::Scan { prefix, cursor, limit } => {
                return Some(self.scan(prefix, cursor.as_ref(), *limit).map(Reply::Page));
            }
            Op::Raw(_) => {
                let text = "memory takes no commands of Redis's own";
                return Some(Err(Error::new(ErrorKind::Unsupported, text)));
            }
            Op::Query(_) => {
                let text = "memory has no tables to query";
                return Some(Err(Error::new(ErrorKind::Unsupported, text)));
            }
            Op::Count { prefix } => Reply::Integer(integer(Some(self.count(prefix)))),
            Op::Set { .. }
            | Op::SetMany { .. }
            | Op::Delete { .. }
            | Op::DeleteMany { .. }
            | Op::Expire { .. }
            | Op::Increment { .. }
            | Op::IncrementFloat { .. }
            | Op::Append { .. }
            | Op::SetRange { .. }
            | Op::Move { .. }
            | Op::Transact { .. }
            | Op::Copy(_)
            | Op::Record(_)
            | Op::Lock(_)
            | Op::Fenced { .. } => return None,
        };
        Some(Ok(reply))
    }

    fn with<T>(&self, key: &Key, look: impl FnOnce(&Held) -> T) -> Option<T> {
        self.lock(shard_of(key)).find(key, || self.clock.unix_ms()).map(look)
    }

    fn record(&self, held: &Held, with_ttl: bool) -> Record {
        let expires_at = held.expires_at.filter(|_| with_ttl);
        let ttl = expires_at.map(|at| ttl_left(at, self.clock.unix_ms()));
        Record { value: held.value.clone(), version: Some(held.version()), ttl }
    }

    fn ttl(&self, held: &Held) -> Ttl {
        held.expires_at.map_or(Ttl::Persistent, |at| Ttl::Left(ttl_left(at, self.clock.unix_ms())))
    }

    /// All shards are held at once: a many-key write is seen whole or not at all.
    fn get_many(&self, keys: &[Key]) -> Vec<Option<Record>> {
        let mut shards = self.lock_all(keys);
        let now = self.clock.unix_ms();
        let records = keys
            .iter()
            .map(|key| shards.of(key).find(key, || now).map(|held| self.record(held, true)));
        records.collect()
    }

    fn exists(&self, keys: &[Key]) -> usize {
        let mut shards = self.lock_all(keys);
        let now = self.clock.unix_ms();
        keys.iter().filter(|key| shards.of(key).find(key, || now).is_some()).count()
    }

    fn count(&self, prefix: &Bytes) -> usize {
        (0..self.shards.len()).map(|shard| self.count_in(shard, prefix)).sum()
    }
}

fn integer(count: Option<usize>) -> i64 {
    i64::try_from(count.unwrap_or(0)).unwrap_or(i64::MAX)
}
