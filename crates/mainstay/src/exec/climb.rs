//! One key is moved from a lower backend of a failover route to a better one, under the right to move where rows are kept.
//! It must not choose which keys.

use std::{sync::Arc, time::Duration};

use super::{
    Road,
    rows::{self, Via},
};
use crate::{
    backend::Scope,
    clock::Deadline,
    entry::{Key, Record},
    error::{Error, ErrorKind, Result},
    op::{Condition, DirtyRow, Op, TtlChange},
    reply::Reply,
    route::{NodeId, Route},
    sync::{
        overflow::{Overflow, Taken},
        rows::{Mover, STEP},
    },
};

/// Between two looks whether another process has moved a key.
const POLL: Duration = Duration::from_millis(25);

/// How often a key is begun anew that others write meanwhile; each place of a route takes one as well.
const TURNS_MAX: usize = 16;

/// Who could not do its part.
pub(super) enum Failed {
    /// The one that took the key.
    From(Error),
    /// The one that should get it.
    To(Error),
    /// Another process moves.
    Busy(Error),
}

/// A key is moved to `to`: past its breaker when it is not up yet.
pub(super) struct Move<'a> {
    pub(super) road: &'a Arc<Road>,
    pub(super) route: &'a Route,
    pub(super) to: NodeId,
    pub(super) via: Via,
    pub(super) deadline: Deadline,
    /// How long another process that moves is waited for.
    pub(super) patience: Duration,
}

/// The right to move one key, and the row of which it is.
type Right<'a> = Option<(Mover<'a>, DirtyRow)>;

impl Move<'_> {
    /// Moves, or discards, what `from` has of this key, and before that what stands below.
    pub(super) async fn key(&self, key: &Key, from: NodeId) -> std::result::Result<(), Failed> {
        let overflow = self.overflow();
        let waited = tokio::time::timeout_at(self.deadline.instant(), overflow.moving(key)).await;
        let Ok(_alone) = waited else { return Err(Failed::To(self.late())) };
        for _ in 0..TURNS_MAX {
            // Another may have moved it meanwhile.
            let Some(taken) = overflow.at(key, from) else { return Ok(()) };
            let volatile = is_volatile(self.road, &taken);
            if volatile && !taken.superseded && self.via == Via::Guard {
                // Only a readmission discards what nobody has replaced.
                return Ok(());
            }
            if volatile || taken.superseded {
                self.discard(key, &taken).await?;
                continue;
            }
            // The lowest was asked last: it is the newest.
            let lowest = overflow.of(key).into_iter().filter(|taken| self.is_to_move(taken));
            let Some(lowest) = lowest.max_by_key(|taken| place(self.route, taken.by)) else {
                return Ok(());
            };
            self.step(key, &lowest).await?;
        }
        Err(Failed::Busy(self.busy(from)))
    }

    fn is_to_move(&self, taken: &Taken) -> bool {
        is_below(self.route, taken, self.to) && !is_volatile(self.road, taken)
    }

    /// Up by one place: to the next backend that keeps rows itself, so that what that one may have of the key does not come
    /// after it.
    async fn step(&self, key: &Key, taken: &Taken) -> std::result::Result<(), Failed> {
        let overflow = self.overflow();
        let Some(right) = self.right(key, taken).await? else { return Ok(()) };
        let to = self.next_above(taken.by);
        let record = self.get(key, taken.by).await.map_err(Failed::From)?;
        self.may_go_on(&right, taken.by)?;
        self.give(key, record.as_ref(), to).await.map_err(Failed::To)?;
        if to != self.route.authority() {
            overflow.took(key, to);
        }
        overflow.given(key, taken, right.as_ref().map(|(_, row)| row.number));
        self.supersede_between(key, taken.by, to);
        self.clear(key, taken, right, record.as_ref()).await
    }

    /// Only what a better backend has a newer value of.
    async fn discard(&self, key: &Key, taken: &Taken) -> std::result::Result<(), Failed> {
        let Some(right) = self.right(key, taken).await? else { return Ok(()) };
        if let (Some((_, row)), Some(known)) = (&right, taken.row)
            && row.number != known
        {
            // Another process had it take a later write.
            self.overflow().renewed(key, taken);
            return Ok(());
        }
        let record = match right {
            Some(_) => self.get(key, taken.by).await.map_err(Failed::From)?,
            None => None,
        };
        self.clear(key, taken, right, record.as_ref()).await
    }

    /// The row goes, then the value, each only if it is as it was read.
    async fn clear(
        &self,
        key: &Key,
        taken: &Taken,
        right: Right<'_>,
        record: Option<&Record>,
    ) -> std::result::Result<(), Failed> {
        let overflow = self.overflow();
        let kept = right.is_some();
        if let Some((mover, row)) = right {
            self.go_on(&mover, taken.by)?;
            let went = rows::drained(self.road, taken.by, row, self.step_deadline()).await;
            if !went.map_err(Failed::From)? {
                overflow.renewed(key, taken);
                return Ok(());
            }
        }
        let condition = match (record, kept) {
            (Some(record), _) => unchanged(record),
            (None, false) => Condition::Always,
            (None, true) => {
                overflow.settled(key, taken);
                return Ok(());
            }
        };
        let delete = Op::Delete { key: key.clone(), condition, want_previous: false };
        self.call(taken.by, &delete).await.map_err(Failed::From)?;
        overflow.settled(key, taken);
        Ok(())
    }

    /// The right to move this key; `Some(None)`: none is needed; `None`: there is nothing to move any more.
    async fn right(
        &self,
        key: &Key,
        taken: &Taken,
    ) -> std::result::Result<Option<Right<'_>>, Failed> {
        let id = taken.by;
        let Some(kept) = &self.road.rows[id] else { return Ok(Some(None)) };
        let begun = self.road.clock.now();
        loop {
            let deadline = self.step_deadline();
            let mover = rows::mover(self.road, (id, kept), deadline).await.map_err(Failed::From)?;
            // The row before the value: whoever writes later changes its number.
            let row = rows::of_key(self.road, id, key, self.step_deadline()).await;
            let Some(row) = row.map_err(Failed::From)? else {
                self.overflow().settled(key, taken);
                return Ok(None);
            };
            if let Some(mover) = mover {
                return Ok(Some(Some((mover, row))));
            }
            let now = self.road.clock.now();
            if now.saturating_duration_since(begun) >= self.patience || self.deadline.passed(now) {
                return Err(Failed::Busy(self.busy(id)));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn may_go_on(&self, right: &Right<'_>, from: NodeId) -> std::result::Result<(), Failed> {
        right.as_ref().map_or(Ok(()), |(mover, _)| self.go_on(mover, from))
    }

    fn go_on(&self, mover: &Mover<'_>, from: NodeId) -> std::result::Result<(), Failed> {
        let clock = &self.road.clock;
        match mover.may_go_on(clock.now(), clock.suspended()) {
            true => Ok(()),
            false => Err(Failed::Busy(self.busy(from))),
        }
    }

    /// The nearest above that keeps rows, or where the key is to go.
    fn next_above(&self, from: NodeId) -> NodeId {
        let above = self.route.nodes().skip_while(|id| *id != self.to).skip(1);
        let between = above.take_while(|id| *id != from);
        between.filter(|id| self.road.rows[*id].is_some()).last().unwrap_or(self.to)
    }

    /// What those have that keep no rows is older than what has just been given.
    fn supersede_between(&self, key: &Key, from: NodeId, to: NodeId) {
        let (from, to) = (place(self.route, from), place(self.route, to));
        for other in self.overflow().of(key) {
            let at = place(self.route, other.by);
            if at > to && at < from && self.road.rows[other.by].is_none() {
                self.overflow().supersede(key, &other);
            }
        }
    }

    async fn get(&self, key: &Key, from: NodeId) -> Result<Option<Record>> {
        let get = Op::Get { key: key.clone(), with_ttl: true };
        let record = self.call(from, &get).await?.into_record()?;
        // On its last millisecond it is as good as gone.
        Ok(record.filter(|record| record.ttl.is_none_or(|ttl| !ttl.is_zero())))
    }

    async fn give(&self, key: &Key, record: Option<&Record>, to: NodeId) -> Result<()> {
        let key = key.clone();
        let op = match record {
            None => Op::Delete { key, condition: Condition::Always, want_previous: false },
            Some(record) => Op::Set {
                key,
                value: record.value.clone(),
                ttl: record.ttl.map_or(TtlChange::Clear, TtlChange::For),
                condition: Condition::Always,
                want_previous: false,
            },
        };
        if to == self.route.authority() {
            return self.call(to, &op).await.map(drop);
        }
        match &self.road.rows[to] {
            Some(kept) => {
                rows::prepare(self.road, (to, kept), self.step_deadline()).await?;
                rows::done(self.call(to, &rows::with_rows(&op)).await?).map(drop)
            }
            None => self.call(to, &op).await.map(drop),
        }
    }

    /// Each call ends within `STEP`, so that none outlasts the right under which it was begun.
    async fn call(&self, id: NodeId, op: &Op) -> Result<Reply> {
        let via = if id == self.to { self.via } else { Via::Guard };
        rows::call(self.road, id, op, self.step_deadline(), via).await
    }

    fn step_deadline(&self) -> Deadline {
        self.deadline.within(self.road.clock.now(), STEP)
    }

    fn overflow(&self) -> &Overflow {
        &self.road.overflow[self.route.id]
    }

    fn late(&self) -> Error {
        let text = "the deadline passed while a key was moved up";
        Error::new(ErrorKind::DeadlineExceeded, text).at(self.road.nodes[self.to].name())
    }

    fn busy(&self, from: NodeId) -> Error {
        let text = "another process is moving what it took for a better backend";
        Error::new(ErrorKind::NotReady, text).at(self.road.nodes[from].name())
    }
}

pub(super) fn is_volatile(road: &Road, taken: &Taken) -> bool {
    road.nodes[taken.by].capabilities().scope == Scope::Process
}

/// Whether an entry is at a backend that stands behind `to` in the configuration.
pub(super) fn is_below(route: &Route, taken: &Taken, to: NodeId) -> bool {
    !taken.superseded && place(route, taken.by) > place(route, to)
}

pub(super) fn place(route: &Route, node: NodeId) -> Option<usize> {
    route.nodes().position(|id| id == node)
}

/// Only what was moved is deleted: another process may have written since.
fn unchanged(record: &Record) -> Condition {
    match record.version {
        Some(version) => Condition::VersionIs(version),
        None => Condition::ValueIs(record.value.clone()),
    }
}
