//! Locks of this process, and writes under their tokens.
//! It must not know what any of them means: that is `semantics::locks`.

use std::sync::{MutexGuard, PoisonError};

use super::Memory;
use crate::{
    backend::semantics::locks::{LockState, fenced},
    error::Result,
    op::{Fence, LockOp, Op},
    reply::{Locked, Reply},
};

impl Memory {
    pub(super) fn lock_op(&self, op: &LockOp) -> Reply {
        let now_us = self.now_us();
        let identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut locks = self.lock_locks();
        locks.fleet_mut().runs_as(&identity, now_us);
        locks.perform(op, now_us)
    }

    /// The fence is held until the write has been applied.
    pub(super) fn fenced(&self, fence: &Fence, write: &Op) -> Result<Reply> {
        let now_us = self.now_us();
        let mut locks = self.lock_locks();
        let seen = locks.seen(&fence.lock);
        if seen > fence.token {
            return Err(fenced(&fence.lock, fence.token, seen));
        }
        let reply = self.write(write)?;
        let done = locks.fence(&fence.lock, fence.token, now_us);
        debug_assert!(matches!(done, Locked::Granted { .. }), "looked at under the same lock");
        Ok(reply)
    }

    fn now_us(&self) -> i64 {
        i64::try_from(self.clock.unix_us()).unwrap_or(i64::MAX)
    }

    pub(super) fn lock_locks(&self) -> MutexGuard<'_, LockState> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
