//! The load itself, in a task of its own: the right to keep, or the wait for who has it; the truth; the keeping.
//! It must not know who waits for it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::FutureExt;

use super::{
    Arrived, Loaded, Truth,
    envelope::Envelope,
    flight::Lead,
    options::LoadOptions,
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

/// One load.
pub(super) struct Work {
    pub(super) road: Arc<Road>,
    pub(super) route: Arc<Route>,
    pub(super) key: Key,
    pub(super) options: LoadOptions,
    pub(super) stale_for: Duration,
}

/// How it turned out who loads.
enum Turn {
    /// This process, and it may keep the value.
    Mine(Right),
    /// This process, for itself.
    Alone,
    /// Another has loaded it.
    Theirs(Copy),
}

impl Work {
    /// Loads, keeps, and tells everybody who waits.
    pub(super) async fn run(self, lead: Lead, lease: Lease, truth: Truth) {
        let outcome = self.load(&lead, lease, truth).await;
        lead.land(outcome);
    }

    async fn load(&self, lead: &Lead, lease: Lease, truth: Truth) -> Result<Arrived> {
        let shelf = Shelf::of(&self.road, &self.route);
        let right = match self.turn(&shelf, lease).await {
            Turn::Mine(right) => Some(right),
            Turn::Alone => None,
            Turn::Theirs(copy) => {
                let age = copy.envelope.age(shelf.now_ms());
                let node = Some(copy.node);
                return Ok(Arrived { envelope: copy.envelope, node, age: Some(age) });
            }
        };
        let loaded_at = shelf.now_ms();
        let node = truth.node;
        match self.ask(lead, truth).await {
            Ok(loaded) => {
                let envelope = self.envelope(loaded, loaded_at);
                if let Some(right) = right {
                    self.keep(&shelf, right, &envelope);
                }
                Ok(Arrived { envelope, node, age: None })
            }
            Err(error) => {
                if let Some(right) = right {
                    shelf.give_back(&self.key, right);
                }
                Err(error)
            }
        }
    }

    /// Takes the right to keep, or waits for what its holder keeps.
    async fn turn(&self, shelf: &Shelf<'_>, mut lease: Lease) -> Turn {
        let limit = self.road.clock.deadline_in(self.options.hard_timeout);
        let mut pause = PAUSE_MIN;
        loop {
            match lease {
                Lease::Vacant(place) => {
                    if let Some(right) = self.take(shelf, place).await {
                        return Turn::Mine(right);
                    }
                }
                Lease::Held => {}
                Lease::Closed | Lease::Away(_) => return Turn::Alone,
            }
            tokio::time::sleep(backoff::spread(pause, 0.3, self.road.entropy.unit())).await;
            pause = (pause * 2).min(PAUSE_MAX);
            if limit.passed(self.road.clock.now()) {
                return Turn::Alone;
            }
            let look = shelf.look(&self.key, limit).await;
            match look.copy {
                Some(copy) if self.is_fresh(&copy, shelf.now_ms()) => return Turn::Theirs(copy),
                Some(_) | None => lease = look.lease,
            }
        }
    }

    async fn take(&self, shelf: &Shelf<'_>, place: Place) -> Option<Right> {
        let wait = self.road.clock.deadline_in(RIGHT_WAIT);
        shelf.take(&self.key, place, self.options.hard_timeout, wait).await
    }

    fn is_fresh(&self, copy: &Copy, now_ms: i64) -> bool {
        let stage = stage::of(&copy.envelope, now_ms, self.options.refresh_ahead, self.stale_for);
        stage == Stage::Fresh
    }

    /// Asks the truth, through the bulkhead for closures where it has none of its own, for `hard_timeout` at most.
    async fn ask(&self, lead: &Lead, truth: Truth) -> Result<Option<Loaded>> {
        let road = &self.road;
        let limit = road.clock.deadline_in(self.options.hard_timeout);
        let _place = road.loads.bulkheads[self.route.id].enter(&road.clock, limit).await?;
        lead.asks(road.clock.now());
        within(limit, AssertUnwindSafe(async { (truth.ask)().await }).catch_unwind()).await
    }

    fn envelope(&self, loaded: Option<Loaded>, loaded_at: i64) -> Envelope {
        let fresh_for = match &loaded {
            Some(_) => self.options.fresh_for(self.road.entropy.unit()),
            None => self.options.negative_ttl,
        };
        let fresh_for = i64::try_from(fresh_for.as_millis()).unwrap_or(i64::MAX);
        Envelope {
            loaded_at,
            fresh_until: loaded_at.saturating_add(fresh_for),
            tags: self.options.tags.iter().map(|tag| Bytes::from(tag.clone())).collect(),
            value: loaded.map(|loaded| loaded.value),
        }
    }

    /// What there is stands on while it is stale; that there is nothing does not.
    fn keep(&self, shelf: &Shelf<'_>, right: Right, envelope: &Envelope) {
        let fresh_for = envelope.fresh_for();
        let life = match envelope.value {
            Some(_) => LoadOptions::life(fresh_for, self.stale_for),
            None => fresh_for,
        };
        match life.is_zero() {
            true => shelf.give_back(&self.key, right),
            false => shelf.put(&self.key, right, envelope, life),
        }
    }
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
