//! Memory as a record with caches before it, by `semantics::control`: one lock over all guarded writes.
//! It must not know why a write is guarded. What it keeps is as volatile as the values: for tests and simulations.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

use super::{Memory, shard_of};
use crate::{
    backend::semantics::control::{Applicable, ControlState, Permission, leaves_rows},
    backend::semantics::keys_of,
    entry::{Key, Version},
    error::Result,
    op::{Op, RecordOp, Under},
    reply::{Applied, Committed, Reply},
};

/// What is kept beside the values.
#[derive(Clone, Debug, Default)]
pub(super) struct Control {
    state: ControlState,
    /// When guarded writes last changed a key, deletes included.
    written: BTreeMap<Key, (Version, i64)>,
}

impl Memory {
    pub(super) fn control(&self, op: &RecordOp) -> Result<Reply> {
        let mut control = self.lock_control();
        let now_us = i64::try_from(self.clock.unix_us()).unwrap_or(i64::MAX);
        let state = &mut control.state;
        let reply = match op {
            RecordOp::Lease { cache, terms, id, dirty_max } => {
                let row = state.lease(cache, *terms, *id, *dirty_max, now_us);
                Reply::Lease(Box::new(row))
            }
            RecordOp::Commit { cache, write, under } => {
                self.commit(&mut control, cache, write, *under, now_us)?
            }
            RecordOp::Dirty { cache, from, limit } => {
                Reply::Dirty(state.dirty(cache, from.as_ref(), *limit))
            }
            RecordOp::Drained { cache, rows } => count(state.drained(cache, rows, now_us)),
            RecordOp::Degrade { cache, epoch, reason } => {
                count(usize::from(state.degrade(cache, *epoch, reason, now_us)))
            }
            RecordOp::Readmit { cache, epoch, identity, beacon } => {
                count(usize::from(state.readmit(cache, *epoch, identity, *beacon, now_us)))
            }
            RecordOp::Raised { cache, epoch, beacon } => {
                count(usize::from(state.raised(cache, *epoch, *beacon, now_us)))
            }
            RecordOp::Now => Reply::Integer(now_us),
            RecordOp::Apply { journal, seq, write, base } => {
                let keys = keys_of(write);
                let row = |key: &Key| control.written.get(key).copied();
                match control.state.may_apply(*journal, *seq, *base, &keys, row) {
                    Applicable::Already => Reply::Applied(Applied::Already),
                    Applicable::Conflict(key) => Reply::Applied(Applied::Conflict(key)),
                    Applicable::Go => {
                        let reply = self.write(write)?;
                        let versions = self.note(&mut control, &keys, now_us);
                        control.state.applied(*journal, *seq, &keys, versions, now_us);
                        Reply::Applied(Applied::Done(Box::new(reply)))
                    }
                }
            }
        };
        Ok(reply)
    }

    fn commit(
        &self,
        control: &mut Control,
        cache: &str,
        write: &Op,
        under: Under,
        now_us: i64,
    ) -> Result<Reply> {
        let keys = keys_of(write);
        // An error of the caller's kind leaves no dirty row, nor does what was refused: the state as it was is put back.
        let before = control.state.clone();
        let committed = match control.state.may_commit(cache, under, &keys, now_us) {
            Permission::Overtaken => Committed::Overtaken,
            Permission::Wait(left) => Committed::Wait(left),
            Permission::Go => match self.write(write) {
                Ok(reply) => {
                    if !leaves_rows(write, &reply) {
                        control.state = before;
                    }
                    self.note(control, &keys, now_us);
                    Committed::Done(Box::new(reply))
                }
                Err(error) => {
                    control.state = before;
                    return Err(error);
                }
            },
        };
        Ok(Reply::Committed(committed))
    }

    /// Notes when these keys were written, and under which version; a deleted one gets a version of its own.
    fn note(&self, control: &mut Control, keys: &[Key], now_us: i64) -> Vec<(Key, Version)> {
        let now = self.clock.unix_ms();
        let versions = keys.iter().map(|key| {
            let stored = self.lock(shard_of(key)).load(key, now);
            let version = stored.map_or_else(|| self.next_version(), |stored| stored.version);
            (key.clone(), version)
        });
        let versions: Vec<(Key, Version)> = versions.collect();
        for (key, version) in &versions {
            let place = key.entered(&control.written);
            control.written.insert(place, (*version, now_us));
        }
        versions
    }

    pub(super) fn lock_control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(rows: usize) -> Reply {
    Reply::Integer(i64::try_from(rows).unwrap_or(i64::MAX))
}
