//! What a change of several keys under expectations means.
//! It must not know how the change was computed.

use std::collections::BTreeMap;

use super::{Bounds, Change, Slot, expiry_after, fits, put, refused};
use crate::{
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{self, Expected, TtlChange},
    reply::{Reply, Written},
};

/// All changes when every slot holds what is expected, else none.
///
/// # Errors
/// `InvalidArgument` for a key that is changed twice and for an expiry that no backend would take; `TooLarge`.
pub(super) fn transact(
    expected: &[Expected],
    changes: &[(Key, op::Change)],
    slots: &mut [Slot],
    now: i64,
    bounds: Bounds,
) -> Result<Reply> {
    let by_key = distinct(changes)?;
    let planned: Vec<Change> = slots
        .iter()
        .map(|slot| match by_key.get(&slot.key) {
            Some(change) => planned(slot, change, now, bounds),
            None => Ok(Change::Keep),
        })
        .collect::<Result<_>>()?;
    let holds = expected.iter().all(|(key, value)| {
        let slot = slots.iter().find(|slot| slot.key == *key);
        slot.and_then(|slot| slot.stored.as_ref()).map(|stored| &stored.value) == value.as_ref()
    });
    if !holds {
        return Ok(refused(None));
    }
    for (slot, change) in slots.iter_mut().zip(planned) {
        slot.change = change;
    }
    Ok(Reply::Written(Written { applied: true, ..Written::default() }))
}

/// The changes by key.
///
/// # Errors
/// `InvalidArgument` for a key that is named twice.
pub fn distinct(changes: &[(Key, op::Change)]) -> Result<BTreeMap<&Key, &op::Change>> {
    let by_key: BTreeMap<&Key, &op::Change> =
        changes.iter().map(|(key, change)| (key, change)).collect();
    if by_key.len() < changes.len() {
        let text = "a transaction changes each key at most once";
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    Ok(by_key)
}

fn planned(slot: &Slot, change: &op::Change, now: i64, bounds: Bounds) -> Result<Change> {
    let stored = slot.stored.as_ref();
    let current = stored.and_then(|stored| stored.expires_at);
    Ok(match change {
        op::Change::Put { value, ttl } => {
            fits(value.len(), bounds)?;
            let expires_at = expiry_after(*ttl, current, now)?;
            let mut slot = Slot { change: Change::Keep, ..slot.clone() };
            put(&mut slot, value.clone(), expires_at, now);
            slot.change
        }
        op::Change::Expire(ttl) => {
            let expires_at = match ttl {
                TtlChange::Keep => {
                    let text = "an expiry is set or cleared, not kept";
                    return Err(Error::new(ErrorKind::InvalidArgument, text));
                }
                TtlChange::For(left) if left.is_zero() => Some(now),
                other => expiry_after(*other, current, now)?,
            };
            match expires_at {
                _ if stored.is_none() => Change::Keep,
                Some(at) if at <= now => Change::Remove,
                expires_at if expires_at == current => Change::Keep,
                expires_at => Change::Expire { expires_at },
            }
        }
        op::Change::Delete if stored.is_some() => Change::Remove,
        op::Change::Delete => Change::Keep,
    })
}
