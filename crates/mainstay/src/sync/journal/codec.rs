//! The bytes of one payload: entries, voids, dead letters; numbers little-endian, keys and values verbatim.
//! It must not know frames nor files. What is read is never trusted: no length is believed beyond what is there.

use bytes::Bytes;

use super::entry::{Base, DeadLetter, JournalEntry};
use crate::{
    entry::{Key, Version},
    op::{Condition, ExpireCondition, Op, TtlChange},
};

const ENTRY: u8 = 1;
const VOID: u8 = 2;
const DEAD: u8 = 3;
const DISCARD: u8 = 4;

const SET: u8 = 1;
const SET_MANY: u8 = 2;
const DELETE: u8 = 3;
const DELETE_MANY: u8 = 4;
const EXPIRE: u8 = 5;

/// One payload.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Payload {
    /// A write that waits.
    Entry(JournalEntry),
    /// These numbers were given to writes whose outcome was reported as unknown: they are not to be applied.
    Void { first: u64, last: u64 },
    /// A write that will not be applied.
    Dead(DeadLetter),
    /// The dead letter with this number is of no use any more.
    Discard { seq: u64 },
}

impl Payload {
    /// The number by which payloads of one file rise.
    pub(super) fn seq(&self) -> u64 {
        match self {
            Payload::Entry(entry) => entry.seq,
            Payload::Void { last, .. } => *last,
            Payload::Dead(letter) => letter.entry.seq,
            Payload::Discard { seq } => *seq,
        }
    }

    /// Writes it down.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Payload::Entry(entry) => encode_entry(entry, out),
            Payload::Void { first, last } => {
                out.push(VOID);
                out.extend(first.to_le_bytes());
                out.extend(last.to_le_bytes());
            }
            Payload::Dead(letter) => {
                out.push(DEAD);
                out.extend(letter.at_unix_ms.to_le_bytes());
                put(out, letter.reason.as_bytes());
                encode_entry(&letter.entry, out);
            }
            Payload::Discard { seq } => {
                out.push(DISCARD);
                out.extend(seq.to_le_bytes());
            }
        }
    }

    /// Reads it; `None` when these bytes are not exactly one payload.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let payload = match input.u8()? {
            ENTRY => Payload::Entry(decode_entry(&mut input)?),
            VOID => Payload::Void { first: input.u64()?, last: input.u64()? },
            DEAD => {
                let at_unix_ms = input.i64()?;
                let reason = input.text()?;
                if input.u8()? != ENTRY {
                    return None;
                }
                let entry = decode_entry(&mut input)?;
                Payload::Dead(DeadLetter { entry, reason, at_unix_ms })
            }
            DISCARD => Payload::Discard { seq: input.u64()? },
            _ => return None,
        };
        input.0.is_empty().then_some(payload)
    }
}

/// Writes an entry down as a payload.
pub(super) fn encode_entry(entry: &JournalEntry, out: &mut Vec<u8>) {
    out.push(ENTRY);
    out.extend(entry.seq.to_le_bytes());
    out.extend(entry.accepted_unix_ms.to_le_bytes());
    put(out, entry.route.as_bytes());
    put_optional(out, entry.base.version, |out, version| {
        out.extend(version.epoch.to_le_bytes());
        out.extend(version.counter.to_le_bytes());
    });
    put_optional(out, entry.base.known_until_us, |out, at| out.extend(at.to_le_bytes()));
    put_optional(out, entry.base.after_seq, |out, seq| out.extend(seq.to_le_bytes()));
    encode_write(&entry.write, out);
}

/// Bytes of an entry's record, or a few more.
pub(super) fn size_max(write: &Op, route: &str) -> usize {
    let mut bytes = 128 + route.len();
    write.for_each_key(|key| bytes += 8 + key.as_bytes().len());
    match write {
        Op::Set { value, .. } => bytes += value.len(),
        Op::SetMany { entries, .. } => {
            bytes += entries.iter().map(|(_, value)| value.len()).sum::<usize>();
        }
        _ => {}
    }
    bytes
}

fn decode_entry(input: &mut Input<'_>) -> Option<JournalEntry> {
    Some(JournalEntry {
        seq: input.u64()?,
        accepted_unix_ms: input.i64()?,
        route: input.text()?,
        base: Base {
            version: input
                .optional(|input| Some(Version { epoch: input.u32()?, counter: input.u64()? }))?,
            known_until_us: input.optional(Input::i64)?,
            after_seq: input.optional(Input::u64)?,
        },
        write: decode_write(input)?,
    })
}

/// Only writes that `entry::accepted` has let through come here; another is written as one that cannot be read.
fn encode_write(write: &Op, out: &mut Vec<u8>) {
    match write {
        Op::Set { key, value, ttl, .. } => {
            out.push(SET);
            put(out, key.as_bytes());
            put(out, value);
            put_ttl(out, *ttl);
        }
        Op::SetMany { entries, ttl, .. } => {
            out.push(SET_MANY);
            put_ttl(out, *ttl);
            put_length(out, entries.len());
            for (key, value) in entries {
                put(out, key.as_bytes());
                put(out, value);
            }
        }
        Op::Delete { key, .. } => {
            out.push(DELETE);
            put(out, key.as_bytes());
        }
        Op::DeleteMany { keys } => {
            out.push(DELETE_MANY);
            put_length(out, keys.len());
            keys.iter().for_each(|key| put(out, key.as_bytes()));
        }
        Op::Expire { key, ttl, .. } => {
            out.push(EXPIRE);
            put(out, key.as_bytes());
            put_ttl(out, *ttl);
        }
        _ => out.push(0),
    }
}

fn decode_write(input: &mut Input<'_>) -> Option<Op> {
    Some(match input.u8()? {
        SET => Op::Set {
            key: input.key()?,
            value: input.value()?,
            ttl: input.ttl()?,
            condition: Condition::Always,
            want_previous: false,
        },
        SET_MANY => Op::SetMany {
            ttl: input.ttl()?,
            entries: input.list(|input| Some((input.key()?, input.value()?)))?,
            all_absent: false,
        },
        DELETE => {
            Op::Delete { key: input.key()?, condition: Condition::Always, want_previous: false }
        }
        DELETE_MANY => Op::DeleteMany { keys: input.list(Input::key)? },
        EXPIRE => {
            Op::Expire { key: input.key()?, ttl: input.ttl()?, condition: ExpireCondition::Always }
        }
        _ => return None,
    })
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend(bytes);
}

/// A length beyond 32 bits is refused before (`frame::LEN_MAX`).
fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}

/// A relative TTL has been made absolute before.
fn put_ttl(out: &mut Vec<u8>, ttl: TtlChange) {
    match ttl {
        TtlChange::Clear => out.push(0),
        TtlChange::Keep => out.push(1),
        TtlChange::At(at) => {
            out.push(2);
            out.extend(at.to_le_bytes());
        }
        TtlChange::For(_) => out.push(u8::MAX),
    }
}

/// What has not been read yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }

    fn key(&mut self) -> Option<Key> {
        self.bytes().map(Key::from)
    }

    fn value(&mut self) -> Option<Bytes> {
        self.bytes().map(Bytes::copy_from_slice)
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    /// The vector grows with what is read, not with what is announced.
    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.u32()?;
        (0..length).map(|_| read(self)).collect()
    }

    fn ttl(&mut self) -> Option<TtlChange> {
        match self.u8()? {
            0 => Some(TtlChange::Clear),
            1 => Some(TtlChange::Keep),
            2 => self.i64().map(TtlChange::At),
            _ => None,
        }
    }
}
