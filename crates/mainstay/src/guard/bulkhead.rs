//! How many calls one backend gets at once, and how many may wait for it.
//! It must not know the calls, nor the breaker.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use crate::{
    clock::{Clock, Deadline},
    error::{Error, ErrorKind, Result},
};

/// Smaller limits keep no place back.
const KEEPS_FROM: usize = 4;

/// A limit on the calls in flight, with a bounded queue before it. One of the places is kept for what keeps the storage
/// itself true (leases, readmission): a backend that is full with users' calls must not lose them for want of a lease.
#[derive(Debug)]
pub struct Bulkhead {
    places: Semaphore,
    /// Places that there are now, the kept one left out: free or taken.
    there: Mutex<usize>,
    kept: Semaphore,
    keeps: bool,
    inflight_max: usize,
    queue_max: usize,
    queue_wait: Duration,
    queued: AtomicUsize,
    shed: AtomicU64,
}

/// A place in the bulkhead; dropping it gives it to the next in the queue.
#[derive(Debug)]
pub struct Place<'a>(#[expect(dead_code, reason = "held for its drop")] SemaphorePermit<'a>);

/// A place in the queue, given back also when the waiting future is dropped.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Bulkhead {
    /// `inflight_max` calls at once; `queue_max` more may wait, each at most `queue_wait`.
    pub fn new(inflight_max: usize, queue_max: usize, queue_wait: Duration) -> Self {
        let kept = usize::from(inflight_max >= KEEPS_FROM);
        Self::with(inflight_max, kept, queue_max, queue_wait)
    }

    /// The same, and no place is kept back: every caller is a user's.
    pub fn for_users(inflight_max: usize, queue_max: usize, queue_wait: Duration) -> Self {
        Self::with(inflight_max, 0, queue_max, queue_wait)
    }

    fn with(inflight_max: usize, kept: usize, queue_max: usize, queue_wait: Duration) -> Self {
        let inflight_max = inflight_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            keeps: kept > 0,
            places: Semaphore::new(inflight_max - kept),
            there: Mutex::new(inflight_max - kept),
            kept: Semaphore::new(kept),
            inflight_max,
            queue_max,
            queue_wait,
            queued: AtomicUsize::new(0),
            shed: AtomicU64::new(0),
        }
    }

    /// A place; waits for one when all are taken.
    ///
    /// # Errors
    /// `Shed` when the queue is full or the wait is over, `DeadlineExceeded` when the deadline is. Without effect.
    pub async fn enter(&self, clock: &Clock, deadline: Deadline) -> Result<Place<'_>> {
        match self.places.try_acquire() {
            Ok(place) => Ok(Place(place)),
            Err(TryAcquireError::NoPermits) => self.wait(&self.places, clock, deadline).await,
            Err(TryAcquireError::Closed) => Err(closed()),
        }
    }

    /// The same for what must not wait behind users' calls.
    ///
    /// # Errors
    /// As `enter`.
    pub async fn enter_first(&self, clock: &Clock, deadline: Deadline) -> Result<Place<'_>> {
        match self.places.try_acquire() {
            Ok(place) => Ok(Place(place)),
            // Nobody would ever give it.
            Err(_) if !self.keeps => self.enter(clock, deadline).await,
            Err(_) => self.wait(&self.kept, clock, deadline).await,
        }
    }

    /// A place, if one is free now.
    pub fn try_enter(&self) -> Option<Place<'_>> {
        self.places.try_acquire().ok().map(Place)
    }

    /// How long a call waits for a place.
    pub fn queue_wait(&self) -> Duration {
        self.queue_wait
    }

    /// Whether a call would have a place at once.
    pub fn has_room(&self) -> bool {
        self.queued() == 0 && self.places.available_permits() > 0
    }

    /// Calls in flight.
    pub fn inflight(&self) -> usize {
        let free = self.places.available_permits() + self.kept.available_permits();
        self.limit().saturating_sub(free)
    }

    /// The most that the limit can be.
    pub fn inflight_max(&self) -> usize {
        self.inflight_max
    }

    /// The limit now.
    pub fn limit(&self) -> usize {
        *self.there() + usize::from(self.keeps)
    }

    /// Changes the limit, up to `inflight_max`. Places that are taken go as they come back: asked for again, it gets there.
    pub fn set_limit(&self, limit: usize) {
        let kept = usize::from(self.keeps);
        let wanted = limit.clamp(1 + kept, self.inflight_max.max(1 + kept)) - kept;
        let mut there = self.there();
        if wanted > *there {
            self.places.add_permits(wanted - *there);
            *there = wanted;
        } else {
            *there -= self.places.forget_permits(*there - wanted);
        }
    }

    fn there(&self) -> MutexGuard<'_, usize> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls waiting.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Calls refused since start.
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    async fn wait<'a>(
        &self,
        places: &'a Semaphore,
        clock: &Clock,
        deadline: Deadline,
    ) -> Result<Place<'a>> {
        let queued = self.queued.fetch_add(1, Ordering::Relaxed);
        let _queued = Queued(&self.queued);
        if queued >= self.queue_max {
            return Err(self.shed_as(ErrorKind::Shed, "bulkhead full: the queue is full as well"));
        }
        let until = deadline.within(clock.now(), self.queue_wait);
        match tokio::time::timeout_at(until.instant(), places.acquire()).await {
            Ok(Ok(place)) => Ok(Place(place)),
            Ok(Err(_)) => Err(closed()),
            Err(_) if deadline == until => Err(self.shed_as(
                ErrorKind::DeadlineExceeded,
                "the deadline passed in the queue of the bulkhead",
            )),
            Err(_) => Err(self.shed_as(ErrorKind::Shed, "bulkhead full: no place became free")),
        }
    }

    fn shed_as(&self, kind: ErrorKind, message: &str) -> Error {
        self.shed.fetch_add(1, Ordering::Relaxed);
        let text = format!("{message} ({} calls in flight)", self.limit());
        Error::new(kind, text).retry_after(self.queue_wait)
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the backend has been closed")
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Poll};

    use futures_util::poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_then_sheds_and_gives_places_back() {
        let clock = Clock::system();
        let far = clock.deadline_in(Duration::from_secs(60));
        let bulkhead = Bulkhead::new(1, 1, Duration::from_millis(100));
        let place = bulkhead.enter(&clock, far).await.expect("free");
        let mut waiting = Box::pin(bulkhead.enter(&clock, far));
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!((bulkhead.inflight(), bulkhead.queued()), (1, 1));

        let full = bulkhead.enter(&clock, far).await.expect_err("the queue is full");
        assert_eq!(full.kind(), ErrorKind::Shed);
        let late = waiting.await.expect_err("the place is never given back");
        assert_eq!((late.kind(), late.effect()), (ErrorKind::Shed, crate::Effect::None));
        assert_eq!((bulkhead.queued(), bulkhead.shed()), (0, 2));

        let mut waiting = pin!(bulkhead.enter(&clock, far));
        assert!(poll!(&mut waiting).is_pending());
        drop(place);
        assert!(matches!(poll!(&mut waiting), Poll::Ready(Ok(_))));
        assert_eq!(bulkhead.inflight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lower_limit_holds_once_calls_have_ended_and_a_higher_one_at_once() {
        let clock = Clock::system();
        let soon = clock.deadline_in(Duration::from_millis(50));
        let bulkhead = Bulkhead::for_users(4, 8, Duration::from_millis(10));
        let first = bulkhead.enter(&clock, soon).await.expect("free");
        let second = bulkhead.enter(&clock, soon).await.expect("free");
        bulkhead.set_limit(1);
        assert_eq!((bulkhead.limit(), bulkhead.inflight()), (2, 2), "two are taken");
        drop(first);
        bulkhead.set_limit(1);
        assert_eq!((bulkhead.limit(), bulkhead.inflight()), (1, 1));
        assert!(bulkhead.enter(&clock, soon).await.is_err());
        bulkhead.set_limit(9);
        assert_eq!((bulkhead.limit(), bulkhead.inflight()), (4, 1), "at most what was given");
        drop(second);
        assert_eq!(bulkhead.inflight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_place_of_several_is_kept_for_what_must_not_wait() {
        let clock = Clock::system();
        let soon = clock.deadline_in(Duration::from_millis(50));
        let bulkhead = Bulkhead::new(4, 8, Duration::from_millis(10));
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(bulkhead.enter(&clock, soon).await.expect("free"));
        }
        assert!(bulkhead.enter(&clock, soon).await.is_err(), "the fourth is kept");
        let first = bulkhead.enter_first(&clock, soon).await.expect("kept for it");
        assert_eq!(bulkhead.inflight(), 4);
        assert!(bulkhead.enter_first(&clock, soon).await.is_err(), "there is one");
        drop(first);
        assert_eq!(bulkhead.inflight(), 3);
        drop(places);
        assert_eq!(bulkhead.inflight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn all_places_are_for_users_where_none_is_kept() {
        let clock = Clock::system();
        let soon = clock.deadline_in(Duration::from_millis(50));
        let bulkhead = Bulkhead::for_users(4, 8, Duration::from_millis(10));
        let mut places = Vec::new();
        for _ in 0..4 {
            assert!(bulkhead.has_room());
            places.push(bulkhead.enter(&clock, soon).await.expect("free"));
        }
        assert!(!bulkhead.has_room() && bulkhead.enter_first(&clock, soon).await.is_err());
        drop(places);
        assert_eq!(bulkhead.inflight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_is_dropped_leaves_the_queue_and_a_deadline_is_kept() {
        let clock = Clock::system();
        let bulkhead = Bulkhead::new(1, 8, Duration::from_millis(100));
        let soon = clock.deadline_in(Duration::from_millis(5));
        let _place = bulkhead.enter(&clock, soon).await.expect("free");
        let mut waiting = Box::pin(bulkhead.enter(&clock, soon));
        assert!(poll!(&mut waiting).is_pending());
        drop(waiting);
        assert_eq!(bulkhead.queued(), 0);
        let late = bulkhead.enter(&clock, soon).await.expect_err("the deadline passes");
        assert_eq!(late.kind(), ErrorKind::DeadlineExceeded);
    }
}
