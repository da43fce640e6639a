//! What stands under one key of a cache, and what each `CopyOp` does to it, as pure functions over the encoded entry.
//! It must not know the record, leases or processes. Memory runs this; Redis has it as scripts and is held to it by the
//! conformance suite. The same as a model: `mainstay_testkit::protocol::entry`.
//!
//! An entry is one string, so that a hot read is one GET; numbers big-endian, times in milliseconds of the cache's clock.
//! `V` epoch:u32 counter:u64 expires_at:i64 taken_at:i64 value — a value of the record (`expires_at` 0: the record does not
//! expire; the entry itself goes by the cache's own expiry).
//! `M` … — writes in flight, and what stood before them; only the cache itself reads more of it.
//! `L` token:u128 placed_at:i64 — a reader is filling.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{entry::Version, op::CopyValue};

#[cfg(test)]
mod tests;

/// A longer value is not kept behind a mark: it would be carried along with each further one.
const KEPT_MAX: usize = 64 << 10;

const VALUE_HEADER: usize = 1 + 4 + 8 + 8 + 8;

/// What stands under a key, as far as a reader needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A value of the record.
    Value {
        /// The value.
        value: Bytes,
        /// Its version.
        version: Version,
        /// When the record expires; `None`: it does not.
        expires_at: Option<i64>,
        /// When its mark or token was placed.
        taken_at: i64,
    },
    /// Writes are in flight.
    Marked,
    /// The reader with this token is filling.
    Filling(u128),
    /// Not of this encoding: never a value.
    Unreadable,
}

/// Reads an entry.
pub fn read(mut bytes: Bytes) -> Seen {
    match bytes.first() {
        Some(b'V') if bytes.len() >= VALUE_HEADER => {
            bytes.advance(1);
            let version = Version { epoch: bytes.get_u32(), counter: bytes.get_u64() };
            let expires_at = Some(bytes.get_i64()).filter(|at| *at != 0);
            let taken_at = bytes.get_i64();
            Seen::Value { value: bytes, version, expires_at, taken_at }
        }
        Some(b'M') => Seen::Marked,
        Some(b'L') if bytes.len() == 25 => {
            bytes.advance(1);
            Seen::Filling(bytes.get_u128())
        }
        Some(b'L') => Seen::Filling(0),
        _ => Seen::Unreadable,
    }
}

/// What a `CopyOp` does to one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Keep,
    /// It goes.
    Remove,
    /// It is replaced, and expires then (milliseconds of the cache's clock).
    Put(Bytes, i64),
}

/// A write in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nonce {
    nonce: u128,
    placed_at: i64,
    ends_at: i64,
}

/// Writes in flight under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Marks {
    nonces: Vec<Nonce>,
    /// Some write may have committed without an offer: nothing may be left behind.
    taint: bool,
    /// The newest value that stood here or that a publish has offered, encoded, and when its copy ends.
    best: Option<(Bytes, i64)>,
}

/// One entry, decoded.
enum Entry {
    Absent,
    Value(Version, Bytes),
    Marked(Marks),
    Token { token: u128, placed_at: i64 },
    Unreadable,
}

/// A write announces itself. `ends_at`: when what stands there would go by itself.
pub fn mark(current: Option<Bytes>, ends_at: i64, nonce: u128, life: Duration, now: i64) -> Next {
    let mut marks = match decode(current, now) {
        Entry::Marked(marks) => marks,
        Entry::Value(_, kept) if kept.len() <= KEPT_MAX => {
            Marks { best: Some((kept, ends_at)), ..Marks::default() }
        }
        _ => Marks::default(),
    };
    marks.nonces.push(Nonce { nonce, placed_at: now, ends_at: now.saturating_add(millis(life)) });
    marks.put()
}

/// A nonce is withdrawn. Unless it is `clean`, its write may have committed, also when its mark is not found any more.
pub fn unmark(current: Option<Bytes>, nonce: u128, clean: bool, now: i64) -> Next {
    match decode(current, now) {
        Entry::Marked(mut marks) => {
            marks.take(nonce);
            marks.taint |= !clean;
            marks.end(now)
        }
        _ => Next::Keep,
    }
}

/// A committed write takes its nonce away and offers its value; also whether the mark still stood.
pub fn publish(current: Option<Bytes>, nonce: u128, copy: &CopyValue, now: i64) -> (Next, bool) {
    match decode(current, now) {
        Entry::Marked(mut marks) => match marks.take(nonce) {
            Some(mine) => {
                marks.offer(copy, mine.placed_at);
                (marks.end(now), true)
            }
            // The mark was lost: whoever shares it must not leave a value that is older than this one.
            None => {
                marks.taint = true;
                (marks.end(now), false)
            }
        },
        // It is not known when a lost mark was placed, so the newer value cannot be dated: nothing is left.
        Entry::Value(version, _) if version < copy.version => (Next::Remove, false),
        Entry::Token { .. } | Entry::Unreadable => (Next::Remove, false),
        Entry::Value(..) | Entry::Absent => (Next::Keep, false),
    }
}

/// A reader that found nothing asks for the right to fill; also whether it has it.
pub fn token(current: Option<Bytes>, token: u128, life: Duration, now: i64) -> (Next, bool) {
    match decode(current, now) {
        Entry::Absent | Entry::Unreadable => {
            let mut bytes = BytesMut::with_capacity(25);
            bytes.put_u8(b'L');
            bytes.put_u128(token);
            bytes.put_i64(now);
            (Next::Put(bytes.freeze(), now.saturating_add(millis(life))), true)
        }
        Entry::Value(..) | Entry::Marked(_) | Entry::Token { .. } => (Next::Keep, false),
    }
}

/// Puts a value only while the token stands; also whether it did.
pub fn fill(current: Option<Bytes>, token: u128, copy: &CopyValue, now: i64) -> (Next, bool) {
    match decode(current, now) {
        Entry::Token { token: stands, placed_at } if stands == token => {
            let ends_at = placed_at.saturating_add(millis(copy.life));
            let next = if ends_at > now {
                Next::Put(encode(copy, placed_at), ends_at)
            } else {
                Next::Remove
            };
            (next, true)
        }
        _ => (Next::Keep, false),
    }
}

/// The key was written around the cache.
pub fn drain(current: Option<Bytes>, now: i64) -> Next {
    match decode(current, now) {
        Entry::Absent => Next::Keep,
        Entry::Value(..) | Entry::Token { .. } | Entry::Unreadable => Next::Remove,
        Entry::Marked(mut marks) => {
            marks.taint = true;
            marks.end(now)
        }
    }
}

impl Marks {
    fn take(&mut self, nonce: u128) -> Option<Nonce> {
        let at = self.nonces.iter().position(|stands| stands.nonce == nonce)?;
        Some(self.nonces.swap_remove(at))
    }

    fn offer(&mut self, copy: &CopyValue, placed_at: i64) {
        let newer = self.best.as_ref().is_none_or(|(best, _)| version_of(best) < copy.version);
        if newer {
            let ends_at = placed_at.saturating_add(millis(copy.life));
            self.best = Some((encode(copy, placed_at), ends_at));
        }
    }

    /// When the last nonce has gone, the best offer becomes the value, or nothing if tainted.
    fn end(self, now: i64) -> Next {
        if !self.nonces.is_empty() {
            return self.put();
        }
        match self.best {
            Some((best, ends_at)) if !self.taint && ends_at > now => Next::Put(best, ends_at),
            _ => Next::Remove,
        }
    }

    fn put(&self) -> Next {
        let ends_at = self.nonces.iter().map(|nonce| nonce.ends_at).max().unwrap_or(0);
        let mut bytes = BytesMut::new();
        bytes.put_u8(b'M');
        bytes.put_u8(u8::from(self.taint));
        bytes.put_u32(u32::try_from(self.nonces.len()).unwrap_or(u32::MAX));
        for nonce in &self.nonces {
            bytes.put_u128(nonce.nonce);
            bytes.put_i64(nonce.placed_at);
            bytes.put_i64(nonce.ends_at);
        }
        if let Some((best, ends_at)) = &self.best {
            bytes.put_i64(*ends_at);
            bytes.put_slice(best);
        }
        Next::Put(bytes.freeze(), ends_at)
    }

    /// Nonces whose time is over go, and taint: their writes may have committed.
    fn read(mut bytes: Bytes, now: i64) -> Option<Self> {
        let taint = bytes.try_get_u8().ok()? != 0;
        let count = bytes.try_get_u32().ok()?;
        let mut marks = Self { taint, ..Self::default() };
        for _ in 0..count {
            let nonce = bytes.try_get_u128().ok()?;
            let (placed_at, ends_at) = (bytes.try_get_i64().ok()?, bytes.try_get_i64().ok()?);
            if ends_at > now {
                marks.nonces.push(Nonce { nonce, placed_at, ends_at });
            } else {
                marks.taint = true;
            }
        }
        if !bytes.is_empty() {
            let ends_at = bytes.try_get_i64().ok()?;
            marks.best = Some((bytes, ends_at));
        }
        Some(marks)
    }
}

fn decode(current: Option<Bytes>, now: i64) -> Entry {
    let Some(mut bytes) = current else { return Entry::Absent };
    match read(bytes.clone()) {
        Seen::Value { version, .. } => Entry::Value(version, bytes),
        Seen::Marked => {
            bytes.advance(1);
            match Marks::read(bytes, now) {
                Some(marks) if marks.nonces.is_empty() => Entry::Absent,
                Some(marks) => Entry::Marked(marks),
                None => Entry::Unreadable,
            }
        }
        Seen::Filling(token) if bytes.len() == 25 => {
            bytes.advance(17);
            Entry::Token { token, placed_at: bytes.get_i64() }
        }
        Seen::Filling(_) | Seen::Unreadable => Entry::Unreadable,
    }
}

fn encode(copy: &CopyValue, placed_at: i64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(VALUE_HEADER + copy.value.len());
    bytes.put_u8(b'V');
    bytes.put_u32(copy.version.epoch);
    bytes.put_u64(copy.version.counter);
    bytes.put_i64(copy.ttl.map_or(0, |ttl| placed_at.saturating_add(millis(ttl))));
    bytes.put_i64(placed_at);
    bytes.put_slice(&copy.value);
    bytes.freeze()
}

fn version_of(value: &Bytes) -> Version {
    match read(value.clone()) {
        Seen::Value { version, .. } => version,
        Seen::Marked | Seen::Filling(_) | Seen::Unreadable => Version { epoch: 0, counter: 0 },
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
