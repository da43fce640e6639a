//! Writes that depend on what is stored: lock the rows, decide by `semantics`, store, commit.
//! It must not know what any write means.

use bytes::Bytes;
use mysql_async::{Conn, Row, Value, prelude::Queryable};

use super::{
    super::common::{LockedRow, column, version},
    pool::{Connections, Lease, bounded},
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

/// Performs any write.
///
/// # Errors
/// Those of the caller's kinds, of the server and the connection. Only the commit can have `Effect::Unknown`.
pub(super) async fn run(
    all: &Connections,
    op: &Op,
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Reply> {
    let keys = keys_of(op);
    if keys.is_empty() {
        return apply(op, &mut [], 0, bounds);
    }
    let mut lease = all.lease(deadline).await?;
    let rows = match bounded(deadline, lock_and_load(lease.conn(), &keys)).await {
        Ok(rows) => rows,
        Err(failure) => return Err(lease.undo(failure, deadline).await),
    };
    let decided = slots_of(rows, keys.len()).and_then(|(mut slots, now)| {
        let reply = apply(op, &mut slots, now, bounds)?;
        slots.iter().try_for_each(|slot| all.check_packet(size_of(slot)))?;
        Ok((reply, slots, now))
    });
    match decided {
        Ok((reply, slots, now)) if slots.iter().any(|slot| slot.change != Change::Keep) => {
            store(all, lease, &slots, now, deadline).await?;
            Ok(reply)
        }
        Ok((reply, ..)) => {
            lease.roll_back(deadline).await;
            Ok(reply)
        }
        Err(error) => {
            lease.roll_back(deadline).await;
            Err(error)
        }
    }
}

/// Begins a transaction, locks the rows of these keys in ascending order, creating tombstones where there are none,
/// and reads them.
async fn lock_and_load(conn: &mut Conn, keys: &[Key]) -> mysql_async::Result<Vec<Row>> {
    conn.query_drop("START TRANSACTION").await?;
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

fn slots_of(rows: Vec<Row>, expected: usize) -> Result<(Vec<Slot>, i64)> {
    if rows.len() != expected {
        let message = format!("{} of {expected} locked rows were found", rows.len());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    let mut slots = Vec::with_capacity(rows.len());
    let mut now = None;
    for mut row in rows {
        // One clock for all: the first row's.
        let now = *now.get_or_insert(take::<i64>(&mut row, 5)?);
        let epoch = version(take(&mut row, 6)?, 0)?.epoch;
        let locked = LockedRow {
            key: Key::new(take::<Vec<u8>>(&mut row, 0)?),
            version: version(take(&mut row, 1)?, take(&mut row, 2)?)?,
            value: take::<Option<Vec<u8>>>(&mut row, 3)?.map(Bytes::from),
            expires_at: take(&mut row, 4)?,
        };
        slots.push(locked.into_slot(epoch, now));
    }
    slots.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    Ok((slots, now.unwrap_or(0)))
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

async fn store(
    all: &Connections,
    mut lease: Lease,
    slots: &[Slot],
    now: i64,
    deadline: Deadline,
) -> Result<()> {
    let outcome = bounded(deadline, send(lease.conn(), slots, now, all.payload_max())).await;
    match outcome {
        Ok(()) => lease.commit(deadline).await,
        Err(failure) => Err(lease.undo(failure, deadline).await),
    }
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
