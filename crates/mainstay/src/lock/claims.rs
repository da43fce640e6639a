//! Grants that are held outside of this process: by clients of the front doors, by their claims.
//! It must not keep any of them.

use std::{sync::Arc, time::Duration};

use super::{
    Asked, Claim, Core, Grant, LockOptions, Released, acquire,
    acquire::Got,
    lease::{Lease, Moment},
    modes::Renewal,
};
use crate::{
    entry::Key,
    error::{Error, ErrorKind, Result},
};

impl Claim {
    /// Of nobody.
    pub(super) fn none(name: &Key) -> Self {
        Self { name: name.clone(), holder: 0, token: 0 }
    }
}

pub(super) async fn ask(core: &Arc<Core>, name: &Key, options: &LockOptions) -> Result<Asked> {
    Ok(match acquire::get(core, name, options).await? {
        Got::Lock { claim, lease, .. } => Asked::Granted(grant(core, claim, lease)?),
        Got::Held { left, note } => Asked::Held { left, note },
    })
}

pub(super) async fn renew(core: &Arc<Core>, claim: &Claim, ttl: Duration) -> Result<Option<Grant>> {
    if ttl < LockOptions::TTL_MIN || ttl > core.parts.config.ttl_max {
        let message = "a lease lasts 100 ms to `locks.ttl_max`";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    match core.mode()?.renew(&core.parts, claim, ttl, core.deadline()).await? {
        Renewal::Renewed(lease) => grant(core, claim.clone(), lease).map(Some),
        Renewal::Gone => {
            // A minority of a quorum may have granted it anew: nobody else would give that back.
            core.releaser.queue(claim.clone(), core.parts.clock.now() + ttl);
            Ok(None)
        }
    }
}

pub(super) async fn release(core: &Arc<Core>, claim: &Claim) -> Result<Released> {
    match core.mode()?.release(&core.parts, claim, core.deadline()).await {
        Ok(true) => Ok(Released::Released),
        Ok(false) => Ok(Released::AlreadyLost),
        Err(error) => {
            let until = core.parts.clock.now() + core.parts.config.ttl_max;
            core.releaser.queue(claim.clone(), until);
            Err(error)
        }
    }
}

fn grant(core: &Core, claim: Claim, lease: Lease) -> Result<Grant> {
    let left = lease.left(Moment::now(&core.parts.clock));
    Ok(Grant { claim, left, guarantee: core.mode()?.guarantee() })
}
