//! What a record keeps beside its values: control rows and dirty keys, as `semantics::control` has them.
//! It must not begin or end the transaction of a write, nor know why anything is asked.

use std::time::Duration;

use rusqlite::{Connection, Row};

use super::{
    classify, guarded, journal, read,
    work::Rules,
    write::{atomically, change},
};
use crate::{
    backend::semantics::control::micros,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Control, DirtyRow, LeaseRow, RecordOp, Terms},
    reply::Reply,
};

/// The host's clock and not that of a process: all processes that open the file agree on it, also after it was set.
const NOW: &str = "SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000";
const CONTROL: &str = "SELECT id, active, epoch, generation, identity, beacon, raised_us, reason,
    lease_us, mark_us, statement_us FROM mainstay_cache WHERE cache = ?1";
const NEW: &str = "INSERT INTO mainstay_cache (cache, id, active, epoch, generation, identity,
    beacon, raised_us, degraded_us, reason, lease_us, mark_us, statement_us, number)
    VALUES (?1, ?2, 0, 0, 0, '', 0, 0, 0, 'never used', ?3, ?4, ?5, 0)
    ON CONFLICT (cache) DO NOTHING";
const DIRTY: &str = "SELECT key, number FROM mainstay_dirty
    WHERE cache = ?1 AND (?2 IS NULL OR key >= ?2) ORDER BY key LIMIT ?3";
const DRAINED: &str = "DELETE FROM mainstay_dirty
    WHERE cache = ?1 AND key = ?2 AND number = ?3 AND open_until_us <= ?4";
const DEGRADE: &str =
    "UPDATE mainstay_cache SET active = 0, epoch = epoch + 1, degraded_us = ?3, reason = ?4
    WHERE cache = ?1 AND epoch = ?2 AND active = 1";
const READMIT: &str = "UPDATE mainstay_cache SET active = 1, epoch = epoch + 1,
    generation = generation + 1, reason = '', identity = ?4, beacon = ?5, raised_us = ?3
    WHERE cache = ?1 AND epoch = ?2 AND active = 0";
const FORGET: &str = "DELETE FROM mainstay_dirty WHERE cache = ?1";
const RAISED: &str = "UPDATE mainstay_cache SET beacon = ?4, raised_us = ?3
    WHERE cache = ?1 AND epoch = ?2 AND active = 1 AND beacon < ?4";

/// The reply to a lease or a look at dirty keys. `Reply::Done`: there is no control row, and only the writer can make it
/// (`first_lease`).
pub(super) fn look(connection: &Connection, op: &RecordOp) -> Result<Reply> {
    match op {
        RecordOp::Lease { cache, dirty_max, .. } => {
            let row = lease(connection, cache, *dirty_max)?;
            Ok(row.map_or(Reply::Done, |row| Reply::Lease(Box::new(row))))
        }
        RecordOp::Dirty { cache, from, limit } => {
            dirty(connection, cache, from.as_ref(), *limit).map(Reply::Dirty)
        }
        RecordOp::Now => now_us(connection).map(Reply::Integer),
        write => Err(misplaced(write)),
    }
}

/// Makes the control row, unless somebody has; then the lease.
pub(super) fn first_lease(connection: &Connection, op: &RecordOp) -> Result<Reply> {
    let RecordOp::Lease { cache, terms, id, .. } = op else { return Err(misplaced(op)) };
    let (lease_us, mark_us) = (micros(terms.lease), micros(terms.mark));
    let statement_us = micros(terms.statement);
    let id = id.cast_signed();
    change(connection, NEW, &[cache, &id, &lease_us, &mark_us, &statement_us])?;
    look(connection, op)
}

/// Inside a transaction that holds the write lock.
pub(super) fn write(connection: &Connection, op: &RecordOp, rules: &Rules) -> Result<Reply> {
    let now = now_us(connection)?;
    let changed = match op {
        RecordOp::Commit { cache, write, under } => {
            let committed = guarded::commit(connection, cache, write, *under, now, rules)?;
            return Ok(Reply::Committed(committed));
        }
        RecordOp::Apply { journal, seq, write, base } => {
            let journal = journal::Place { journal: *journal, seq: *seq };
            let applied = journal::apply(connection, journal, write, *base, now, rules)?;
            return Ok(Reply::Applied(applied));
        }
        RecordOp::Drained { cache, rows } => {
            atomically(connection, || drained(connection, cache, rows, now))?
        }
        RecordOp::Degrade { cache, epoch, reason } => {
            change(connection, DEGRADE, &[cache, &column(*epoch)?, &now, reason])?
        }
        RecordOp::Readmit { cache, epoch, identity, beacon } => {
            let (epoch, beacon) = (column(*epoch)?, column(*beacon)?);
            atomically(connection, || {
                let did = change(connection, READMIT, &[cache, &epoch, &now, identity, &beacon])?;
                if did == 1 {
                    change(connection, FORGET, &[cache])?;
                }
                Ok(did)
            })?
        }
        RecordOp::Raised { cache, epoch, beacon } => {
            change(connection, RAISED, &[cache, &column(*epoch)?, &now, &column(*beacon)?])?
        }
        read @ (RecordOp::Lease { .. } | RecordOp::Dirty { .. } | RecordOp::Now) => {
            return Err(misplaced(read));
        }
    };
    Ok(Reply::Integer(i64::try_from(changed).unwrap_or(i64::MAX)))
}

/// The host's clock, Unix microseconds, to the millisecond.
pub(super) fn now_us(connection: &Connection) -> Result<i64> {
    let statement = connection.prepare_cached(NOW);
    let now = statement.and_then(|mut statement| statement.query_row([], |row| row.get(0)));
    now.map_err(classify::error)
}

/// A number as a column holds it.
pub(super) fn column(number: u64) -> Result<i64> {
    i64::try_from(number)
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, "a number over 63 bits"))
}

/// A number that a column holds.
pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    let number: i64 = row.get(column).map_err(classify::error)?;
    u64::try_from(number)
        .map_err(|_| Error::new(ErrorKind::Corrupt, format!("{number} where a count is due")))
}

/// The clock is read before the snapshot is taken: what was written later is not known by then.
fn lease(connection: &Connection, cache: &str, dirty_max: usize) -> Result<Option<LeaseRow>> {
    let now_us = now_us(connection)?;
    read::at_once(connection, || {
        let Some(control) = control(connection, cache, now_us)? else { return Ok(None) };
        let rows = dirty(connection, cache, None, dirty_max.saturating_add(1))?;
        let more = rows.len() > dirty_max;
        let dirty = rows.into_iter().take(dirty_max).map(|row| row.key).collect();
        Ok(Some(LeaseRow { control, dirty, more, now_us }))
    })
}

fn control(connection: &Connection, cache: &str, now_us: i64) -> Result<Option<Control>> {
    let mut statement = connection.prepare_cached(CONTROL).map_err(classify::error)?;
    let mut rows = statement.query([cache]).map_err(classify::error)?;
    let Some(row) = rows.next().map_err(classify::error)? else { return Ok(None) };
    let id: i64 = row.get(0).map_err(classify::error)?;
    let raised_us: i64 = row.get(6).map_err(classify::error)?;
    let span = |column| number(row, column).map(Duration::from_micros);
    Ok(Some(Control {
        id: id.cast_unsigned(),
        active: row.get(1).map_err(classify::error)?,
        epoch: number(row, 2)?,
        generation: number(row, 3)?,
        identity: row.get(4).map_err(classify::error)?,
        beacon: number(row, 5)?,
        beacon_age: Duration::from_micros(u64::try_from(now_us - raised_us).unwrap_or(0)),
        reason: row.get(7).map_err(classify::error)?,
        terms: Terms { lease: span(8)?, mark: span(9)?, statement: span(10)? },
    }))
}

fn dirty(
    connection: &Connection,
    cache: &str,
    from: Option<&Key>,
    limit: usize,
) -> Result<Vec<DirtyRow>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(DIRTY).map_err(classify::error)?;
    let found = statement.query((cache, from.map(Key::as_bytes), limit));
    let mut found = found.map_err(classify::error)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(classify::error)? {
        rows.push(DirtyRow { key: Key::from(read::bytes(row, 0)?), number: number(row, 1)? });
    }
    Ok(rows)
}

fn drained(connection: &Connection, cache: &str, rows: &[DirtyRow], now: i64) -> Result<usize> {
    let mut went = 0;
    for row in rows {
        let key = row.key.as_bytes();
        went += change(connection, DRAINED, &[&cache, &key, &column(row.number)?, &now])?;
    }
    Ok(went)
}

fn misplaced(op: &RecordOp) -> Error {
    Error::new(ErrorKind::Internal, format!("{} came to the wrong connection", op.name()))
}
