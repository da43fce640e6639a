//! Writes that were journaled while the record was down: applied once, unless somebody wrote their keys since.
//! It must not know where a journal is kept.

use mysql_async::{Row, Value, prelude::Queryable};

use super::{
    super::common::{column, version},
    around::{Ending, STARTS, anew, soil},
    guard::Guard,
    locked::{self, Locked},
    pool::{Connections, Lease, Stop, bounded},
    read::take,
    statement::{KEYS_MAX, bytes, record},
};
use crate::{
    backend::semantics::{Bounds, Change, Slot, control::OVERFLOW, keys_of},
    clock::Deadline,
    entry::{Key, Version},
    error::{Error, ErrorKind, Result},
    op::{Base, Op},
    reply::{Applied, Reply},
};

/// Rows of one statement that notes versions, at most.
const NOTED_MAX: usize = 256;

/// One write of a journal.
pub(super) struct Entry<'a> {
    pub(super) journal: u128,
    pub(super) seq: u64,
    pub(super) write: &'a Op,
    pub(super) base: Base,
}

/// Applies a journaled write.
///
/// # Errors
/// Those of the caller's kinds, of the server and the connection. Only the commit can have `Effect::Unknown`.
pub(super) async fn apply(
    all: &Connections,
    entry: &Entry<'_>,
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Applied> {
    for _ in 0..STARTS {
        let mut lease = all.lease(deadline).await?;
        let ending = entry.attempt(all, &mut lease, bounds, deadline).await;
        if let Some(applied) = Ending::of(ending, all, lease, deadline).await? {
            return Ok(applied);
        }
    }
    Err(anew())
}

/// A cache as the transaction found it.
struct Found {
    cache: Vec<u8>,
    active: bool,
    statement_us: i64,
    now_us: i64,
}

impl Entry<'_> {
    async fn attempt(
        &self,
        all: &Connections,
        lease: &mut Lease,
        bounds: Bounds,
        deadline: Deadline,
    ) -> std::result::Result<Ending<Applied>, Stop> {
        let (last, caches) = self.begin(lease, deadline).await?;
        if u64::try_from(last).is_ok_and(|last| self.seq <= last) {
            return Ok(Ending::RollBack(Applied::Already));
        }
        // The order of locks is that of every other write: control rows, dirty rows, values.
        if !share_degraded(lease, &caches, deadline).await? {
            return Ok(Ending::Anew);
        }
        let keys = keys_of(self.write);
        let active: Vec<String> = caches
            .iter()
            .filter(|found| found.active && found.cache != OVERFLOW.as_bytes())
            .map(|found| String::from_utf8_lossy(&found.cache).into_owned())
            .collect();
        let active: Vec<&str> = active.iter().map(String::as_str).collect();
        soil(lease, &active, &keys, deadline).await?;
        let reply = match self.perform(all, lease, &keys, bounds, deadline).await? {
            Ok(reply) => reply,
            Err(conflict) => return Ok(Ending::RollBack(Applied::Conflict(conflict))),
        };
        let seq = vec![Value::Int(column(self.seq)), self.journal()];
        bounded(deadline, lease.conn().exec_drop(record::JOURNAL_SEQ, seq)).await?;
        Ok(Ending::Commit(Applied::Done(Box::new(reply)), guard(&caches)))
    }

    fn journal(&self) -> Value {
        bytes(&self.journal.to_be_bytes())
    }

    /// Begins the transaction and locks the journal: its last number, and the caches.
    async fn begin(
        &self,
        lease: &mut Lease,
        deadline: Deadline,
    ) -> std::result::Result<(i64, Vec<Found>), Stop> {
        let (last, caches) = bounded(deadline, async {
            let mut sets = lease.conn().query_iter(record::begin_journal(self.journal)).await?;
            sets.collect::<Row>().await?;
            sets.collect::<Row>().await?;
            let last = sets.collect::<Row>().await?;
            Ok((last, sets.collect_and_drop::<Row>().await?))
        })
        .await?;
        let last = last.into_iter().next();
        let mut last =
            last.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a locked journal was not found"))?;
        let caches = caches.into_iter().map(|mut row| {
            Ok(Found {
                cache: take(&mut row, 0)?,
                active: take::<i64>(&mut row, 1)? != 0,
                statement_us: take(&mut row, 2)?,
                now_us: take(&mut row, 3)?,
            })
        });
        Ok((take(&mut last, 0)?, caches.collect::<Result<_>>()?))
    }

    /// Performs the write and notes the versions that it gave; or the key that somebody else wrote.
    async fn perform(
        &self,
        all: &Connections,
        lease: &mut Lease,
        keys: &[Key],
        bounds: Bounds,
        deadline: Deadline,
    ) -> std::result::Result<std::result::Result<Reply, Key>, Stop> {
        if keys.is_empty() {
            let reply = locked::decide(all, self.write, &mut [], 0, bounds)?;
            return Ok(Ok(reply));
        }
        let locked = locked::lock(lease, keys, deadline).await?;
        if let Some(key) = self.foreign(lease, &locked, deadline).await? {
            return Ok(Err(key));
        }
        let before: Vec<Version> = locked.rows.iter().map(|(row, _)| row.version).collect();
        let now = locked.now;
        let mut slots = locked.into_slots();
        let reply = locked::decide(all, self.write, &mut slots, now, bounds)?;
        locked::store(all, lease, &slots, now, deadline).await?;
        self.note(lease, &slots, &before, deadline).await?;
        Ok(Ok(reply))
    }

    /// The first key that somebody else wrote since its writer knew it.
    async fn foreign(
        &self,
        lease: &mut Lease,
        locked: &Locked,
        deadline: Deadline,
    ) -> std::result::Result<Option<Key>, Stop> {
        let suspects: Vec<(&Key, Version)> = locked
            .rows
            .iter()
            .filter(|(row, updated_at)| !self.knew(row.version, *updated_at))
            .map(|(row, _)| (&row.key, row.version))
            .collect();
        for chunk in suspects.chunks(KEYS_MAX) {
            let keys: Vec<Key> = chunk.iter().map(|(key, _)| Key::clone(key)).collect();
            let places = keys.len().next_power_of_two();
            let arguments = record::with_keys(vec![self.journal()], &keys, places);
            let own = lease.conn().exec::<Row, _, _>(record::journal_keys(places), arguments);
            let mut own_versions = Vec::with_capacity(keys.len());
            for mut row in bounded(deadline, own).await? {
                let given = version(take(&mut row, 1)?, take(&mut row, 2)?)?;
                own_versions.push((Key::new(take::<Vec<u8>>(&mut row, 0)?), given));
            }
            own_versions.sort_unstable();
            let by_itself = |(key, version): &&(&Key, Version)| {
                own_versions.binary_search(&(Key::clone(key), *version)).is_ok()
            };
            if let Some((key, _)) = chunk.iter().find(|suspect| !by_itself(suspect)) {
                return Ok(Some(Key::clone(key)));
            }
        }
        Ok(None)
    }

    /// Whether the writer knew this row: it saw it, nobody ever wrote it, or it was written before its last contact. The
    /// row's time is in whole milliseconds, and may be as late as the end of its millisecond.
    fn knew(&self, version: Version, updated_at: i64) -> bool {
        let written_us = updated_at.saturating_mul(1000).saturating_add(999);
        updated_at == 0
            || self.base.version == Some(version)
            || self.base.known_until_us.is_some_and(|until| written_us <= until)
    }

    /// Notes the versions of these keys: a later write of the journal is based on them.
    async fn note(
        &self,
        lease: &mut Lease,
        slots: &[Slot],
        before: &[Version],
        deadline: Deadline,
    ) -> std::result::Result<(), Stop> {
        let rows: Vec<[Value; 4]> = slots
            .iter()
            .zip(before)
            .map(|(slot, before)| {
                let given = if slot.change == Change::Keep { *before } else { slot.next };
                let key = bytes(slot.key.as_bytes());
                [self.journal(), key, Value::from(given.epoch), Value::Int(column(given.counter))]
            })
            .collect();
        let mut rest = &rows[..];
        while !rest.is_empty() {
            let count = 1 << rest.len().min(NOTED_MAX).ilog2();
            let (now, later) = rest.split_at(count);
            let arguments: Vec<Value> = now.iter().flatten().cloned().collect();
            let sql = record::note_journal_keys(count);
            bounded(deadline, lease.conn().exec_drop(sql, arguments)).await?;
            rest = later;
        }
        Ok(())
    }
}

/// Holds the degraded caches so; whether all that were found degraded still are.
async fn share_degraded(
    lease: &mut Lease,
    caches: &[Found],
    deadline: Deadline,
) -> std::result::Result<bool, Stop> {
    if caches.iter().all(|found| found.active) {
        return Ok(true);
    }
    let shared = lease.conn().query::<Row, _>(record::SHARE_DEGRADED);
    let mut held = Vec::new();
    for mut row in bounded(deadline, shared).await? {
        held.push(take::<Vec<u8>>(&mut row, 0)?);
    }
    Ok(caches.iter().all(|found| found.active || held.contains(&found.cache)))
}

/// No cache has been added, and the dirty rows are not stamped much earlier than they are committed.
fn guard(caches: &[Found]) -> Guard {
    let until = caches
        .iter()
        .filter(|found| found.active && found.cache != OVERFLOW.as_bytes())
        .map(|found| found.now_us.saturating_add(found.statement_us))
        .min();
    let guard = Guard::caches(caches.len());
    match until {
        Some(until_us) => guard.before(until_us),
        None => guard,
    }
}
