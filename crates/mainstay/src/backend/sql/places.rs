//! The places of a pool: as many as it may have connections, and fewer while the server grants no more.
//! It must not know any driver, nor what a connection is.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

use super::common::closed;
use crate::{
    clock::{Clock, Deadline, Instant},
    error::{Error, ErrorKind, Result},
};

/// After this long a place whose connection the server refused is tried again.
const ASIDE: Duration = Duration::from_secs(5);

/// A server takes this long to notice that a connection has been given up.
pub(super) const RELEASE: Duration = Duration::from_millis(20);
/// Refusals that one caller bears while nobody seems to have a connection.
pub(super) const REFUSALS_MAX: u32 = 3;

/// Who may have a connection, and who waits for one.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    total: usize,
    clock: Clock,
    scarce: Mutex<Scarce>,
}

/// What is known of a server that grants no more connections.
#[derive(Debug, Default)]
struct Scarce {
    /// Until when that is supposed to be so.
    until: Option<Instant>,
    aside: Vec<(Instant, OwnedSemaphorePermit)>,
}

impl Places {
    pub(super) fn new(total: usize) -> Self {
        let free = Arc::new(Semaphore::new(total));
        Self { free, total, clock: Clock::system(), scarce: Mutex::default() }
    }

    /// By the clock of this process.
    #[cfg(feature = "mysql")]
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Waits for a place until the deadline.
    ///
    /// # Errors
    /// `Overloaded` when none became free, `OutOfUse` after `close`.
    pub(super) async fn take(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit> {
        self.put_back();
        match timeout_at(deadline.instant(), Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(closed()),
            Err(_elapsed) => Err(Error::new(
                ErrorKind::Overloaded,
                "no connection of the pool became free in time; see `connections` of the backend",
            )),
        }
    }

    /// The server has refused a connection for this place. True: others have connections, so the place is set aside
    /// for a while and theirs are worth waiting for. False: nobody has one, or theirs have just come back.
    pub(super) fn refused(&self, place: OwnedSemaphorePermit) -> bool {
        let until = self.clock.now() + ASIDE;
        let mut scarce = self.scarce();
        scarce.until = Some(until);
        let aside = scarce.aside.len();
        let others = self.total.saturating_sub(self.free.available_permits() + aside + 1);
        if others > 0 {
            scarce.aside.push((until, place));
        }
        others > 0
    }

    /// Whether nobody has a place.
    pub(super) fn are_empty(&self) -> bool {
        let aside = self.scarce().aside.len();
        self.free.available_permits() + aside >= self.total
    }

    /// Whether the server has refused a connection of late.
    pub(super) fn are_scarce(&self) -> bool {
        self.scarce().until.is_some_and(|until| until > self.clock.now())
    }

    /// Refuses whoever waits or comes.
    pub(super) fn close(&self) {
        self.free.close();
    }

    fn put_back(&self) {
        let aside = &mut self.scarce().aside;
        if !aside.is_empty() {
            let now = self.clock.now();
            aside.retain(|(until, _)| *until > now);
        }
    }

    fn scarce(&self) -> MutexGuard<'_, Scarce> {
        self.scarce.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refused_place_is_set_aside_while_others_have_theirs() {
        let clock = Clock::system();
        let soon = || clock.deadline_in(Duration::from_millis(10));
        let places = Places::new(2);
        let (first, second) =
            (places.take(soon()).await.unwrap(), places.take(soon()).await.unwrap());
        assert!(places.refused(second) && places.are_scarce());
        assert_eq!(places.take(soon()).await.unwrap_err().kind(), ErrorKind::Overloaded);
        assert!(!places.refused(first), "nobody else has one");
        assert!(places.are_empty());
        let _only = places.take(soon()).await.unwrap();
        assert!(places.take(soon()).await.is_err());
        tokio::time::advance(ASIDE).await;
        assert!(places.take(soon()).await.is_ok(), "tried again");
    }
}
