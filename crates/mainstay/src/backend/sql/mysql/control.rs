//! What a record is asked about its caches: leases, dirty keys, degrading, readmission.
//! It must not know how a guarded write is performed; that is `guarded` and `journal`.

use std::time::Duration;

use mysql_async::{Row, Value, prelude::Queryable};

use super::{
    super::common::{BATCH_MAX, Intent, column},
    guarded, journal,
    pool::{Connections, Failure, bounded},
    read::{rows, take},
    statement::{bytes, record},
};
use crate::{
    backend::semantics::{Bounds, control::micros},
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Control, DirtyRow, LeaseRow, RecordOp, Terms},
    reply::Reply,
};

/// Dirty rows of one statement that drains, at most.
const DRAINED_MAX: usize = 256;

/// Characters of a reason that are kept; the column holds 64 KiB.
const REASON_MAX: usize = 8_000;

/// Performs what a record route asks of its record.
///
/// # Errors
/// Those of the server and the connection, and of the write.
pub(super) async fn run(
    all: &Connections,
    op: &RecordOp,
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Reply> {
    match op {
        RecordOp::Lease { cache, terms, id, dirty_max } => {
            let row = lease(all, cache, *terms, *id, *dirty_max, deadline).await?;
            Ok(Reply::Lease(Box::new(row)))
        }
        RecordOp::Commit { cache, write, under } => {
            let committed = guarded::commit(all, cache, write, *under, bounds, deadline).await?;
            Ok(Reply::Committed(committed))
        }
        RecordOp::Dirty { cache, from, limit } => {
            dirty(all, cache, from.as_ref(), *limit, deadline).await
        }
        RecordOp::Drained { cache, rows } => drained(all, cache, rows, deadline).await,
        RecordOp::Degrade { cache, epoch, reason } => {
            let reason: String = reason.chars().take(REASON_MAX).collect();
            let arguments =
                vec![bytes(reason.as_bytes()), bytes(cache.as_bytes()), Value::UInt(*epoch)];
            change(all, record::DEGRADE, arguments, deadline).await
        }
        RecordOp::Readmit { cache, epoch, identity, beacon } => {
            readmit(all, cache, *epoch, identity, *beacon, deadline).await
        }
        RecordOp::Raised { cache, epoch, beacon } => {
            let (epoch, beacon) = (Value::UInt(*epoch), Value::UInt(*beacon));
            let arguments = vec![beacon.clone(), bytes(cache.as_bytes()), epoch, beacon];
            change(all, record::RAISED, arguments, deadline).await
        }
        RecordOp::Now => {
            let mut found = rows(all, record::NOW, Vec::new(), deadline).await?;
            let row = found.first_mut();
            let row = row.ok_or_else(|| Error::new(ErrorKind::NotReady, "no clock"))?;
            Ok(Reply::Integer(take(row, 0)?))
        }
        RecordOp::Apply { journal, seq, write, base } => {
            let entry = journal::Entry { journal: *journal, seq: *seq, write, base: *base };
            Ok(Reply::Applied(journal::apply(all, &entry, bounds, deadline).await?))
        }
    }
}

async fn lease(
    all: &Connections,
    cache: &str,
    terms: Terms,
    id: u64,
    dirty_max: usize,
    deadline: Deadline,
) -> Result<LeaseRow> {
    if let Some(row) = leased(all, cache, dirty_max, deadline).await? {
        return Ok(row);
    }
    let mut arguments = vec![bytes(cache.as_bytes()), Value::UInt(id)];
    arguments.extend([terms.lease, terms.mark, terms.statement].map(|t| Value::Int(micros(t))));
    let mut place = all.lease(deadline).await?;
    let outcome = bounded(deadline, place.conn().exec_drop(record::NEW_CACHE, arguments)).await;
    // A row that nobody uses yet is not an effect.
    place.settle(outcome, Intent::Read)?;
    let row = leased(all, cache, dirty_max, deadline).await?;
    row.ok_or_else(|| Error::new(ErrorKind::Conflict, "the row of the cache went at once"))
}

/// The control row and the dirty keys, if there is a row.
async fn leased(
    all: &Connections,
    cache: &str,
    dirty_max: usize,
    deadline: Deadline,
) -> Result<Option<LeaseRow>> {
    let limit = u64::try_from(dirty_max.saturating_add(1)).unwrap_or(u64::MAX);
    let name = bytes(cache.as_bytes());
    let arguments = vec![name.clone(), Value::UInt(limit), name];
    let mut found = rows(all, record::LEASE, arguments, deadline).await?;
    let Some(first) = found.first_mut() else { return Ok(None) };
    let now_us = take(first, 11)?;
    let control = control(first, now_us)?;
    let mut dirty = Vec::with_capacity(found.len());
    for row in &mut found {
        dirty.extend(take::<Option<Vec<u8>>>(row, 12)?.map(Key::new));
    }
    dirty.sort_unstable();
    let more = dirty.len() > dirty_max;
    dirty.truncate(dirty_max);
    Ok(Some(LeaseRow { control, dirty, more, now_us }))
}

fn control(row: &mut Row, now_us: i64) -> Result<Control> {
    let duration = |us: i64| Duration::from_micros(u64::try_from(us).unwrap_or(0));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Control {
        id: take(row, 0)?,
        active: take::<i64>(row, 1)? != 0,
        epoch: take(row, 2)?,
        generation: take(row, 3)?,
        identity: text(take(row, 4)?),
        beacon: take(row, 5)?,
        beacon_age: duration(now_us.saturating_sub(take(row, 6)?)),
        reason: text(take(row, 7)?),
        terms: Terms {
            lease: duration(take(row, 8)?),
            mark: duration(take(row, 9)?),
            statement: duration(take(row, 10)?),
        },
    })
}

async fn dirty(
    all: &Connections,
    cache: &str,
    from: Option<&Key>,
    limit: usize,
    deadline: Deadline,
) -> Result<Reply> {
    let limit = Value::UInt(u64::try_from(limit).unwrap_or(u64::MAX));
    let cache = bytes(cache.as_bytes());
    let found = match from {
        None => rows(all, record::DIRTY, vec![cache, limit], deadline).await?,
        Some(key) => {
            let arguments = vec![cache, bytes(key.as_bytes()), limit];
            rows(all, record::DIRTY_FROM, arguments, deadline).await?
        }
    };
    let rows = found.into_iter().map(|mut row| {
        Ok(DirtyRow { key: Key::new(take::<Vec<u8>>(&mut row, 0)?), number: take(&mut row, 1)? })
    });
    Ok(Reply::Dirty(rows.collect::<Result<_>>()?))
}

async fn drained(
    all: &Connections,
    cache: &str,
    rows: &[DirtyRow],
    deadline: Deadline,
) -> Result<Reply> {
    // In the order in which writers lock them.
    let mut rows: Vec<&DirtyRow> = rows.iter().collect();
    rows.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    let mut gone = 0;
    for chunk in rows.chunks(DRAINED_MAX) {
        let places = chunk.len().next_power_of_two();
        let last = chunk.last().into_iter().cycle();
        let pairs = chunk.iter().chain(last).take(places);
        let mut arguments = vec![bytes(cache.as_bytes())];
        arguments.extend(
            pairs.flat_map(|row| [bytes(row.key.as_bytes()), Value::Int(column(row.number))]),
        );
        gone += changed(all, &record::drained(places), arguments, deadline).await?;
    }
    Ok(Reply::Integer(i64::try_from(gone).unwrap_or(i64::MAX)))
}

async fn change(
    all: &Connections,
    sql: &str,
    arguments: Vec<Value>,
    deadline: Deadline,
) -> Result<Reply> {
    let rows = changed(all, sql, arguments, deadline).await?;
    Ok(Reply::Integer(i64::try_from(rows).unwrap_or(i64::MAX)))
}

/// Performs one statement; how many rows it changed.
async fn changed(
    all: &Connections,
    sql: &str,
    arguments: Vec<Value>,
    deadline: Deadline,
) -> Result<u64> {
    let mut lease = all.lease(deadline).await?;
    let outcome = bounded(deadline, async {
        let conn = lease.conn();
        conn.exec_drop(sql, arguments).await?;
        Ok(conn.affected_rows())
    })
    .await;
    lease.settle(outcome, Intent::Write)
}

async fn readmit(
    all: &Connections,
    cache: &str,
    epoch: u64,
    identity: &str,
    beacon: u64,
    deadline: Deadline,
) -> Result<Reply> {
    let mut lease = all.lease(deadline).await?;
    let arguments = vec![
        bytes(identity.as_bytes()),
        Value::UInt(beacon),
        bytes(cache.as_bytes()),
        Value::UInt(epoch),
    ];
    let outcome: std::result::Result<bool, Failure> = bounded(deadline, async {
        let conn = lease.conn();
        conn.query_drop("START TRANSACTION").await?;
        // Conditional, and locks the row as a SELECT FOR UPDATE would.
        conn.exec_drop(record::READMIT, arguments).await?;
        if conn.affected_rows() == 0 {
            return Ok(false);
        }
        // In parts, each within the time of a statement; TRUNCATE would commit by itself.
        let limit = u64::try_from(BATCH_MAX).unwrap_or(u64::MAX);
        loop {
            let arguments = vec![bytes(cache.as_bytes()), Value::UInt(limit)];
            conn.exec_drop(record::CLEAN, arguments).await?;
            if conn.affected_rows() < limit {
                return Ok(true);
            }
        }
    })
    .await;
    match outcome {
        Ok(true) => {
            lease.commit(deadline).await?;
            Ok(Reply::Integer(1))
        }
        Ok(false) => {
            lease.roll_back(deadline).await;
            Ok(Reply::Integer(0))
        }
        Err(failure) => Err(lease.undo(failure, deadline).await),
    }
}
