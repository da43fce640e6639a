//! Memory as the cache of a record route: each entry under its shard's lock, by `semantics::copies`.
//! It must not know what an entry means.

use std::sync::{PoisonError, atomic::Ordering};

use bytes::Bytes;

use super::{Memory, shard_of};
use crate::{
    backend::semantics::copies::{self, Next},
    entry::Key,
    error::Result,
    op::{Beacon, CopyOp},
    reply::Reply,
};

impl Memory {
    pub(super) fn copy(&self, op: &CopyOp) -> Result<Reply> {
        let reply = match op {
            CopyOp::Mark { keys, nonce, life } => {
                for key in keys {
                    self.change(key, |held, ends_at, now| {
                        (copies::mark(held, ends_at, *nonce, *life, now), true)
                    });
                }
                Reply::Done
            }
            CopyOp::Unmark { keys, nonce, clean } => {
                self.each(keys, |held, now| (copies::unmark(held, *nonce, *clean, now), true));
                Reply::Done
            }
            CopyOp::Publish { key, nonce, copy } => Reply::Flags(vec![
                self.change(key, |held, _, now| copies::publish(held, *nonce, copy, now)),
            ]),
            CopyOp::Token { keys, token, life } => {
                Reply::Flags(self.each(keys, |held, now| copies::token(held, *token, *life, now)))
            }
            CopyOp::Fill { entries, token } => {
                let put = entries.iter().map(|(key, copy)| {
                    self.change(key, |held, _, now| copies::fill(held, *token, copy, now))
                });
                Reply::Flags(put.collect())
            }
            CopyOp::Drain { keys } => {
                self.each(keys, |held, now| (copies::drain(held, now), true));
                Reply::Done
            }
            CopyOp::Beacon { key, raise } => Reply::Beacon(self.beacon(key, *raise)),
        };
        Ok(reply)
    }

    fn each(&self, keys: &[Key], to: impl Fn(Option<Bytes>, i64) -> (Next, bool)) -> Vec<bool> {
        keys.iter().map(|key| self.change(key, |held, _, now| to(held, now))).collect()
    }

    fn change(&self, key: &Key, to: impl FnOnce(Option<Bytes>, i64, i64) -> (Next, bool)) -> bool {
        let mut shard = self.lock(shard_of(key));
        let now = self.clock.unix_ms();
        let stored = shard.load(key, now);
        let ends_at = stored.as_ref().and_then(|stored| stored.expires_at).unwrap_or(i64::MAX);
        let (next, flag) = to(stored.map(|stored| stored.value), ends_at, now);
        self.followers.changed(key);
        match next {
            Next::Keep => {}
            Next::Remove => shard.remove(key),
            Next::Put(bytes, ends_at) => {
                shard.put(key, bytes, Some(ends_at), self.next_version().counter);
            }
        }
        flag
    }

    fn beacon(&self, key: &Key, raise: Option<u64>) -> Beacon {
        let mut shard = self.lock(shard_of(key));
        let now_ms = self.clock.unix_ms();
        let held = shard.load(key, now_ms).and_then(|stored| number(&stored.value)).unwrap_or(0);
        let raised = raise == Some(held);
        let beacon = held.saturating_add(u64::from(raised));
        if raised {
            let text = Bytes::from(beacon.to_string());
            shard.put(key, text, None, self.next_version().counter);
        }
        let identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Beacon { beacon, identity, now_ms, evicts: self.evicts.load(Ordering::Relaxed) }
    }
}

fn number(bytes: &Bytes) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
