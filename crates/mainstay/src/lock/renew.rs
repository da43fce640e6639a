//! Keeping a lease: a renewal at a third of it, again and again, until it is released or lost.
//! It must not resurrect a lease that has ended.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{guard::Held, modes::Renewal};
use crate::{
    clock::{Clock, Deadline},
    error::Result,
    guard::backoff,
};

/// Renewals in the life of a lease.
const PER_LEASE: u32 = 3;

/// Tries at one renewal that got no answer, in the same share of the lease.
const TRIES: u32 = 4;

/// Renews until the guard is dropped; without `renewing` it only waits for the end of the lease.
pub(super) async fn keep(held: Arc<Held>, renewing: bool, stop: CancellationToken) {
    let renewals = async {
        match renewing {
            true => renew(&held).await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = held.lost() => {}
        () = renewals => {}
    }
}

async fn renew(held: &Held) {
    let parts = &held.core.parts;
    let third = held.ttl / PER_LEASE;
    let mut pause = backoff::spread(third, 0.1, parts.entropy.unit());
    loop {
        tokio::time::sleep(pause).await;
        pause = match once(held, third).await {
            Ok(Renewal::Renewed(lease)) => {
                // Too late: `lost` has seen it, or will at once.
                if !held.renewed(lease) {
                    return held.lose("a renewal came after the end of its lease");
                }
                backoff::spread(third, 0.1, parts.entropy.unit())
            }
            Ok(Renewal::Gone) => return held.lose("it was not renewed: it is held no more"),
            // The lease stands; there is time for more tries.
            Err(_) => backoff::spread(third / TRIES, 0.3, parts.entropy.unit()),
        };
    }
}

async fn once(held: &Held, limit: Duration) -> Result<Renewal> {
    let parts = &held.core.parts;
    let deadline = deadline(&parts.clock, limit.min(held.left()));
    held.core.mode()?.renew(parts, &held.claim, held.ttl, deadline).await
}

fn deadline(clock: &Clock, limit: Duration) -> Deadline {
    clock.deadline_in(limit)
}
