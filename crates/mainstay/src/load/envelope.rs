//! What stands in a cache for a loaded value: when it was loaded, until when it is fresh, its tags, and the value or that
//! there is none.
//! It must not know where it stands, nor what a reader makes of it.
//!
//! `\0ml1` flags:u8 loaded_at:i64 fresh_until:i64 since:u64 tags:u8 (mark:u64 length:u8 tag)… value. Numbers big-endian; times in Unix
//! milliseconds of the cache's clock. Flag 1: there is nothing, and no value follows.

use std::{ops::Range, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};

const MAGIC: &[u8; 4] = b"\0ml1";
const NOTHING: u8 = 1;
/// Bytes before the tags.
const HEADER: usize = 30;
/// Bytes of a tag besides its name.
const TAG: usize = 9;

/// Tags of one value at most.
pub(super) const TAGS_MAX: usize = 16;
/// Bytes of one tag at most.
pub(super) const TAG_MAX: usize = 128;

/// A loaded value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    /// When its load began: what was invalidated before is known to it.
    pub(super) loaded_at: i64,
    /// From then on it is stale.
    pub(super) fresh_until: i64,
    /// The last invalidation of a prefix before its load.
    pub(super) since: u64,
    /// With which it can be invalidated, and the mark of each before its load.
    pub(super) tags: Vec<(Bytes, u64)>,
    /// The value; `None`: the truth says that there is nothing.
    pub(super) value: Option<Bytes>,
}

impl Envelope {
    /// As it is stored. Options were checked: tags are few and short.
    pub(super) fn encode(&self) -> Bytes {
        let value = self.value.as_deref().unwrap_or_default();
        let tags: usize = self.tags.iter().map(|(tag, _)| TAG + tag.len()).sum();
        let mut bytes = BytesMut::with_capacity(HEADER + tags + value.len());
        bytes.put_slice(MAGIC);
        bytes.put_u8(if self.value.is_none() { NOTHING } else { 0 });
        bytes.put_i64(self.loaded_at);
        bytes.put_i64(self.fresh_until);
        bytes.put_u64(self.since);
        bytes.put_u8(u8::try_from(self.tags.len()).unwrap_or(u8::MAX));
        for (tag, mark) in &self.tags {
            bytes.put_u64(*mark);
            bytes.put_u8(u8::try_from(tag.len()).unwrap_or(u8::MAX));
            bytes.put_slice(tag);
        }
        bytes.put_slice(value);
        bytes.freeze()
    }

    /// What was stored; `None`: something else, or of another version.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let header = Header::read(bytes)?;
        let Times { loaded_at, fresh_until } = header.times;
        let mut tags = Vec::with_capacity(header.tags);
        let begins = header.skip_tags(bytes, |mark, name| tags.push((bytes.slice(name), mark)))?;
        let value = (!header.nothing).then(|| bytes.slice(begins..));
        Some(Self { loaded_at, fresh_until, since: header.since, tags, value })
    }

    /// When it was loaded, and until when it is fresh.
    pub(super) fn times(&self) -> Times {
        Times { loaded_at: self.loaded_at, fresh_until: self.fresh_until }
    }
}

/// When a value was loaded, and from when on it is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) loaded_at: i64,
    fresh_until: i64,
}

impl Times {
    /// How long ago it was loaded.
    pub(super) fn age(self, now_ms: i64) -> Duration {
        millis(now_ms.saturating_sub(self.loaded_at))
    }

    /// How long it is fresh yet.
    pub(super) fn left(self, now_ms: i64) -> Duration {
        millis(self.left_ms(now_ms))
    }

    /// The same in milliseconds, below zero afterwards: each hit asks.
    pub(super) fn left_ms(self, now_ms: i64) -> i64 {
        self.fresh_until.saturating_sub(now_ms)
    }

    /// How long it is fresh in all.
    pub(super) fn fresh_for(self) -> Duration {
        self.left(self.loaded_at)
    }
}

/// What stands before tags and value: enough to tell whether the value is of use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) times: Times,
    since: u64,
    tags: usize,
    nothing: bool,
}

impl Header {
    /// Of what was stored; `None`: something else, or of another version.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.first_chunk::<HEADER>()?.strip_prefix(MAGIC)?;
        let flags = fields.get_u8();
        let times = Times { loaded_at: fields.get_i64(), fresh_until: fields.get_i64() };
        let (since, tags) = (fields.get_u64(), usize::from(fields.get_u8()));
        let known = flags & !NOTHING == 0 && tags <= TAGS_MAX;
        known.then_some(Self { times, since, tags, nothing: flags & NOTHING != 0 })
    }

    /// The value, where there is one; `None`: it is torn.
    pub(super) fn value(self, bytes: &Bytes) -> Option<Option<Bytes>> {
        let begins = self.skip_tags(bytes, |_, _| {})?;
        Some((!self.nothing).then(|| bytes.slice(begins..)))
    }

    /// Where the value begins; `each` is told the mark of a tag and where its name stands.
    fn skip_tags(self, bytes: &[u8], mut each: impl FnMut(u64, Range<usize>)) -> Option<usize> {
        let mut at = HEADER;
        for _ in 0..self.tags {
            let mut fields = bytes.get(at..at + TAG)?;
            let (mark, length) = (fields.get_u64(), usize::from(fields.get_u8()));
            let name = at + TAG..at + TAG + length;
            bytes.get(name.clone())?;
            at = name.end;
            each(mark, name);
        }
        Some(at)
    }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_stored_is_read_again(
            loaded_at in any::<i64>(),
            fresh_until in any::<i64>(),
            since in any::<u64>(),
            tags in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..TAG_MAX), 0..=TAGS_MAX),
            value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        ) {
            let tags = tags.into_iter().zip(0..).map(|(tag, mark)| (Bytes::from(tag), mark)).collect();
            let envelope = Envelope { loaded_at, fresh_until, since, tags, value: value.map(Bytes::from) };
            prop_assert_eq!(Envelope::decode(&envelope.encode()), Some(envelope));
        }

        #[test]
        fn what_is_not_ours_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let ours = Envelope::decode(&Bytes::from([MAGIC.as_slice(), &bytes].concat()));
            prop_assert!(ours.is_none_or(|envelope| envelope.tags.len() <= TAGS_MAX));
            if !bytes.starts_with(MAGIC.as_slice()) {
                prop_assert_eq!(Envelope::decode(&Bytes::from(bytes)), None);
            }
        }
    }
}
