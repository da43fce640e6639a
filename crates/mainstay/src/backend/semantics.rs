//! What each write means, as a pure function from the slots it touches to their changes and the reply.
//! It must not know how slots are stored or locked; engines without commands of their own (memory, SQL) run this, and
//! Redis is held to the same by the conformance suite.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::{
    entry::{Key, Record, Version},
    error::{Error, ErrorKind, Result},
    hash,
    op::{Condition, ExpireCondition, Op, TtlChange},
    reply::{Outcome, Reply, Written},
};

pub mod control;
pub mod copies;
pub mod locks;
mod number;
mod time;
mod transact;

pub use number::{add_float, add_integer, format_float};
pub use time::{expiry_after, ttl_left};
pub use transact::distinct;

#[cfg(test)]
mod tests;

/// Redis's words for keys that cannot be changed in one step.
pub const CROSSED_SLOTS: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// A live value as the engine holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub value: Bytes,
    /// When it expires, Unix milliseconds by the engine's clock.
    pub expires_at: Option<i64>,
    /// Its version.
    pub version: Version,
}

/// What a write does to one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    #[default]
    Keep,
    /// The slot now holds this, under `Slot::next`.
    Put {
        /// The value.
        value: Bytes,
        /// When it expires, Unix milliseconds by the engine's clock.
        expires_at: Option<i64>,
    },
    /// Only the expiry changes, under `Slot::next`.
    Expire {
        /// When it expires, Unix milliseconds by the engine's clock.
        expires_at: Option<i64>,
    },
    /// The slot is emptied (a tombstone keeps `Slot::next`).
    Remove,
}

/// One key under a write: what is there, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The key.
    pub key: Key,
    /// The live value; `None` when there is none, or it has expired, or is a tombstone.
    pub stored: Option<Stored>,
    /// The version that the engine gives to this write.
    pub next: Version,
    /// Filled in by `apply`.
    pub change: Change,
}

/// The limits that a write is held to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest value in bytes.
    pub value_max: usize,
}

/// The distinct keys of a write in ascending order: the slots to load, and the order to lock them in.
pub fn keys_of(op: &Op) -> Vec<Key> {
    let mut keys = Vec::new();
    op.for_each_key(|key| keys.push(key.clone()));
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Applies a write to its slots (those of `keys_of`, in that order) at `now` (Unix milliseconds, the engine's clock).
///
/// # Errors
/// Errors of the caller's kinds; then no slot was changed. `Internal` for an `Op` that is a read.
pub fn apply(op: &Op, slots: &mut [Slot], now: i64, bounds: Bounds) -> Result<Reply> {
    match op {
        Op::Set { value, ttl, condition, want_previous, .. } => {
            set(only(slots)?, value, *ttl, condition, *want_previous, now, bounds)
        }
        Op::SetMany { entries, ttl, all_absent } => {
            set_many(entries, *ttl, *all_absent, slots, now, bounds)
        }
        Op::Delete { condition, want_previous, .. } => {
            delete(only(slots)?, condition, *want_previous, now)
        }
        Op::DeleteMany { .. } => Ok(delete_many(slots)),
        Op::Expire { ttl, condition, .. } => expire(only(slots)?, *ttl, *condition, now),
        Op::Increment { by, .. } => increment(only(slots)?, *by),
        Op::IncrementFloat { by, .. } => increment_float(only(slots)?, *by),
        Op::Append { value, .. } => append(only(slots)?, value, bounds),
        Op::SetRange { offset, value, .. } => set_range(only(slots)?, *offset, value, bounds),
        Op::Move { from, to, keep_source, replace } => {
            move_key(slots, from, to, *keep_source, *replace)
        }
        // The engine has looked at the fence before.
        Op::Fenced { write, .. } => apply(write, slots, now, bounds),
        Op::Transact { expected, changes } => {
            transact::transact(expected, changes, slots, now, bounds)
        }
        Op::Get { .. }
        | Op::GetMany { .. }
        | Op::GetRange { .. }
        | Op::Length { .. }
        | Op::TimeToLive { .. }
        | Op::Exists { .. }
        | Op::Scan { .. }
        | Op::Count { .. }
        | Op::Raw(_)
        | Op::Query(_)
        | Op::Copy(_)
        | Op::Record(_)
        | Op::Lock(_) => Err(Error::new(ErrorKind::Internal, "a read was applied as a write")),
    }
}

/// Part of a value by Redis's rules for GETRANGE.
pub fn range_of(value: &Bytes, start: i64, end: i64) -> Bytes {
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let from_end = |index: i64| if index < 0 { index.saturating_add(length).max(0) } else { index };
    if start < 0 && end < 0 && start > end {
        return Bytes::new();
    }
    let (first, last) = (from_end(start), from_end(end).min(length - 1));
    if length == 0 || first > last {
        return Bytes::new();
    }
    match (usize::try_from(first), usize::try_from(last)) {
        (Ok(first), Ok(last)) => value.slice(first..=last),
        _ => Bytes::new(),
    }
}

fn only(slots: &mut [Slot]) -> Result<&mut Slot> {
    slots
        .first_mut()
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a write came without its slot"))
}

/// Refuses what looks into a value, or takes it away, where the value is a hash.
fn is_string(slot: &Slot) -> Result<()> {
    match &slot.stored {
        Some(stored) if hash::is_hash(&stored.value) => Err(hash::wrong_type()),
        _ => Ok(()),
    }
}

/// Whether a condition holds for what is stored.
pub fn holds(condition: &Condition, stored: Option<&Stored>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Absent => stored.is_none(),
        Condition::Present => stored.is_some(),
        Condition::VersionIs(version) => stored.is_some_and(|stored| stored.version == *version),
        Condition::ValueIs(value) => stored.is_some_and(|stored| stored.value == *value),
        Condition::ValueIsNot(value) => stored.is_none_or(|stored| stored.value != *value),
    }
}

fn previous_of(slot: &Slot, wanted: bool, now: i64) -> Option<Record> {
    let stored = slot.stored.as_ref().filter(|_| wanted)?;
    Some(Record {
        value: stored.value.clone(),
        version: Some(stored.version),
        ttl: stored.expires_at.map(|at| ttl_left(at, now)),
    })
}

fn written(slot: &Slot, previous: Option<Record>, outcome: Outcome) -> Reply {
    Reply::Written(Written { applied: true, version: Some(slot.next), previous, outcome })
}

fn refused(previous: Option<Record>) -> Reply {
    Reply::Written(Written { applied: false, version: None, previous, outcome: Outcome::None })
}

/// Puts a value, or removes the slot when its expiry is already past.
fn put(slot: &mut Slot, value: Bytes, expires_at: Option<i64>, now: i64) {
    slot.change = match expires_at {
        Some(at) if at <= now && slot.stored.is_some() => Change::Remove,
        Some(at) if at <= now => Change::Keep,
        expires_at => Change::Put { value, expires_at },
    };
}

fn set(
    slot: &mut Slot,
    value: &Bytes,
    ttl: TtlChange,
    condition: &Condition,
    want_previous: bool,
    now: i64,
    bounds: Bounds,
) -> Result<Reply> {
    fits(value.len(), bounds)?;
    if want_previous {
        is_string(slot)?;
    }
    let current = slot.stored.as_ref().and_then(|stored| stored.expires_at);
    let expires_at = expiry_after(ttl, current, now)?;
    let previous = previous_of(slot, want_previous, now);
    if !holds(condition, slot.stored.as_ref()) {
        return Ok(refused(previous));
    }
    put(slot, value.clone(), expires_at, now);
    Ok(written(slot, previous, Outcome::None))
}

fn set_many(
    entries: &[(Key, Bytes)],
    ttl: TtlChange,
    all_absent: bool,
    slots: &mut [Slot],
    now: i64,
    bounds: Bounds,
) -> Result<Reply> {
    for (_, value) in entries {
        fits(value.len(), bounds)?;
    }
    if all_absent && slots.iter().any(|slot| slot.stored.is_some()) {
        return Ok(refused(None));
    }
    let last: BTreeMap<&Key, &Bytes> = entries.iter().map(|(key, value)| (key, value)).collect();
    for slot in slots.iter_mut() {
        let current = slot.stored.as_ref().and_then(|stored| stored.expires_at);
        let expires_at = expiry_after(ttl, current, now)?;
        let value = last.get(&slot.key).map(|value| Bytes::clone(value));
        let value = value
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a slot came without its entry"))?;
        put(slot, value, expires_at, now);
    }
    Ok(Reply::Written(Written { applied: true, ..Written::default() }))
}

fn delete(slot: &mut Slot, condition: &Condition, want_previous: bool, now: i64) -> Result<Reply> {
    if want_previous {
        is_string(slot)?;
    }
    let previous = previous_of(slot, want_previous, now);
    if slot.stored.is_none() || !holds(condition, slot.stored.as_ref()) {
        return Ok(refused(previous));
    }
    slot.change = Change::Remove;
    Ok(written(slot, previous, Outcome::None))
}

fn delete_many(slots: &mut [Slot]) -> Reply {
    let mut removed = 0;
    for slot in slots.iter_mut().filter(|slot| slot.stored.is_some()) {
        slot.change = Change::Remove;
        removed += 1;
    }
    Reply::Integer(removed)
}

fn expire(slot: &mut Slot, ttl: TtlChange, condition: ExpireCondition, now: i64) -> Result<Reply> {
    let Some(stored) = &slot.stored else { return Ok(refused(None)) };
    let current = stored.expires_at;
    let wanted = match ttl {
        TtlChange::Keep => {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "an expiry is set or cleared, not kept",
            ));
        }
        TtlChange::Clear if current.is_none() => return Ok(refused(None)),
        TtlChange::Clear => None,
        TtlChange::For(left) if left.is_zero() => Some(now),
        other => expiry_after(other, current, now)?,
    };
    let far = |at: Option<i64>| at.unwrap_or(i64::MAX);
    let applies = match condition {
        ExpireCondition::Always => true,
        ExpireCondition::HasNone => current.is_none(),
        ExpireCondition::HasOne => current.is_some(),
        ExpireCondition::Greater => far(wanted) > far(current),
        ExpireCondition::Less => far(wanted) < far(current),
    };
    if !applies {
        return Ok(refused(None));
    }
    slot.change = match wanted {
        Some(at) if at <= now => Change::Remove,
        expires_at => Change::Expire { expires_at },
    };
    Ok(written(slot, None, Outcome::None))
}

fn increment(slot: &mut Slot, by: i64) -> Result<Reply> {
    is_string(slot)?;
    let stored = slot.stored.as_ref();
    let sum = add_integer(stored.map(|stored| &*stored.value), by)?;
    let expires_at = stored.and_then(|stored| stored.expires_at);
    slot.change = Change::Put { value: Bytes::from(sum.to_string()), expires_at };
    Ok(written(slot, None, Outcome::Integer(sum)))
}

fn increment_float(slot: &mut Slot, by: f64) -> Result<Reply> {
    is_string(slot)?;
    let stored = slot.stored.as_ref();
    let sum = Bytes::from(format_float(add_float(stored.map(|stored| &*stored.value), by)?));
    let expires_at = stored.and_then(|stored| stored.expires_at);
    slot.change = Change::Put { value: sum.clone(), expires_at };
    Ok(written(slot, None, Outcome::Text(sum)))
}

fn append(slot: &mut Slot, tail: &Bytes, bounds: Bounds) -> Result<Reply> {
    is_string(slot)?;
    let (head, expires_at) = match &slot.stored {
        Some(stored) => (stored.value.clone(), stored.expires_at),
        None => (Bytes::new(), None),
    };
    let length = fits(head.len().saturating_add(tail.len()), bounds)?;
    let mut value = BytesMut::with_capacity(head.len() + tail.len());
    value.extend_from_slice(&head);
    value.extend_from_slice(tail);
    slot.change = Change::Put { value: value.freeze(), expires_at };
    Ok(written(slot, None, Outcome::Integer(length)))
}

fn set_range(slot: &mut Slot, offset: u64, patch: &Bytes, bounds: Bounds) -> Result<Reply> {
    is_string(slot)?;
    let (head, expires_at) = match &slot.stored {
        Some(stored) => (stored.value.clone(), stored.expires_at),
        None => (Bytes::new(), None),
    };
    if patch.is_empty() {
        let length = fits(head.len(), bounds)?;
        return Ok(Reply::Written(Written {
            applied: false,
            outcome: Outcome::Integer(length),
            ..Written::default()
        }));
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(patch.len());
    let length = fits(end.max(head.len()), bounds)?;
    let mut value = BytesMut::from(&head[..]);
    value.resize(end.max(head.len()), 0);
    value[start..end].copy_from_slice(patch);
    slot.change = Change::Put { value: value.freeze(), expires_at };
    Ok(written(slot, None, Outcome::Integer(length)))
}

fn move_key(
    slots: &mut [Slot],
    from: &Key,
    to: &Key,
    keep_source: bool,
    replace: bool,
) -> Result<Reply> {
    let stored = slots.iter().find(|slot| slot.key == *from).and_then(|slot| slot.stored.clone());
    let Some(stored) = stored else { return Err(Error::new(ErrorKind::NoSuchKey, "no such key")) };
    if from == to {
        return Ok(if replace {
            Reply::Written(Written { applied: true, ..Written::default() })
        } else {
            refused(None)
        });
    }
    if !replace && slots.iter().any(|slot| slot.key == *to && slot.stored.is_some()) {
        return Ok(refused(None));
    }
    for slot in slots.iter_mut() {
        if slot.key == *to {
            slot.change =
                Change::Put { value: stored.value.clone(), expires_at: stored.expires_at };
        } else if slot.key == *from && !keep_source {
            slot.change = Change::Remove;
        }
    }
    Ok(Reply::Written(Written { applied: true, ..Written::default() }))
}

fn fits(length: usize, bounds: Bounds) -> Result<i64> {
    if length > bounds.value_max {
        let message = format!(
            "a value of {length} bytes is over the limit of {} bytes (limits.value_max)",
            bounds.value_max
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    i64::try_from(length).map_err(|_| Error::new(ErrorKind::TooLarge, "a length over 63 bits"))
}
