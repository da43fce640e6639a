//! Writes that depend on what is stored: lock the rows, decide by `semantics`, store, commit.
//! It must not know what any write means.

use bytes::Bytes;
use mysql_async::{Conn, Row, Value, prelude::Queryable};

use super::{
    super::common::{LockedRow, column, version},
    locks,
    pool::{Connections, Failure, Lease, Stop, bounded},
    read::{filled, take},
    statement::{self, KEYS_MAX, Listed, Rows, bytes, listed, next_rows, number, rowed},
};
use crate::{
    backend::semantics::{Bounds, Change, Slot, apply, keys_of},
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::Op,
    reply::Reply,
};

/// Performs any write, in a transaction of its own.
///
/// # Errors
/// Those of the caller's kinds, of the server and the connection. Only the commit can have `Effect::Unknown`.
pub(super) async fn run(
    all: &Connections,
    op: &Op,
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Reply> {
    if keys_of(op).is_empty() {
        return apply(op, &mut [], 0, bounds);
    }
    let mut lease = all.lease(deadline).await?;
    let begun = bounded(deadline, lease.conn().query_drop("START TRANSACTION")).await;
    let written = match begun {
        Ok(()) => within(all, &mut lease, op, bounds, deadline).await,
        Err(failure) => Err(Stop::Failed(failure)),
    };
    match written {
        Ok((reply, true)) => {
            lease.commit(deadline).await?;
            Ok(reply)
        }
        Ok((reply, false)) => {
            lease.roll_back(deadline).await;
            Ok(reply)
        }
        Err(stop) => Err(lease.stop(stop, deadline).await),
    }
}

/// Performs any write in the transaction that has begun on this connection; whether there is anything to be committed.
pub(super) async fn within(
    all: &Connections,
    lease: &mut Lease,
    op: &Op,
    bounds: Bounds,
    deadline: Deadline,
) -> std::result::Result<(Reply, bool), Stop> {
    let keys = keys_of(op);
    if keys.is_empty() {
        return Ok((apply(op, &mut [], 0, bounds)?, false));
    }
    if let Op::Fenced { fence, .. } = op {
        locks::pass(lease, fence, deadline).await?;
    }
    let locked = lock(lease, &keys, deadline).await?;
    let now = locked.now;
    let mut slots = locked.into_slots();
    let reply = decide(all, op, &mut slots, now, bounds)?;
    store(all, lease, &slots, now, deadline).await?;
    Ok((reply, slots.iter().any(|slot| slot.change != Change::Keep)))
}

/// Rows under their locks, in ascending order of their keys.
#[derive(Debug)]
pub(super) struct Locked {
    /// Each with the time of the last write to it, Unix milliseconds; 0: nobody wrote it.
    pub(super) rows: Vec<(LockedRow, i64)>,
    /// The server's clock, Unix milliseconds.
    pub(super) now: i64,
    epoch: u32,
}

impl Locked {
    /// The slots of these rows.
    pub(super) fn into_slots(self) -> Vec<Slot> {
        let Self { rows, now, epoch } = self;
        rows.into_iter().map(|(row, _)| row.into_slot(epoch, now)).collect()
    }
}

/// Locks the rows of these keys in ascending order, creating tombstones where there are none, and reads them.
pub(super) async fn lock(
    lease: &mut Lease,
    keys: &[Key],
    deadline: Deadline,
) -> std::result::Result<Locked, Stop> {
    let rows = bounded(deadline, lock_and_load(lease.conn(), keys)).await?;
    Ok(locked(rows, keys.len())?)
}

/// What the write does to these slots.
///
/// # Errors
/// Those of the caller's kinds.
pub(super) fn decide(
    all: &Connections,
    op: &Op,
    slots: &mut [Slot],
    now: i64,
    bounds: Bounds,
) -> Result<Reply> {
    let reply = apply(op, slots, now, bounds)?;
    slots.iter().try_for_each(|slot| all.check_packet(size_of(slot)))?;
    Ok(reply)
}

/// Stores the slots that were changed.
pub(super) async fn store(
    all: &Connections,
    lease: &mut Lease,
    slots: &[Slot],
    now: i64,
    deadline: Deadline,
) -> std::result::Result<(), Failure> {
    bounded(deadline, send(lease.conn(), slots, now, all.payload_max())).await
}

async fn lock_and_load(conn: &mut Conn, keys: &[Key]) -> mysql_async::Result<Vec<Row>> {
    let sizes: Vec<usize> = keys.iter().map(|key| key.as_bytes().len()).collect();
    let mut done = 0;
    while done < keys.len() {
        let rows = next_rows(&sizes[done..], usize::MAX);
        let arguments: Vec<Value> =
            keys[done..done + rows].iter().map(|key| bytes(key.as_bytes())).collect();
        conn.exec_drop(rowed(Rows::Lock, rows), arguments).await?;
        done += rows;
    }
    let mut found = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(KEYS_MAX) {
        let (sql, places) = listed(Listed::Load, chunk.len());
        found.extend(conn.exec::<Row, _, _>(sql, filled(chunk, places)).await?);
    }
    Ok(found)
}

fn locked(found: Vec<Row>, expected: usize) -> Result<Locked> {
    if found.len() != expected {
        let message = format!("{} of {expected} locked rows were found", found.len());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    let mut rows = Vec::with_capacity(found.len());
    // One clock and one epoch for all: the first row's.
    let mut common = None;
    for mut row in found {
        if common.is_none() {
            common = Some((take::<i64>(&mut row, 5)?, version(take(&mut row, 6)?, 0)?.epoch));
        }
        let updated_at = take(&mut row, 7)?;
        let locked = LockedRow {
            key: Key::new(take::<Vec<u8>>(&mut row, 0)?),
            version: version(take(&mut row, 1)?, take(&mut row, 2)?)?,
            value: take::<Option<Vec<u8>>>(&mut row, 3)?.map(Bytes::from),
            expires_at: take(&mut row, 4)?,
        };
        rows.push((locked, updated_at));
    }
    rows.sort_unstable_by(|(one, _), (other, _)| one.key.cmp(&other.key));
    let (now, epoch) = common.unwrap_or_default();
    Ok(Locked { rows, now, epoch })
}

fn size_of(slot: &Slot) -> usize {
    slot.key.as_bytes().len()
        + match &slot.change {
            Change::Put { value, .. } => value.len(),
            Change::Keep | Change::Expire { .. } | Change::Remove => 0,
        }
}

/// The row of a changed slot; `None` for one that keeps its value.
fn row_of(slot: &Slot, now: i64) -> Option<[Value; 6]> {
    let (value, deleted, expires_at) = match &slot.change {
        Change::Keep | Change::Expire { .. } => return None,
        Change::Put { value, expires_at } => (bytes(value), 0, *expires_at),
        Change::Remove => (Value::NULL, 1, Some(now)),
    };
    Some([
        bytes(slot.key.as_bytes()),
        Value::from(slot.next.epoch),
        Value::Int(column(slot.next.counter)),
        value,
        Value::Int(deleted),
        number(expires_at),
    ])
}

async fn send(
    conn: &mut Conn,
    slots: &[Slot],
    now: i64,
    bytes_max: usize,
) -> mysql_async::Result<()> {
    let changed: Vec<(usize, [Value; 6])> =
        slots.iter().filter_map(|slot| Some((size_of(slot), row_of(slot, now)?))).collect();
    let sizes: Vec<usize> = changed.iter().map(|(size, _)| *size).collect();
    let mut rows = changed.into_iter().map(|(_, row)| row);
    let mut done = 0;
    while done < sizes.len() {
        let count = next_rows(&sizes[done..], bytes_max);
        let arguments: Vec<Value> = rows.by_ref().take(count).flatten().collect();
        conn.exec_drop(rowed(Rows::Store, count), arguments).await?;
        done += count;
    }
    for slot in slots {
        if let Change::Expire { expires_at } = &slot.change {
            let arguments = vec![
                Value::from(slot.next.epoch),
                Value::Int(column(slot.next.counter)),
                number(*expires_at),
                bytes(slot.key.as_bytes()),
            ];
            conn.exec_drop(statement::EXPIRE, arguments).await?;
        }
    }
    Ok(())
}
