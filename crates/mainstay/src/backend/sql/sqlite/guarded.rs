//! A guarded write: the permission and the write under one write lock, and the dirty rows of a write around a cache.
//! It must not begin or end the transaction that it stands in; what the write means stands in `semantics`.

use std::time::Duration;

use rusqlite::Connection;

use super::{
    classify, control,
    work::Rules,
    write::{self, atomically, change},
};
use crate::{
    backend::semantics,
    backend::semantics::control::{Permission, leaves_rows, micros, wait_for},
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Op, Under},
    reply::Committed,
};

const GATE: &str = "SELECT active, epoch, degraded_us FROM mainstay_cache WHERE cache = ?1";
/// The numbers of a cache never come again, whatever the clock does: a drain that is late can take no row that was made
/// anew.
const COUNT: &str =
    "UPDATE mainstay_cache SET number = number + 1 WHERE cache = ?1 RETURNING number";
const MARK_DIRTY: &str = "INSERT INTO mainstay_dirty (cache, key, number, since_us, open_until_us)
    VALUES (?1, ?2, ?3, ?4, ?4)
    ON CONFLICT (cache, key) DO UPDATE SET number = ?3 RETURNING since_us";
const HOLD_OPEN: &str = "UPDATE mainstay_dirty SET open_until_us = max(open_until_us, ?3)
    WHERE cache = ?1 AND key = ?2";

/// What of a control row decides on a write.
struct Gate {
    active: bool,
    epoch: u64,
    degraded_us: i64,
}

/// Performs the write if it may be. `now` is the host's clock, read under the write lock: nothing moves on before the
/// commit. An error leaves no dirty row.
pub(super) fn commit(
    connection: &Connection,
    cache: &str,
    op: &Op,
    under: Under,
    now: i64,
    rules: &Rules,
) -> Result<Committed> {
    let attempt = || match permission(connection, cache, op, under, now)? {
        Permission::Overtaken => Ok(Committed::Overtaken),
        Permission::Wait(left) => Ok(Committed::Wait(left)),
        Permission::Go => {
            let reply = write::write(connection, op, rules)?;
            Ok(Committed::Done(Box::new(reply)))
        }
    };
    match under {
        Under::Mark { .. } => attempt(),
        Under::Around { .. } => around_all(connection, op, attempt),
    }
}

/// The rows together with the write. One that changed nothing takes its rows with it.
fn around_all(
    connection: &Connection,
    op: &Op,
    attempt: impl FnOnce() -> Result<Committed>,
) -> Result<Committed> {
    let mut refused = None;
    let committed = atomically(connection, || match attempt()? {
        Committed::Done(reply) if !leaves_rows(op, &reply) => {
            refused = Some(Committed::Done(reply));
            Err(Error::new(ErrorKind::Internal, "rolled back: nothing was changed"))
        }
        other => Ok(other),
    });
    refused.map_or(committed, Ok)
}

fn permission(
    connection: &Connection,
    cache: &str,
    op: &Op,
    under: Under,
    now: i64,
) -> Result<Permission> {
    let gate = gate(connection, cache)?;
    Ok(match (under, gate) {
        (Under::Mark { epoch, deadline_us }, Some(gate))
            if gate.active && gate.epoch == epoch && now < deadline_us =>
        {
            Permission::Go
        }
        (Under::Mark { .. }, _) => Permission::Overtaken,
        (Under::Around { known_for, open_for }, Some(gate)) if gate.active => {
            let keys = semantics::keys_of(op);
            around(connection, cache, &keys, known_for, open_for, now)?
        }
        (Under::Around { known_for, .. }, Some(gate)) => wait_for(known_for, gate.degraded_us, now),
        (Under::Around { .. }, None) => Permission::Go,
    })
}

fn gate(connection: &Connection, cache: &str) -> Result<Option<Gate>> {
    let mut statement = connection.prepare_cached(GATE).map_err(classify::error)?;
    let mut rows = statement.query([cache]).map_err(classify::error)?;
    let Some(row) = rows.next().map_err(classify::error)? else { return Ok(None) };
    Ok(Some(Gate {
        active: row.get(0).map_err(classify::error)?,
        epoch: control::number(row, 1)?,
        degraded_us: row.get(2).map_err(classify::error)?,
    }))
}

/// Makes the keys dirty for an active cache; they may be written once all of them have been so for long enough.
pub(super) fn around(
    connection: &Connection,
    cache: &str,
    keys: &[Key],
    known_for: Option<Duration>,
    open_for: Duration,
    now: i64,
) -> Result<Permission> {
    let mut youngest = i64::MIN;
    for key in keys {
        youngest = youngest.max(mark_dirty(connection, cache, key, now)?);
    }
    let permission = wait_for(known_for, youngest, now);
    if let Permission::Wait(_) = permission {
        let open_until_us = now.saturating_add(micros(open_for));
        for key in keys {
            change(connection, HOLD_OPEN, &[&cache, &key.as_bytes(), &open_until_us])?;
        }
    }
    Ok(permission)
}

/// Since when the key has been dirty.
fn mark_dirty(connection: &Connection, cache: &str, key: &Key, now: i64) -> Result<i64> {
    let one = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        let statement = connection.prepare_cached(sql);
        let found = statement.and_then(|mut it| it.query_row(values, |row| row.get::<_, i64>(0)));
        found.map_err(classify::error)
    };
    let number = one(COUNT, &[&cache])?;
    one(MARK_DIRTY, &[&cache, &key.as_bytes(), &number, &now])
}
