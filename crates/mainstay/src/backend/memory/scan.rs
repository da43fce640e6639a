//! Walking over all records: pages of a scan, and counts.
//! It must not hold a shard's lock for long: it goes in steps, and others write in between.

use bytes::{BufMut, Bytes, BytesMut};

use super::Memory;
use crate::{
    error::{Error, ErrorKind, Result},
    reply::Page,
};

/// Places that are looked at under one lock.
const STEPS: usize = 1024;

/// Places that one page looks at in all, per key asked for, before it goes out as it is.
const PLACES_PER_KEY: usize = 64;

impl Memory {
    /// A whole scan looks at every place once, whatever the prefix: it costs as much as there are records.
    ///
    /// The cursor is a shard and a place in it. A record keeps its place while it exists, so a key that is there
    /// throughout is returned, and once only.
    pub(super) fn scan(
        &self,
        prefix: &Bytes,
        cursor: Option<&Bytes>,
        limit: usize,
    ) -> Result<Page> {
        let (mut shard, mut place) = cursor.map_or(Ok((0, 0)), decode)?;
        let (now, limit) = (self.clock.unix_ms(), limit.max(1));
        let mut keys = Vec::new();
        let mut steps_left = limit.saturating_mul(PLACES_PER_KEY).max(STEPS);
        while shard < self.shards.len() {
            if keys.len() >= limit || steps_left == 0 {
                return Ok(Page { keys, next: Some(encode(shard, place)) });
            }
            let steps = STEPS.min(steps_left);
            let next = self.lock(shard).walk(place, steps, |held| {
                if held.key.as_bytes().starts_with(prefix) && !held.expired(now) {
                    keys.push(held.key.clone());
                }
                keys.len() < limit
            });
            steps_left -= steps;
            (shard, place) = next.map_or((shard + 1, 0), |place| (shard, place));
        }
        Ok(Page { keys, next: None })
    }

    pub(super) fn count_in(&self, shard: usize, prefix: &Bytes) -> usize {
        let now = self.clock.unix_ms();
        if prefix.is_empty() {
            return self.lock(shard).live(now);
        }
        let (mut count, mut from) = (0, Some(0));
        while let Some(place) = from {
            from = self.lock(shard).walk(place, STEPS, |held| {
                let counts = held.key.as_bytes().starts_with(prefix) && !held.expired(now);
                count += usize::from(counts);
                true
            });
        }
        count
    }
}

fn encode(shard: usize, place: usize) -> Bytes {
    let mut cursor = BytesMut::with_capacity(16);
    cursor.put_u64(shard as u64);
    cursor.put_u64(place as u64);
    cursor.freeze()
}

fn decode(cursor: &Bytes) -> Result<(usize, usize)> {
    let number = |part: &[u8]| {
        <[u8; 8]>::try_from(part)
            .ok()
            .and_then(|part| usize::try_from(u64::from_be_bytes(part)).ok())
    };
    let parts = cursor.split_at_checked(8);
    let decoded = parts.and_then(|(shard, place)| Some((number(shard)?, number(place)?)));
    decoded.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "not a cursor of this backend"))
}
