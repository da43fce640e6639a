//! How many calls one backend gets at once, and how many may wait for it.
//! It must not know the calls, nor the breaker.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use super::gate::{Gate, Inside};
use crate::{
    clock::{Clock, Deadline},
    error::{Error, ErrorKind, Result},
    live::{LiveDuration, LiveSize},
};

/// Smaller limits keep no place back.
const KEEPS_FROM: usize = 4;

/// A limit on the calls in flight, with a bounded queue before it. One of the places is kept for what keeps the storage
/// itself true (leases, readmission): a backend that is full with users' calls must not lose them for want of a lease.
#[derive(Debug)]
pub struct Bulkhead {
    places: Gate,
    kept: Gate,
    /// Whether a place may be kept back.
    keeps: bool,
    inflight_max: LiveSize,
    queue_max: LiveSize,
    queue_wait: LiveDuration,
    queued: AtomicUsize,
    shed: AtomicU64,
}

/// A place in the bulkhead; dropping it gives it to the next in the queue.
#[derive(Debug)]
pub struct Place<'a>(#[expect(dead_code, reason = "held for its drop")] Inside<'a>);

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
        Self::with(inflight_max, true, queue_max, queue_wait)
    }

    /// The same, and no place is kept back: every caller is a user's.
    pub fn for_users(inflight_max: usize, queue_max: usize, queue_wait: Duration) -> Self {
        Self::with(inflight_max, false, queue_max, queue_wait)
    }

    fn with(inflight_max: usize, keeps: bool, queue_max: usize, queue_wait: Duration) -> Self {
        let inflight_max = inflight_max.max(1);
        let kept = kept_of(inflight_max, keeps);
        Self {
            places: Gate::new(inflight_max - kept),
            kept: Gate::new(kept),
            keeps,
            inflight_max: LiveSize::new(inflight_max),
            queue_max: LiveSize::new(queue_max),
            queue_wait: LiveDuration::new(queue_wait),
            queued: AtomicUsize::new(0),
            shed: AtomicU64::new(0),
        }
    }

    /// A place; waits for one when all are taken.
    ///
    /// # Errors
    /// `Shed` when the queue is full or the wait is over, `DeadlineExceeded` when the deadline is. Without effect.
    pub async fn enter(&self, clock: &Clock, deadline: Deadline) -> Result<Place<'_>> {
        match self.places.try_enter() {
            Some(inside) => Ok(Place(inside)),
            None => Box::pin(self.wait(&self.places, clock, deadline)).await,
        }
    }

    /// The same for what must not wait behind users' calls.
    ///
    /// # Errors
    /// As `enter`.
    pub async fn enter_first(&self, clock: &Clock, deadline: Deadline) -> Result<Place<'_>> {
        match self.places.try_enter() {
            Some(inside) => Ok(Place(inside)),
            // Nobody would ever give it.
            None if self.kept.limit() == 0 => {
                Box::pin(self.wait(&self.places, clock, deadline)).await
            }
            None => Box::pin(self.wait(&self.kept, clock, deadline)).await,
        }
    }

    /// A place, if one is free now.
    pub fn try_enter(&self) -> Option<Place<'_>> {
        self.places.try_enter().map(Place)
    }

    /// How long a call waits for a place.
    pub fn queue_wait(&self) -> Duration {
        self.queue_wait.get()
    }

    /// Whether a call would have a place at once.
    pub fn has_room(&self) -> bool {
        self.places.has_room()
    }

    /// Calls in flight.
    pub fn inflight(&self) -> usize {
        self.places.inside() + self.kept.inside()
    }

    /// The most that the limit can be.
    pub fn inflight_max(&self) -> usize {
        self.inflight_max.get()
    }

    /// The limit now.
    pub fn limit(&self) -> usize {
        self.places.limit() + self.kept.limit()
    }

    /// Changes the limit, up to `inflight_max`. Calls in flight over a lower one go on.
    pub fn set_limit(&self, limit: usize) {
        let kept = self.kept.limit();
        let wanted = limit.clamp(1 + kept, self.inflight_max().max(1 + kept)) - kept;
        if wanted != self.places.limit() {
            self.places.set_limit(wanted);
        }
    }

    /// Takes over settings. Calls in flight over a lower limit go on, and who waits goes on waiting as long as it would
    /// have.
    pub fn reconfigure(&self, inflight_max: usize, queue_max: usize, queue_wait: Duration) {
        let inflight_max = inflight_max.max(1);
        let kept = kept_of(inflight_max, self.keeps);
        self.inflight_max.set(inflight_max);
        self.queue_max.set(queue_max);
        self.queue_wait.set(queue_wait);
        self.kept.set_limit(kept);
        self.places.set_limit(inflight_max - kept);
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
        places: &'a Gate,
        clock: &Clock,
        deadline: Deadline,
    ) -> Result<Place<'a>> {
        let queued = self.queued.fetch_add(1, Ordering::Relaxed);
        let _queued = Queued(&self.queued);
        if queued >= self.queue_max.get() {
            return Err(self.shed_as(ErrorKind::Shed, "bulkhead full: the queue is full as well"));
        }
        let until = deadline.within(clock.now(), self.queue_wait());
        match tokio::time::timeout_at(until.instant(), places.enter()).await {
            Ok(inside) => Ok(Place(inside)),
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
        Error::new(kind, text).retry_after(self.queue_wait())
    }
}

/// How many places of these are kept back.
fn kept_of(inflight_max: usize, keeps: bool) -> usize {
    usize::from(keeps && inflight_max >= KEEPS_FROM)
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
        assert_eq!((bulkhead.limit(), bulkhead.inflight()), (1, 2), "two were in");
        drop(first);
        assert_eq!((bulkhead.limit(), bulkhead.inflight()), (1, 1));
        assert!(bulkhead.enter(&clock, soon).await.is_err());
        bulkhead.set_limit(9);
        assert_eq!((bulkhead.limit(), bulkhead.inflight()), (4, 1), "at most what was given");
        drop(second);
        assert_eq!(bulkhead.inflight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn other_settings_hold_at_once_and_who_waits_comes_in() {
        let clock = Clock::system();
        let soon = clock.deadline_in(Duration::from_secs(5));
        let bulkhead = Bulkhead::new(1, 8, Duration::from_secs(1));
        let first = bulkhead.enter(&clock, soon).await.expect("free");
        let mut waiting = pin!(bulkhead.enter(&clock, soon));
        assert!(poll!(&mut waiting).is_pending());
        bulkhead.reconfigure(3, 0, Duration::from_millis(10));
        let Poll::Ready(Ok(second)) = poll!(&mut waiting) else { panic!("there is room now") };
        let third = bulkhead.enter(&clock, soon).await.expect("free");
        let full = bulkhead.enter(&clock, soon).await.expect_err("nobody may wait");
        assert_eq!(full.kind(), ErrorKind::Shed);
        bulkhead.reconfigure(4, 1, Duration::from_millis(10));
        assert!(bulkhead.enter(&clock, soon).await.is_err(), "the fourth is kept back");
        assert!(bulkhead.enter_first(&clock, soon).await.is_ok());
        drop((first, second, third));
        assert_eq!((bulkhead.inflight(), bulkhead.inflight_max()), (0, 4));
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
