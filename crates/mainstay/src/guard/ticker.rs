//! Who looks at the clock for the calls in flight.
//! It must not know what a look leads to.

use std::{sync::atomic::Ordering, task::Waker};

use super::Guard;
use crate::clock::Instant;

impl Guard {
    /// Looks at the clock while calls are in flight, so that a hang is found before it times out. Never ends.
    pub(crate) async fn watch_inflight(&self) {
        let _watch = Watch::begin(self);
        loop {
            self.busy.notified().await;
            // Not at once: a backend that answers quickly would wake this with every call.
            while let Some(look) = self.next_look() {
                tokio::select! {
                    () = self.busy.notified() => {}
                    () = tokio::time::sleep_until(look) => {
                        self.tick();
                    }
                }
            }
        }
    }

    pub(super) fn tick(&self) {
        let now = self.clock.now();
        self.change(|core| {
            let mut inflight = self.shards.all();
            let (after, over) = core.tick(now, &mut inflight);
            // Before the parts are given back: whoever begins then knows whether this will look in time, and whoever is
            // polled by another task then knows that it has to look at the clock, for this has rung for the one before.
            self.shards.show(core.known());
            if over {
                self.overs.fetch_add(1, Ordering::Release);
            }
            ((), after)
        });
    }

    /// Whether the time of calls is kept here; else each keeps its own.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        self.peek().looks
    }
}

/// Somebody looks at the clock until this is dropped: then every call in flight hears that it keeps its own time.
struct Watch<'a>(&'a Guard);

impl<'a> Watch<'a> {
    fn begin(guard: &'a Guard) -> Self {
        guard.watched.store(true, Ordering::Release);
        Self(guard)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.watched.store(false, Ordering::Release);
        let wakers = self.0.shards.wakers();
        wakers.into_iter().for_each(Waker::wake);
    }
}
