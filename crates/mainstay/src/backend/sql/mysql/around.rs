//! Writes around a cache: dirty rows in the same transaction, or none while it is degraded.
//! It must not know what a write means, nor who drains.

use std::time::Duration;

use mysql_async::{Row, Value, prelude::Queryable};

use super::{
    guard::Guard,
    pool::{Connections, Lease, Stop, bounded},
    read::take,
    schema,
    statement::{KEYS_MAX, bytes, record},
    write,
};
use crate::{
    backend::semantics::control::{Permission, micros, wait_for},
    backend::semantics::{Bounds, keys_of},
    clock::Deadline,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    op::{Op, OpClass},
    reply::Committed,
};

/// How often a write is begun anew when what it depends on moves meanwhile.
pub(super) const STARTS: u32 = 4;

/// Rows of one statement that makes keys dirty, at most.
const SOILED_MAX: usize = 256;

/// How a transaction is to end.
#[derive(Debug)]
pub(super) enum Ending<T> {
    /// With this outcome, if what guards it holds; else it begins anew.
    Commit(T, Guard),
    /// The same, and nothing of the caller's write is in it.
    Announce(T, Guard),
    /// Without effect, with this outcome.
    RollBack(T),
    /// Without effect: what it depends on has moved.
    Anew,
}

impl<T> Ending<T> {
    /// Ends the transaction, however it went; `None`: it is to begin anew.
    pub(super) async fn of(
        ending: std::result::Result<Self, Stop>,
        all: &Connections,
        lease: Lease,
        deadline: Deadline,
    ) -> Result<Option<T>> {
        match ending {
            Ok(Ending::Commit(outcome, guard)) => {
                Ok(lease.commit_if(&guard, deadline).await?.then_some(outcome))
            }
            Ok(Ending::Announce(outcome, guard)) => {
                let done = lease.commit_if(&guard, deadline).await;
                let done = done.map_err(|error| error.with_effect(Effect::None))?;
                Ok(done.then_some(outcome))
            }
            Ok(Ending::RollBack(outcome)) => {
                lease.roll_back(deadline).await;
                Ok(Some(outcome))
            }
            Ok(Ending::Anew) => {
                lease.roll_back(deadline).await;
                Ok(None)
            }
            Err(stop) if stop.is_epoch_moved() => {
                lease.roll_back(deadline).await;
                schema::reload(all, deadline).await?;
                Ok(None)
            }
            Err(stop) => Err(lease.stop(stop, deadline).await),
        }
    }
}

/// A write around a cache.
pub(super) struct Around<'a> {
    pub(super) cache: &'a str,
    pub(super) known_for: Option<Duration>,
    pub(super) open_for: Duration,
    pub(super) write: &'a Op,
    pub(super) bounds: Bounds,
}

impl Around<'_> {
    /// Performs it, or says how long it has to wait.
    ///
    /// # Errors
    /// As of `guarded::commit`.
    pub(super) async fn run(&self, all: &Connections, deadline: Deadline) -> Result<Committed> {
        for _ in 0..STARTS {
            let mut lease = all.lease(deadline).await?;
            let ending = self.attempt(all, &mut lease, deadline).await;
            if let Some(committed) = Ending::of(ending, all, lease, deadline).await? {
                return Ok(committed);
            }
        }
        Err(anew())
    }

    async fn attempt(
        &self,
        all: &Connections,
        lease: &mut Lease,
        deadline: Deadline,
    ) -> std::result::Result<Ending<Committed>, Stop> {
        let found = bounded(deadline, async {
            let mut sets = lease.conn().query_iter(record::begin_around(self.cache)).await?;
            sets.collect::<Row>().await?;
            sets.collect_and_drop::<Row>().await
        })
        .await?;
        let Some(mut row) = found.into_iter().next() else {
            return self.perform(all, lease, Guard::absent(self.cache), deadline).await;
        };
        if take::<i64>(&mut row, 0)? == 0 {
            return self.degraded(all, lease, deadline).await;
        }
        // Dirty rows are stamped when they are made, and known when they are committed: no later than the longest
        // statement after the transaction began.
        let until_us = take::<i64>(&mut row, 3)?.saturating_add(take(&mut row, 2)?);
        let guard = Guard::default().before(until_us);
        let keys = keys_of(self.write);
        soil(lease, &[self.cache], &keys, deadline).await?;
        if let Permission::Wait(left) = self.known(lease, &keys, deadline).await? {
            self.hold_open(lease, &keys, deadline).await?;
            return Ok(Ending::Announce(Committed::Wait(left), guard));
        }
        self.perform(all, lease, guard, deadline).await
    }

    /// The row is held shared until the end: whoever readmits the cache waits for it.
    async fn degraded(
        &self,
        all: &Connections,
        lease: &mut Lease,
        deadline: Deadline,
    ) -> std::result::Result<Ending<Committed>, Stop> {
        let arguments = vec![bytes(self.cache.as_bytes())];
        let shared = lease.conn().exec_first::<Row, _, _>(record::SHARE, arguments);
        let Some(mut row) = bounded(deadline, shared).await? else { return Ok(Ending::Anew) };
        if take::<i64>(&mut row, 0)? != 0 {
            return Ok(Ending::Anew);
        }
        match wait_for(self.known_for, take(&mut row, 1)?, take(&mut row, 2)?) {
            Permission::Wait(left) => Ok(Ending::RollBack(Committed::Wait(left))),
            Permission::Go | Permission::Overtaken => {
                self.perform(all, lease, Guard::default(), deadline).await
            }
        }
    }

    async fn perform(
        &self,
        all: &Connections,
        lease: &mut Lease,
        guard: Guard,
        deadline: Deadline,
    ) -> std::result::Result<Ending<Committed>, Stop> {
        let (reply, changed) = write::within(all, lease, self.write, self.bounds, deadline).await?;
        let done = Committed::Done(Box::new(reply));
        // What a delete did not find here may stand where the rows lead to.
        let keeps_rows = matches!(self.write, Op::Delete { .. } | Op::DeleteMany { .. })
            && self.write.class() == OpClass::LastWriterWins;
        let commits = changed || keeps_rows;
        Ok(if commits { Ending::Commit(done, guard) } else { Ending::RollBack(done) })
    }

    /// Whether the youngest of the dirty rows has been known for long enough.
    async fn known(
        &self,
        lease: &mut Lease,
        keys: &[Key],
        deadline: Deadline,
    ) -> std::result::Result<Permission, Stop> {
        if self.known_for.is_none() {
            return Ok(Permission::Go);
        }
        let (mut youngest, mut now) = (i64::MIN, 0);
        for chunk in keys.chunks(KEYS_MAX) {
            let places = chunk.len().next_power_of_two();
            let arguments = record::with_keys(vec![bytes(self.cache.as_bytes())], chunk, places);
            let found = lease.conn().exec_first::<Row, _, _>(record::youngest(places), arguments);
            if let Some(mut row) = bounded(deadline, found).await? {
                youngest = youngest.max(take::<Option<i64>>(&mut row, 0)?.unwrap_or(i64::MIN));
                now = take(&mut row, 1)?;
            }
        }
        Ok(wait_for(self.known_for, youngest, now))
    }

    async fn hold_open(
        &self,
        lease: &mut Lease,
        keys: &[Key],
        deadline: Deadline,
    ) -> std::result::Result<(), Stop> {
        // Far beyond any wait, and still in range when the clock is added.
        let open_us = micros(self.open_for).min(i64::MAX / 4);
        for chunk in keys.chunks(KEYS_MAX) {
            let places = chunk.len().next_power_of_two();
            let first = vec![Value::Int(open_us), bytes(self.cache.as_bytes())];
            let arguments = record::with_keys(first, chunk, places);
            let held = lease.conn().exec_drop(record::hold_open(places), arguments);
            bounded(deadline, held).await?;
        }
        Ok(())
    }
}

/// Makes these keys dirty for these caches, both in ascending order.
pub(super) async fn soil(
    lease: &mut Lease,
    caches: &[&str],
    keys: &[Key],
    deadline: Deadline,
) -> std::result::Result<(), Stop> {
    let pairs: Vec<(&str, &Key)> =
        caches.iter().flat_map(|cache| keys.iter().map(move |key| (*cache, key))).collect();
    let mut rest = &pairs[..];
    while !rest.is_empty() {
        // Powers of two, so that few statements are prepared.
        let rows = 1 << rest.len().min(SOILED_MAX).ilog2();
        let (now, later) = rest.split_at(rows);
        let pair = |(cache, key): &(&str, &Key)| [bytes(cache.as_bytes()), bytes(key.as_bytes())];
        let arguments: Vec<Value> = now.iter().flat_map(pair).collect();
        bounded(deadline, lease.conn().exec_drop(record::soil(rows), arguments)).await?;
        rest = later;
    }
    Ok(())
}

/// The error of a write that began too often.
pub(super) fn anew() -> Error {
    Error::new(ErrorKind::Conflict, "the state of the cache is moving")
}
