//! Faults that hold one server: what was sent to it waits, and goes on with it.
//! It must not know which server it is.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// How many faults hold a server. Those that wait are woken in the order in which they came: a `watch` wakes at random.
#[derive(Debug, Default)]
pub(super) struct Hangs {
    faults: AtomicU32,
    ended: Notify,
}

impl Hangs {
    /// One fault more, or less.
    pub(super) fn hold(&self, on: bool) {
        let now = self.faults.load(Ordering::Relaxed);
        self.set(if on { now + 1 } else { now.saturating_sub(1) });
    }

    /// No fault any more.
    pub(super) fn let_go(&self) {
        self.set(0);
    }

    /// Whether it is held.
    pub(super) fn holds(&self) -> bool {
        self.faults.load(Ordering::Relaxed) > 0
    }

    /// Waits until the server goes on.
    pub(super) async fn goes_on(&self) {
        loop {
            let ended = self.ended.notified();
            if !self.holds() {
                return;
            }
            ended.await;
        }
    }

    fn set(&self, faults: u32) {
        self.faults.store(faults, Ordering::Relaxed);
        self.ended.notify_waiters();
    }
}
