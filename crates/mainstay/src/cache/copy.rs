//! The encoding of a copy: one string per key, so that a hot read is one GET.
//! It must not know which cache holds it.
//!
//! `V` epoch:u32 counter:u64 expires_at:i64 filled_at:i64 value — a value of the record, numbers big-endian, times in
//! Unix milliseconds (`i64::MAX`: no expiry).
//! `L` token:u128 — a reader is filling; only who holds the token may put the value.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::entry::{Key, Record, Version};

/// Copies stand under this prefix, followed by the key; scans of users never show them.
pub(crate) const PREFIX: &[u8] = b"mainstay:0:";

const VALUE_HEADER: usize = 1 + 4 + 8 + 8 + 8;

/// What stands in the cache under a copy's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Copy {
    /// A value of the record.
    Value {
        /// The record as it was, its TTL counted from now.
        record: Record,
        /// How long ago it was taken from the record.
        age: Duration,
    },
    /// A reader is filling.
    Filling,
    /// Expired, or not of this encoding: not to be trusted, and not to be filled over blindly.
    Unreadable,
}

/// The key of the copy.
pub(crate) fn key_of(key: &Key) -> Key {
    let mut bytes = BytesMut::with_capacity(PREFIX.len() + key.as_bytes().len());
    bytes.put_slice(PREFIX);
    bytes.put_slice(key.as_bytes());
    Key::new(bytes.freeze())
}

/// A value as it stands in the cache. `now` is Unix milliseconds.
pub(crate) fn encode(record: &Record, now: i64) -> Bytes {
    let version = record.version.unwrap_or(Version { epoch: 0, counter: 0 });
    let expires_at = record.ttl.map_or(i64::MAX, |ttl| now.saturating_add(millis(ttl)));
    let mut bytes = BytesMut::with_capacity(VALUE_HEADER + record.value.len());
    bytes.put_u8(b'V');
    bytes.put_u32(version.epoch);
    bytes.put_u64(version.counter);
    bytes.put_i64(expires_at);
    bytes.put_i64(now);
    bytes.put_slice(&record.value);
    bytes.freeze()
}

/// A fill token as it stands in the cache.
pub(crate) fn encode_token(token: u128) -> Bytes {
    let mut bytes = BytesMut::with_capacity(17);
    bytes.put_u8(b'L');
    bytes.put_u128(token);
    bytes.freeze()
}

/// Reads what stands in the cache. `now` is Unix milliseconds.
pub(crate) fn decode(mut bytes: Bytes, now: i64) -> Copy {
    match bytes.first() {
        Some(b'L') if bytes.len() == 17 => Copy::Filling,
        Some(b'V') if bytes.len() >= VALUE_HEADER => {
            bytes.advance(1);
            let version = Version { epoch: bytes.get_u32(), counter: bytes.get_u64() };
            let (expires_at, filled_at) = (bytes.get_i64(), bytes.get_i64());
            if expires_at <= now {
                return Copy::Unreadable;
            }
            let ttl = (expires_at != i64::MAX).then(|| since(now, expires_at));
            let version = (version.counter > 0).then_some(version);
            Copy::Value {
                record: Record { value: bytes, version, ttl },
                age: since(filled_at, now),
            }
        }
        _ => Copy::Unreadable,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn since(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_reads_back_with_its_age_and_time_left() {
        let version = Some(Version { epoch: 3, counter: 9 });
        let record = Record {
            value: Bytes::from_static(b"\0v\xff"),
            version,
            ttl: Some(Duration::from_millis(500)),
        };
        let left = Record { ttl: Some(Duration::from_millis(400)), ..record.clone() };
        let read = decode(encode(&record, 1_000), 1_100);
        assert_eq!(read, Copy::Value { record: left, age: Duration::from_millis(100) });
        assert_eq!(decode(encode(&record, 1_000), 1_500), Copy::Unreadable);
    }

    #[test]
    fn what_is_not_a_copy_is_never_a_value() {
        for bytes in [&b""[..], b"V", b"Vshort", b"L", b"hello", b"M123456789012345678901234567890"]
        {
            assert_eq!(decode(Bytes::from_static(bytes), 0), Copy::Unreadable, "{bytes:?}");
        }
        assert_eq!(decode(encode_token(7), 0), Copy::Filling);
    }
}
