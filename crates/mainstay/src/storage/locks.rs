//! The verbs on locks.
//! It must not do more than hand them on.

use std::time::Duration;

use super::Storage;
use crate::{
    entry::Key,
    error::Result,
    lock::{Campaign, LockGuard, LockOptions, Locks},
};

impl Storage {
    /// Takes a lock, waiting for it up to `locks.wait_max`. It is renewed while its guard lives, and released when the
    /// guard is dropped.
    ///
    /// A lock is not re-entrant: a task that asks for one that it holds waits in vain, and the error says so.
    ///
    /// # Errors
    /// `DeadlineExceeded` when it did not become free in time; otherwise as `lock_with`.
    pub async fn lock(&self, name: impl Into<Key>) -> Result<LockGuard> {
        let name = name.into();
        let locks = self.locks();
        let guard = locks.lock(name.clone(), &LockOptions::default()).await?;
        guard.ok_or_else(|| locks.in_vain(&name))
    }

    /// Takes a lock if it is free; `None`: somebody holds it, or others of this process wait for it.
    ///
    /// # Errors
    /// As `lock_with`.
    pub async fn try_lock(&self, name: impl Into<Key>) -> Result<Option<LockGuard>> {
        let options = LockOptions { wait: Some(Duration::ZERO), ..LockOptions::default() };
        self.lock_with(name, options).await
    }

    /// Takes a lock as the options say; `None`: it did not become free in time. A call that is dropped releases what it
    /// may have been granted. While its granter is out of reach it is asked again until the wait is over.
    ///
    /// # Errors
    /// `InvalidArgument` for a name or a lease out of bounds; `Unsupported` when the lock would not guarantee what is
    /// required, or nobody grants locks; those of the granter.
    pub async fn lock_with(
        &self,
        name: impl Into<Key>,
        options: LockOptions,
    ) -> Result<Option<LockGuard>> {
        self.locks().lock(name.into(), &options).await
    }

    /// Stands for the leadership of this name: a lock that is asked for until it is granted, renewed, and asked for again
    /// when it was lost. `LockOptions::wait` and `renew` are not looked at.
    ///
    /// # Errors
    /// `InvalidArgument` and `Unsupported` as `lock_with`.
    pub fn campaign(&self, name: impl Into<Key>, options: LockOptions) -> Result<Campaign> {
        self.locks().campaign(name.into(), options)
    }

    /// The locks by themselves: for grants that are held outside of this process, and for people.
    pub fn locks(&self) -> &Locks {
        &self.0.locks
    }
}
