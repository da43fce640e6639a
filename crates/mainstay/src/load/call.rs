//! One reader: the copy if it may be served, else the end of a flight, else what is served instead.
//! It must not load by itself: whoever has to, leads a flight in a task (`lead`).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Counter, Envelope, LoadOptions, Truth,
    flight::Outcome,
    lead::Work,
    options::LIFE_MAX,
    shelf::{Copy, Shelf},
    stage::{self, Stage},
};
use crate::{
    clock::{Deadline, Instant},
    config::Consistency,
    entry::{Freshness, Key, Record, Worth},
    error::{Error, ErrorKind, Result},
    exec::{Road, Served},
    reply::Reply,
    route::{NodeId, Route},
    trace,
};

/// A value that may be served.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) envelope: Envelope,
    /// Who gave it; `None`: a closure.
    pub(super) node: Option<NodeId>,
    /// How long ago it was loaded; `None`: just now.
    pub(super) age: Option<Duration>,
}

/// How often one caller waits for loads that an invalidation overtakes.
const ROUNDS_MAX: usize = 8;

/// One call.
pub(super) struct Call<'a> {
    pub(super) road: &'a Arc<Road>,
    pub(super) route: &'a Arc<Route>,
    pub(super) key: &'a Key,
    pub(super) options: &'a LoadOptions,
    pub(super) deadline: Deadline,
    pub(super) shelf: Shelf<'a>,
    /// How long a value may be served after its time.
    pub(super) stale_for: Duration,
    begun: Instant,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        road: &'a Arc<Road>,
        route: &'a Arc<Route>,
        key: &'a Key,
        options: &'a LoadOptions,
        deadline: Deadline,
    ) -> Self {
        let shelf = Shelf::of(road, route);
        let stale_for = options.stale_if_error.unwrap_or(route.stale_if_error.get());
        Self { road, route, key, options, deadline, shelf, stale_for, begun: road.clock.now() }
    }

    pub(super) async fn run(&self, truth: Truth) -> Result<Served> {
        let mut truth = Some(truth);
        for _ in 0..ROUNDS_MAX {
            if let Some(result) = self.round(&mut truth).await {
                return result;
            }
        }
        let text = "the value was invalidated again and again while it was being loaded";
        Err(Error::new(ErrorKind::Conflict, text))
    }

    /// `None`: what was waited for had been asked for before an invalidation, and that before this caller came; or that may
    /// be. Who waited for it leads or joins the next flight, which asks after they came.
    async fn round(&self, truth: &mut Option<Truth>) -> Option<Result<Served>> {
        let tags = self.options.tags();
        let near = self.shelf.near_and_standing(self.key, &tags, self.deadline).await;
        if let Some(copy) = near {
            let now_ms = self.shelf.now_ms();
            if let stage @ (Stage::Fresh | Stage::Due) = self.stage(&copy, now_ms) {
                return Some(Ok(self.hit(copy, stage, now_ms, truth.take())));
            }
        }
        let look = self.shelf.look_at_standing(self.key, &tags, self.deadline).await;
        let mut stale = look.doubtful.and_then(|copy| self.in_doubt(copy));
        if let Some(copy) = look.copy {
            let now_ms = self.shelf.now_ms();
            match self.stage(&copy, now_ms) {
                stage @ (Stage::Fresh | Stage::Due) => {
                    return Some(Ok(self.hit(copy, stage, now_ms, truth.take())));
                }
                Stage::Stale(over) => stale = Some((copy, over)),
                Stage::Gone => {}
            }
        }
        if self.is_throttled()
            && let Some(served) = self.stale(stale.take(), look.ended).await
        {
            return Some(Ok(served));
        }
        let ticket =
            self.road.loads.flights.board(self.key, self.begun, |right| look.lease.ends(right));
        let hidden = ticket.late && look.lease.hides(self.route.consistency == Consistency::Strict);
        if let Some(lead) = ticket.lead {
            let Some(truth) = truth.take() else { return Some(Err(asked_twice())) };
            let load = self.work().run(lead, look.lease, truth);
            self.road.tasks.spawn_to_end(trace::behind("load", load));
        } else {
            self.count(Counter::Joined);
        }
        match self.landed(ticket.outcome, stale.is_some()).await {
            Ok(arrived) => {
                let ended = hidden
                    || ticket.late
                        && self.shelf.has_ended(self.key, &arrived.envelope, self.deadline).await;
                (!ended).then(|| Ok(served(&arrived, Freshness::Loaded)))
            }
            Err(error) => Some(self.instead(stale, look.ended, error).await),
        }
    }

    /// What may have been invalidated is as stale as can be.
    fn in_doubt(&self, copy: Copy) -> Option<(Copy, Duration)> {
        let over = match self.stage(&copy, self.shelf.now_ms()) {
            Stage::Fresh | Stage::Due => Some(Duration::ZERO),
            Stage::Stale(over) => Some(over),
            Stage::Gone => None,
        };
        over.filter(|_| !self.stale_for.is_zero()).map(|over| (copy, over))
    }

    fn stage(&self, copy: &Copy, now_ms: i64) -> Stage {
        let ahead = self.options.refresh_ahead;
        stage::of(&copy.envelope, now_ms, ahead, self.stale_for)
    }

    fn hit(&self, copy: Copy, stage: Stage, now_ms: i64, truth: Option<Truth>) -> Served {
        if let (Stage::Due, Some(truth)) = (stage, truth) {
            self.refresh_behind(truth);
        }
        let none = copy.envelope.value.is_none();
        self.count(if none { Counter::NegativeHits } else { Counter::Hits });
        served_copy(copy, now_ms, Freshness::Loaded)
    }

    /// Loads anew behind the reader: once per key, only where there is room, and not soon after it has failed.
    fn refresh_behind(&self, truth: Truth) {
        let bulkhead = match truth.node {
            Some(node) => self.road.nodes[node].guard().bulkhead(),
            None => self.road.loads.bulkhead(self.route),
        };
        if !bulkhead.has_room() || self.is_throttled() {
            return;
        }
        let ticket = self.road.loads.flights.board(self.key, self.road.clock.now(), |_| false);
        if let Some(lead) = ticket.lead {
            self.count(Counter::Refreshes);
            let work = self.work();
            self.road.tasks.spawn_to_end(trace::behind("refresh", work.refresh(lead, truth)));
        }
    }

    fn work(&self) -> Work {
        Work {
            road: Arc::clone(self.road),
            route: Arc::clone(self.route),
            key: self.key.clone(),
            options: self.options.clone(),
            stale_for: self.stale_for,
        }
    }

    /// Whether a load of this key has failed lately.
    fn is_throttled(&self) -> bool {
        self.road.loads.throttle().holds(self.key, self.road.clock.now())
    }

    /// How the flight ends, if that is in time. Who has a stale value does not wait longer than the soft timeout.
    async fn landed(&self, outcome: Outcome, stale: bool) -> Result<Arrived> {
        let soft = self.options.soft_timeout.filter(|_| stale).map(|soft| soft.min(LIFE_MAX));
        let limit =
            soft.map_or(self.deadline, |soft| self.deadline.within(self.road.clock.now(), soft));
        match tokio::time::timeout_at(limit.instant(), outcome.ended()).await {
            Ok(ended) => ended,
            Err(_) => Err(Error::new(
                ErrorKind::DeadlineExceeded,
                "the deadline passed while the value was being loaded",
            )),
        }
    }

    pub(super) fn count(&self, counter: Counter) {
        self.road.loads.counts.add(self.route, counter);
    }
}

/// A copy, its times counted from now.
pub(super) fn served_copy(copy: Copy, now_ms: i64, freshness: Freshness) -> Served {
    let times = copy.envelope.times();
    let (ttl, age) = (times.left(now_ms), times.age(now_ms));
    let record = |value| Record { value, version: None, ttl: Some(ttl) };
    Served {
        reply: Reply::Record(copy.envelope.value.map(record)),
        node: Some(copy.node),
        stale: matches!(freshness, Freshness::Unverified(_)),
        worth: Worth::Read(freshness),
        age: Some(age),
    }
}

fn served(arrived: &Arrived, freshness: Freshness) -> Served {
    let ttl =
        Some(arrived.envelope.times().fresh_for().saturating_sub(arrived.age.unwrap_or_default()));
    let record = |value: &Bytes| Record { value: value.clone(), version: None, ttl };
    Served {
        reply: Reply::Record(arrived.envelope.value.as_ref().map(record)),
        node: arrived.node,
        stale: matches!(freshness, Freshness::Unverified(_)),
        worth: Worth::Read(freshness),
        age: arrived.age,
    }
}

/// A truth is gone only when its caller has led a flight, and then nothing is waited for again.
fn asked_twice() -> Error {
    Error::new(ErrorKind::Internal, "a truth was asked for twice")
}
