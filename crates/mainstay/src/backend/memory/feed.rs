//! Who follows the changes of a memory backend, and what they are told.
//! It must not know what the keys mean.
//!
//! Changes by operations are told under the shard's lock; records that expire or are evicted are not, for nothing but
//! their absence follows from it, and a drain of an absent key is told all the same.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    backend::{Feed, Told, inbox::Inbox},
    clock::{Clock, Instant},
    entry::Key,
    error::{ErrorKind, Result},
};

/// A sign of life comes this often.
const PERIOD: Duration = Duration::from_millis(200);

/// Those who follow.
#[derive(Debug, Default)]
pub(super) struct Followers {
    /// Read without the lock: there are none nearly always.
    len: AtomicUsize,
    all: Mutex<Vec<Follower>>,
}

#[derive(Debug)]
struct Follower {
    prefix: Bytes,
    inbox: Weak<Inbox>,
}

impl Followers {
    fn lock(&self) -> MutexGuard<'_, Vec<Follower>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, from now on.
    pub(super) fn follow(
        &self,
        prefix: Bytes,
        clock: Clock,
        barrier: Box<dyn Fn() + Send>,
    ) -> Following {
        let inbox = Arc::new(Inbox::default());
        let mut all = self.lock();
        all.retain(|follower| follower.inbox.strong_count() > 0);
        all.push(Follower { prefix, inbox: Arc::downgrade(&inbox) });
        self.len.store(all.len(), Ordering::Release);
        let next = clock.now();
        Following { inbox, clock, next, barrier }
    }

    pub(super) fn changed(&self, key: &Key) {
        if self.len.load(Ordering::Acquire) == 0 {
            return;
        }
        for follower in self.lock().iter() {
            if key.as_bytes().starts_with(&follower.prefix) {
                follower.tell(Told::Changed(vec![key.clone()]));
            }
        }
    }

    pub(super) fn all_changed(&self) {
        self.lock().iter().for_each(|follower| follower.tell(Told::All));
    }

    /// Nothing more is told to anybody.
    pub(super) fn end(&self, message: &str) {
        let mut all = self.lock();
        for inbox in all.drain(..).filter_map(|follower| follower.inbox.upgrade()) {
            inbox.end(ErrorKind::Disconnected, message);
        }
        self.len.store(0, Ordering::Release);
    }
}

impl Follower {
    fn tell(&self, told: Told) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.tell(told);
        }
    }
}

/// The feed.
pub(super) struct Following {
    inbox: Arc<Inbox>,
    clock: Clock,
    next: Instant,
    /// Waits for every change that has begun.
    barrier: Box<dyn Fn() + Send>,
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following").field("inbox", &self.inbox).finish_non_exhaustive()
    }
}

impl Following {
    async fn told(&mut self) -> Result<Told> {
        loop {
            let now = self.clock.now();
            if now >= self.next {
                (self.barrier)();
                self.inbox.tell(Told::UpTo(now));
                self.next = now + PERIOD;
            }
            if let Some(told) = self.inbox.pop() {
                return told;
            }
            tokio::select! {
                biased;
                () = self.inbox.arrived.notified() => {}
                () = tokio::time::sleep_until(self.next) => {}
            }
        }
    }
}

impl Feed for Following {
    fn next(&mut self) -> BoxFuture<'_, Result<Told>> {
        Box::pin(self.told())
    }
}
