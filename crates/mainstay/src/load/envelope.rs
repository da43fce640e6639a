//! What stands in a cache for a loaded value: when it was loaded, until when it is fresh, its tags, and the value or that
//! there is none.
//! It must not know where it stands, nor what a reader makes of it.
//!
//! `\0ml1` flags:u8 loaded_at:i64 fresh_until:i64 tags:u8 (length:u8 tag)… value. Numbers big-endian; times in Unix
//! milliseconds of the cache's clock. Flag 1: there is nothing, and no value follows.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

const MAGIC: &[u8] = b"\0ml1";
const NOTHING: u8 = 1;

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
    /// With which it can be invalidated.
    pub(super) tags: Vec<Bytes>,
    /// The value; `None`: the truth says that there is nothing.
    pub(super) value: Option<Bytes>,
}

impl Envelope {
    /// As it is stored. Options were checked: tags are few and short.
    pub(super) fn encode(&self) -> Bytes {
        let value = self.value.as_deref().unwrap_or_default();
        let tags: usize = self.tags.iter().map(|tag| 1 + tag.len()).sum();
        let mut bytes = BytesMut::with_capacity(MAGIC.len() + 18 + tags + value.len());
        bytes.put_slice(MAGIC);
        bytes.put_u8(if self.value.is_none() { NOTHING } else { 0 });
        bytes.put_i64(self.loaded_at);
        bytes.put_i64(self.fresh_until);
        bytes.put_u8(u8::try_from(self.tags.len()).unwrap_or(u8::MAX));
        for tag in &self.tags {
            bytes.put_u8(u8::try_from(tag.len()).unwrap_or(u8::MAX));
            bytes.put_slice(tag);
        }
        bytes.put_slice(value);
        bytes.freeze()
    }

    /// What was stored; `None`: something else, or of another version.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        bytes.advance(MAGIC.len());
        let flags = bytes.try_get_u8().ok().filter(|flags| flags & !NOTHING == 0)?;
        let (loaded_at, fresh_until) = (bytes.try_get_i64().ok()?, bytes.try_get_i64().ok()?);
        let count = usize::from(bytes.try_get_u8().ok()?);
        if count > TAGS_MAX {
            return None;
        }
        let mut tags = Vec::with_capacity(count);
        for _ in 0..count {
            let length = usize::from(bytes.try_get_u8().ok()?);
            if length > bytes.len() {
                return None;
            }
            tags.push(bytes.split_to(length));
        }
        let nothing = flags & NOTHING != 0;
        let value = (!nothing).then_some(bytes);
        Some(Self { loaded_at, fresh_until, tags, value })
    }

    /// How long ago it was loaded.
    pub(super) fn age(&self, now_ms: i64) -> Duration {
        millis(now_ms.saturating_sub(self.loaded_at))
    }

    /// How long it is fresh yet.
    pub(super) fn left(&self, now_ms: i64) -> Duration {
        millis(self.fresh_until.saturating_sub(now_ms))
    }

    /// How long it is fresh in all.
    pub(super) fn fresh_for(&self) -> Duration {
        self.left(self.loaded_at)
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
            tags in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..TAG_MAX), 0..=TAGS_MAX),
            value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        ) {
            let tags = tags.into_iter().map(Bytes::from).collect();
            let envelope = Envelope { loaded_at, fresh_until, tags, value: value.map(Bytes::from) };
            prop_assert_eq!(Envelope::decode(envelope.encode()), Some(envelope));
        }

        #[test]
        fn what_is_not_ours_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let ours = Envelope::decode(Bytes::from([MAGIC, &bytes].concat()));
            prop_assert!(ours.is_none_or(|envelope| envelope.tags.len() <= TAGS_MAX));
            if !bytes.starts_with(MAGIC) {
                prop_assert_eq!(Envelope::decode(Bytes::from(bytes)), None);
            }
        }
    }
}
