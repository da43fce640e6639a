//! The load itself, in a task of its own: the right to keep, or the wait for who has it; the truth; the keeping.
//! It must not know who waits for it.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::FutureExt;

use super::{
    Counter, Loaded, Truth,
    call::Arrived,
    envelope::Envelope,
    flight::Lead,
    instead, marks,
    options::{LIFE_MAX, LoadOptions},
    shelf::{Copy, Lease, Place, Right, Shelf},
    stage::{self, Stage},
};
use crate::{
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    exec::Road,
    guard::backoff,
    route::Route,
};

/// Pauses between two looks for the copy of another process.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A right is not worth a longer wait than this.
const RIGHT_WAIT: Duration = Duration::from_millis(100);

/// A key that is still being invalidated after this time is loaded without being kept.
const MARKED_WAIT: Duration = Duration::from_millis(100);

/// One load.
pub(super) struct Work {
    pub(super) road: Arc<Road>,
    pub(super) route: Arc<Route>,
    pub(super) key: Key,
    pub(super) options: LoadOptions,
    pub(super) stale_for: Duration,
}

/// The last invalidation of a prefix, and the mark of each tag.
type Carried = (u64, Vec<(Bytes, u64)>);

/// How it turned out who loads.
enum Turn {
    /// This process, and it may keep the value.
    Mine(Right),
    /// This process, for itself.
    Alone,
    /// The same, for the cache gives no answer.
    Without(Error),
    /// Another has loaded it.
    Theirs(Copy),
}

impl Work {
    /// Loads, keeps, and tells everybody who waits.
    pub(super) async fn run(self, lead: Lead, lease: Lease, truth: Truth) {
        let shelf = Shelf::of(&self.road, &self.route);
        let (outcome, right) = self.load(&shelf, &lead, lease, truth).await;
        let kept = outcome.as_ref().ok().map(|arrived| arrived.envelope.clone());
        self.note(&outcome);
        lead.land(outcome);
        // Nobody waits for this; whoever comes meanwhile is refused the right, and waits for what is kept.
        if let Some(right) = right {
            self.keep(&shelf, right, kept).await;
        }
    }

    /// The same behind a reader that was served: another process may have done it meanwhile.
    pub(super) async fn refresh(self, lead: Lead, truth: Truth) {
        let shelf = Shelf::of(&self.road, &self.route);
        let limit = self.road.clock.deadline_in(self.options.hard_timeout);
        let look = shelf.look_at_standing(&self.key, &self.options.tags(), limit).await;
        match look.copy {
            Some(copy) if self.is_fresh(&copy, shelf.now_ms()) => {
                lead.land(Ok(theirs(copy, &shelf)));
            }
            Some(_) | None => self.run(lead, look.lease, truth).await,
        }
    }

    /// Who has a stale value does not try again soon after a failure.
    fn note(&self, outcome: &Result<Arrived>) {
        let mut throttle = self.road.loads.throttle();
        match outcome {
            Ok(_) => throttle.clear(&self.key),
            Err(error) if error.kind().is_callers() => {}
            Err(_) => {
                let pause = self.options.stale_throttle.min(LIFE_MAX);
                throttle.note(&self.key, self.road.clock.now(), pause);
            }
        }
    }

    /// The value, and the right to keep it.
    async fn load(
        &self,
        shelf: &Shelf<'_>,
        lead: &Lead,
        lease: Lease,
        truth: Truth,
    ) -> (Result<Arrived>, Option<Right>) {
        let right = match self.turn(shelf, lease).await {
            Turn::Mine(right) => Some(right),
            Turn::Alone => None,
            Turn::Without(away) => {
                if let Err(error) = self.admit_without(shelf, &away) {
                    return (Err(error), None);
                }
                None
            }
            Turn::Theirs(copy) => {
                self.count(Counter::Shared);
                return (Ok(theirs(copy, shelf)), None);
            }
        };
        let (right, carried) = self.carried(shelf, right).await;
        let loaded_at = shelf.now_ms();
        let node = truth.node;
        let number = right.as_ref().and_then(Right::number);
        let loaded = self.ask(lead, number, truth).await;
        let arrived = loaded.map(|loaded| {
            let envelope = self.envelope(loaded, loaded_at, carried);
            Arrived { envelope, node, age: None }
        });
        (arrived, right)
    }

    /// Takes the right to keep, or waits for what its holder keeps.
    async fn turn(&self, shelf: &Shelf<'_>, mut lease: Lease) -> Turn {
        let limit = self.road.clock.deadline_in(self.options.hard_timeout);
        let unmarked_by = self.road.clock.deadline_in(MARKED_WAIT);
        let mut pause = PAUSE_MIN;
        loop {
            match lease {
                Lease::Vacant(place) => {
                    match self.take(shelf, place).await {
                        Some(right) => return Turn::Mine(right),
                        // There is nobody to wait for.
                        None if shelf.node().is_none() => return Turn::Alone,
                        None => {}
                    }
                }
                // Its write takes a moment longer to leave the cache than to be acknowledged.
                Lease::Marked if !unmarked_by.passed(self.road.clock.now()) => {}
                Lease::Held(_) => {}
                Lease::Marked | Lease::Closed => return Turn::Alone,
                Lease::Away(error) => return Turn::Without(error),
            }
            tokio::time::sleep(backoff::spread(pause, 0.3, self.road.entropy.unit())).await;
            pause = (pause * 2).min(PAUSE_MAX);
            if limit.passed(self.road.clock.now()) {
                return Turn::Alone;
            }
            let look = shelf.look_at_standing(&self.key, &self.options.tags(), limit).await;
            match look.copy {
                Some(copy) if self.is_fresh(&copy, shelf.now_ms()) => return Turn::Theirs(copy),
                Some(_) | None => lease = look.lease,
            }
        }
    }

    /// While a cache is away only so many load instead of reading it.
    fn admit_without(&self, shelf: &Shelf<'_>, away: &Error) -> Result<()> {
        let buckets = self.road.loads.fallbacks.get();
        let Some(bucket) = shelf.node().and_then(|node| buckets.get(node)) else { return Ok(()) };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(self.road.clock.now()).map_err(|wait| instead::capped(away, wait))
    }

    async fn take(&self, shelf: &Shelf<'_>, place: Place) -> Option<Right> {
        let wait = self.road.clock.deadline_in(RIGHT_WAIT);
        shelf.take(&self.key, place, self.options.hard_timeout, wait).await
    }

    fn count(&self, counter: Counter) {
        self.road.loads.counts.add(&self.route, counter);
    }

    fn is_fresh(&self, copy: &Copy, now_ms: i64) -> bool {
        let stage = stage::of(&copy.envelope, now_ms, self.options.refresh_ahead, self.stale_for);
        stage == Stage::Fresh
    }

    /// Asks the truth, through the bulkhead for closures where it has none of its own, for `hard_timeout` at most.
    async fn ask(&self, lead: &Lead, right: Option<u128>, truth: Truth) -> Result<Option<Loaded>> {
        let road = &self.road;
        let limit = road.clock.deadline_in(self.options.hard_timeout);
        let _place = road.loads.bulkhead(&self.route).enter(&road.clock, limit).await?;
        lead.asks(road.clock.now(), right);
        self.count(Counter::Loads);
        let asked = AssertUnwindSafe(async { (truth.ask)().await }).catch_unwind();
        let loaded = within(limit, asked).await;
        if loaded.is_err() {
            self.count(Counter::LoadErrors);
        }
        loaded
    }

    fn envelope(&self, loaded: Option<Loaded>, loaded_at: i64, carried: Carried) -> Envelope {
        let fresh_for = match &loaded {
            Some(_) => self.options.fresh_for(self.road.entropy.unit()),
            None => self.options.negative_ttl.min(LIFE_MAX),
        };
        let fresh_for = i64::try_from(fresh_for.as_millis()).unwrap_or(i64::MAX);
        Envelope {
            loaded_at,
            fresh_until: loaded_at.saturating_add(fresh_for),
            since: carried.0,
            tags: carried.1,
            value: loaded.map(|loaded| loaded.value),
        }
    }

    /// What the value will carry of invalidations so far. Where that cannot be known, it is not kept.
    async fn carried(&self, shelf: &Shelf<'_>, right: Option<Right>) -> (Option<Right>, Carried) {
        let tags = self.options.tags();
        let unmarked = || (0, tags.iter().map(|tag| (tag.clone(), 0)).collect());
        let Some(shared) = shelf.shared_marks() else { return (right, unmarked()) };
        let Some(right) = right else { return (None, unmarked()) };
        let limit = self.road.clock.deadline_in(self.options.hard_timeout);
        let marks = marks::ensure(&self.road, &shared, &tags, limit).await;
        match marks.ok().and_then(|marks| marks.carried()) {
            Some(carried) => (Some(right), carried),
            None => {
                shelf.give_back(&self.key, right).await;
                (None, unmarked())
            }
        }
    }

    /// What there is stands on while it is stale; that there is nothing does not.
    async fn keep(&self, shelf: &Shelf<'_>, right: Right, envelope: Option<Envelope>) {
        let life = |envelope: &Envelope| match envelope.value {
            Some(_) => LoadOptions::life(envelope.times().fresh_for(), self.stale_for),
            None => envelope.times().fresh_for(),
        };
        match envelope.filter(|envelope| !life(envelope).is_zero()) {
            Some(envelope) => shelf.put(&self.key, right, &envelope, life(&envelope)).await,
            None => shelf.give_back(&self.key, right).await,
        }
    }
}

/// What another process has loaded.
fn theirs(copy: Copy, shelf: &Shelf<'_>) -> Arrived {
    let age = copy.envelope.times().age(shelf.now_ms());
    Arrived { envelope: copy.envelope, node: Some(copy.node), age: Some(age) }
}

/// A loader that panics has failed, and nothing else has.
async fn within<P>(
    limit: Deadline,
    asked: impl Future<Output = std::result::Result<Result<Option<Loaded>>, P>>,
) -> Result<Option<Loaded>> {
    match tokio::time::timeout_at(limit.instant(), asked).await {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(_)) => Err(Error::new(ErrorKind::Internal, "the loader panicked")),
        Err(_) => {
            Err(Error::new(ErrorKind::Timeout, "the loader was given up: hard_timeout is over"))
        }
    }
}
