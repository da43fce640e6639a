//! Releases that nobody waits for: of guards that were dropped, of attempts that were given up. Bounded; what finds no
//! place ends with its lease.
//! It must not know why anything is released.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc;

use super::{Claim, Core};
use crate::clock::Instant;

/// Releases that wait at most.
const QUEUE_MAX: usize = 4096;

/// Releases under way at once.
const AT_ONCE_MAX: usize = 64;

/// Between two tries at one release.
const PAUSE: Duration = Duration::from_millis(250);

/// After `close` each release is tried once, for this long.
const LAST_TRY: Duration = Duration::from_secs(1);

/// A grant to be released, until its lease has ended anyway.
#[derive(Debug)]
pub(crate) struct Due {
    claim: Claim,
    until: Instant,
}

/// Where releases are left.
#[derive(Debug)]
pub(crate) struct Releaser {
    sender: mpsc::Sender<Due>,
    pending: AtomicU64,
    given_up: AtomicU64,
}

impl Releaser {
    pub(super) fn new() -> (Self, mpsc::Receiver<Due>) {
        let (sender, due) = mpsc::channel(QUEUE_MAX);
        (Self { sender, pending: AtomicU64::new(0), given_up: AtomicU64::new(0) }, due)
    }

    /// Leaves a release; never waits, and needs no runtime.
    pub(crate) fn queue(&self, claim: Claim, until: Instant) {
        let claim = Claim { name: claim.name.kept(), ..claim };
        self.pending.fetch_add(1, Relaxed);
        if self.sender.try_send(Due { claim, until }).is_err() {
            self.ended(false);
        }
    }

    pub(super) fn pending(&self) -> u64 {
        self.pending.load(Relaxed)
    }

    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Relaxed)
    }

    fn ended(&self, well: bool) {
        self.pending.fetch_sub(1, Relaxed);
        if !well {
            self.given_up.fetch_add(1, Relaxed);
        }
    }
}

/// Starts the one task that sends them.
pub(super) fn start(core: &Arc<Core>, due: mpsc::Receiver<Due>) {
    let tasks = core.parts.tasks.clone();
    // Not a loop that `close` drops: what waits then is tried once more.
    tasks.spawn_to_end(serve(Arc::downgrade(core), due, tasks.clone()));
}

async fn serve(core: Weak<Core>, mut due: mpsc::Receiver<Due>, tasks: crate::task::Tasks) {
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = tasks.closing() => break,
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            next = due.recv(), if under_way.len() < AT_ONCE_MAX => match (next, core.upgrade()) {
                (Some(next), Some(core)) => under_way.push(release(core, next, false)),
                _ => break,
            },
        }
    }
    // `close` waits for these, and they are short.
    let last = async {
        while under_way.next().await.is_some() {}
        while let (Ok(next), Some(core)) = (due.try_recv(), core.upgrade()) {
            under_way.push(release(core, next, true));
            if under_way.len() >= AT_ONCE_MAX {
                under_way.next().await;
            }
        }
        while under_way.next().await.is_some() {}
    };
    drop(tokio::time::timeout(LAST_TRY, last).await);
}

async fn release(core: Arc<Core>, due: Due, last: bool) {
    let parts = &core.parts;
    let mut well = false;
    while let Ok(mode) = core.mode() {
        let deadline = parts.clock.deadline_in(if last { LAST_TRY } else { parts.deadline.get() });
        well = mode.release(parts, &due.claim, deadline).await.is_ok();
        let over = parts.clock.now() >= due.until || last || parts.tasks.is_closing();
        if well || over {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    core.releaser.ended(well);
}
