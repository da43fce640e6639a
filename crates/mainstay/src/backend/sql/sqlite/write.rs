//! One write: load the rows, apply, store the changes.
//! It must not begin or end the transaction that it stands in; what the write means stands in `semantics`.

use bytes::Bytes;
use rusqlite::{Connection, ToSql};

use super::{classify, locks, read, work::Rules};
use crate::{
    backend::semantics::{self, Change, Slot, Stored},
    backend::sql,
    entry::{Key, Version},
    error::{Error, ErrorKind, Result},
    op::{Condition, Op},
    reply::Reply,
};

const STAMP: &str =
    "SELECT epoch, CAST(round(unixepoch('subsec') * 1000) AS INTEGER) FROM mainstay_meta";
const LOAD: &str = "SELECT epoch, counter, deleted, expires_at, CASE WHEN ?2 THEN value END
    FROM mainstay_kv WHERE key = ?1";
const PUT: &str =
    "INSERT INTO mainstay_kv (key, epoch, counter, updated_at, deleted, expires_at, value)
    VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)
    ON CONFLICT (key) DO UPDATE SET epoch = ?2, counter = ?3, updated_at = ?4, deleted = 0,
    expires_at = ?5, value = ?6";
const EXPIRE: &str =
    "UPDATE mainstay_kv SET epoch = ?2, counter = ?3, updated_at = ?4, expires_at = ?5
    WHERE key = ?1";
const REMOVE: &str =
    "UPDATE mainstay_kv SET epoch = ?2, counter = ?3, updated_at = ?4, deleted = 1,
    expires_at = NULL, value = NULL WHERE key = ?1";

/// Inside a transaction that holds the write lock.
pub(super) fn write(connection: &Connection, op: &Op, rules: &Rules) -> Result<Reply> {
    if let Op::Fenced { fence, write: op } = op {
        return atomically(connection, || {
            locks::pass(connection, fence)?;
            write(connection, op, rules)
        });
    }
    let now = rules.clock.unix_ms();
    let stamp = stamp(connection)?;
    let first = Version { epoch: stamp.epoch, counter: rules.clock.unix_us() };
    let with_value = needs_value(op);
    let mut slots = semantics::keys_of(op)
        .into_iter()
        .map(|key| load(connection, key, with_value, first, now))
        .collect::<Result<Vec<_>>>()?;
    let reply = semantics::apply(op, &mut slots, now, rules.bounds())?;
    let capped = |at| cap(at, rules, now);
    match slots.as_slice() {
        [slot] => store(connection, slot, &capped, stamp.now_ms)?,
        many => atomically(connection, || {
            many.iter().try_for_each(|slot| store(connection, slot, &capped, stamp.now_ms))
        })?,
    }
    Ok(reply)
}

/// What all writes of a transaction are marked with.
struct Stamp {
    /// The epoch of the versions.
    epoch: u32,
    /// The host's clock, Unix milliseconds: the one clock that all processes which open this file agree on. Theirs do
    /// not follow its steps.
    now_ms: i64,
}

fn stamp(connection: &Connection) -> Result<Stamp> {
    let statement = connection.prepare_cached(STAMP);
    let (epoch, now_ms): (i64, i64) = statement
        .and_then(|mut statement| statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(classify::error)?;
    let epoch = u32::try_from(epoch)
        .map_err(|_| Error::new(ErrorKind::Corrupt, "the epoch is not a number of 32 bits"))?;
    Ok(Stamp { epoch, now_ms })
}

/// Whether the outcome depends on the value that is there, which may be large and is best left on the disk.
fn needs_value(op: &Op) -> bool {
    match op {
        Op::Set { condition, want_previous, .. } | Op::Delete { condition, want_previous, .. } => {
            *want_previous || matches!(condition, Condition::ValueIs(_) | Condition::ValueIsNot(_))
        }
        Op::SetMany { .. } | Op::DeleteMany { .. } | Op::Expire { .. } => false,
        _ => true,
    }
}

fn load(
    connection: &Connection,
    key: Key,
    with_value: bool,
    first: Version,
    now: i64,
) -> Result<Slot> {
    let mut statement = connection.prepare_cached(LOAD).map_err(classify::error)?;
    let mut rows = statement.query((key.as_bytes(), with_value)).map_err(classify::error)?;
    let Some(row) = rows.next().map_err(classify::error)? else {
        return Ok(Slot { key, stored: None, next: first, change: Change::Keep });
    };
    let version = read::version(row, 0)?;
    let deleted: bool = row.get(2).map_err(classify::error)?;
    let expires_at: Option<i64> = row.get(3).map_err(classify::error)?;
    let live = !deleted && expires_at.is_none_or(|at| at > now);
    let stored = match (live, with_value) {
        (false, _) => None,
        (true, false) => Some(Stored { value: Bytes::new(), expires_at, version }),
        (true, true) => Some(Stored { value: read::bytes(row, 4)?, expires_at, version }),
    };
    // A tombstone and an expired row carry their counter on, so that no version comes twice.
    let next = Version { epoch: first.epoch, counter: version.counter.saturating_add(1) };
    Ok(Slot { key, stored, next, change: Change::Keep })
}

/// All or none, though the transaction goes on with other writes.
pub(super) fn atomically<T>(
    connection: &Connection,
    several: impl FnOnce() -> Result<T>,
) -> Result<T> {
    execute(connection, "SAVEPOINT one", &[])?;
    let outcome = several();
    // SQLite may have rolled back everything by itself.
    if outcome.is_err() && !connection.is_autocommit() {
        execute(connection, "ROLLBACK TO one", &[])?;
    }
    if !connection.is_autocommit() {
        execute(connection, "RELEASE one", &[])?;
    }
    outcome
}

fn store(
    connection: &Connection,
    slot: &Slot,
    capped: &impl Fn(Option<i64>) -> Option<i64>,
    now: i64,
) -> Result<()> {
    let key = slot.key.as_bytes();
    let counter = i64::try_from(slot.next.counter)
        .map_err(|_| sql::unreadable("has the last version that there is"))?;
    let epoch = slot.next.epoch;
    match &slot.change {
        Change::Keep => Ok(()),
        Change::Put { value, expires_at } => {
            let values: [&dyn ToSql; 6] =
                [&key, &epoch, &counter, &now, &capped(*expires_at), &&value[..]];
            execute(connection, PUT, &values)
        }
        Change::Expire { expires_at } => {
            let values: [&dyn ToSql; 5] = [&key, &epoch, &counter, &now, &capped(*expires_at)];
            execute(connection, EXPIRE, &values)
        }
        Change::Remove => execute(connection, REMOVE, &[&key, &epoch, &counter, &now]),
    }
}

fn cap(expires_at: Option<i64>, rules: &Rules, now: i64) -> Option<i64> {
    let Some(ttl_max) = rules.ttl_max.get() else { return expires_at };
    let latest = now.saturating_add(i64::try_from(ttl_max.as_millis()).unwrap_or(i64::MAX));
    Some(expires_at.map_or(latest, |at| at.min(latest)))
}

fn execute(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<()> {
    change(connection, sql, values).map(drop)
}

/// How many rows it changed.
pub(super) fn change(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<usize> {
    let statement = connection.prepare_cached(sql);
    statement.and_then(|mut statement| statement.execute(values)).map_err(classify::error)
}
