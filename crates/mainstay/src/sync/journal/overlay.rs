//! What this process's own reads see of writes that wait in the journal: per key the effect of all that wait.
//! It must not know files. As large as what waits, which the journal bounds.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::entry::{Base, JournalEntry};
use crate::{
    entry::Key,
    op::{Op, TtlChange},
};

/// The value under a key, once all that waits for it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OverlaidValue {
    /// This one.
    Set(Bytes),
    /// None.
    Deleted,
    /// The one in the record: only the expiry is changed.
    AsInRecord,
}

/// The expiry of a key, once all that waits for it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverlaidExpiry {
    /// None.
    Never,
    /// At this time, Unix milliseconds.
    At(i64),
    /// The one in the record.
    AsInRecord,
}

/// What waits for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overlaid {
    /// The value.
    pub(crate) value: OverlaidValue,
    /// The expiry.
    pub(crate) expires: OverlaidExpiry,
    /// The newest entry.
    pub(crate) seq: u64,
}

impl Overlaid {
    /// Whether the key is gone at this time.
    pub(crate) fn gone(&self, now_unix_ms: i64) -> bool {
        let expired = matches!(self.expires, OverlaidExpiry::At(at) if at <= now_unix_ms);
        self.value == OverlaidValue::Deleted || expired
    }
}

/// What waits, by key.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    keys: HashMap<Key, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// Rising; at least one.
    seqs: VecDeque<u64>,
    seen: Overlaid,
}

impl Overlay {
    /// What waits for this key.
    pub(crate) fn get(&self, key: &Key) -> Option<Overlaid> {
        self.keys.get(key).map(|waiting| waiting.seen.clone())
    }

    /// What a further write to this key is based on: the newest one that waits.
    pub(crate) fn version_base(&self, key: &Key) -> Option<Base> {
        let newest = self.keys.get(key)?.seen.seq;
        Some(Base { after_seq: Some(newest), ..Base::default() })
    }

    /// One more waits. Entries come in their order.
    pub(super) fn add(&mut self, entry: &JournalEntry) {
        let (seq, at) = (entry.seq, entry.accepted_unix_ms);
        for_each_change(&entry.write, |key, change| {
            let waiting = self
                .keys
                .entry(key.clone())
                .or_insert_with(|| Waiting { seqs: VecDeque::new(), seen: untouched(seq) });
            // A key may stand twice in one write.
            if waiting.seqs.back() != Some(&seq) {
                waiting.seqs.push_back(seq);
            }
            change.apply(&mut waiting.seen, at);
            waiting.seen.seq = seq;
        });
    }

    /// This one does not wait any more: the record has it.
    pub(super) fn applied(&mut self, entry: &JournalEntry) {
        entry.write.for_each_key(|key| self.forget(key, entry.seq));
    }

    /// This one will not be applied: its keys look as if it had never been. `find` gives those that still wait.
    pub(super) fn discarded<'a>(
        &mut self,
        entry: &JournalEntry,
        find: impl Fn(u64) -> Option<&'a JournalEntry>,
    ) {
        entry.write.for_each_key(|key| {
            self.forget(key, entry.seq);
            let Some(waiting) = self.keys.get_mut(key) else { return };
            let mut seen = untouched(entry.seq);
            for other in waiting.seqs.iter().filter_map(|seq| find(*seq)) {
                for_each_change(&other.write, |changed, change| {
                    if changed == key {
                        change.apply(&mut seen, other.accepted_unix_ms);
                    }
                });
                seen.seq = other.seq;
            }
            waiting.seen = seen;
        });
    }

    fn forget(&mut self, key: &Key, seq: u64) {
        let Some(waiting) = self.keys.get_mut(key) else { return };
        if let Ok(at) = waiting.seqs.binary_search(&seq) {
            waiting.seqs.remove(at);
        }
        if waiting.seqs.is_empty() {
            self.keys.remove(key);
        }
    }
}

fn untouched(seq: u64) -> Overlaid {
    Overlaid { value: OverlaidValue::AsInRecord, expires: OverlaidExpiry::AsInRecord, seq }
}

/// What one write does to one key.
enum Change<'a> {
    Set(&'a Bytes, TtlChange),
    Delete,
    Expire(TtlChange),
}

impl Change<'_> {
    /// `now` is the time at which the write was accepted.
    fn apply(&self, seen: &mut Overlaid, now: i64) {
        let gone = seen.gone(now);
        match self {
            Change::Delete => {
                seen.value = OverlaidValue::Deleted;
                seen.expires = OverlaidExpiry::Never;
            }
            Change::Set(value, ttl) => {
                seen.value = OverlaidValue::Set(Bytes::clone(value));
                seen.expires = match ttl {
                    TtlChange::At(at) => OverlaidExpiry::At(*at),
                    TtlChange::Keep if !gone => seen.expires,
                    TtlChange::Keep | TtlChange::Clear | TtlChange::For(_) => OverlaidExpiry::Never,
                };
            }
            // A key that is gone stays so, whatever its expiry would have been.
            Change::Expire(_) if gone => {
                seen.value = OverlaidValue::Deleted;
                seen.expires = OverlaidExpiry::Never;
            }
            Change::Expire(TtlChange::At(at)) => seen.expires = OverlaidExpiry::At(*at),
            Change::Expire(TtlChange::Clear) => seen.expires = OverlaidExpiry::Never,
            Change::Expire(TtlChange::Keep | TtlChange::For(_)) => {}
        }
    }
}

fn for_each_change<'a>(write: &'a Op, mut each: impl FnMut(&'a Key, Change<'a>)) {
    match write {
        Op::Set { key, value, ttl, .. } => each(key, Change::Set(value, *ttl)),
        Op::SetMany { entries, ttl, .. } => {
            entries.iter().for_each(|(key, value)| each(key, Change::Set(value, *ttl)));
        }
        Op::Delete { key, .. } => each(key, Change::Delete),
        Op::DeleteMany { keys } => keys.iter().for_each(|key| each(key, Change::Delete)),
        Op::Expire { key, ttl, .. } => each(key, Change::Expire(*ttl)),
        _ => {}
    }
}
