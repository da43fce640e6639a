//! Locks in the file: rows loaded, changed as `semantics::locks` has it, and stored, under the write lock.
//! It must not begin or end the transaction that it stands in.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, ToSql};

use super::{
    classify,
    control::{column, now_us, number},
    read,
    write::change,
};
use crate::{
    backend::semantics::control::micros,
    backend::semantics::locks::{Asking, Fleet, Row, fenced},
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Fence, Ground, LockOp, LockPage, LockRow, Seat},
    reply::{Locked, Reply},
};

const LOAD: &str = "SELECT holder, token, expires_us, note, waiter, waiter_since_us,
    waiter_until_us, waiter_token FROM mainstay_lock WHERE name = ?1";
const STORE: &str = "INSERT INTO mainstay_lock (name, holder, token, expires_us, note, waiter,
    waiter_since_us, waiter_until_us, waiter_token) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (name) DO UPDATE SET holder = ?2, token = ?3, expires_us = ?4, note = ?5,
    waiter = ?6, waiter_since_us = ?7, waiter_until_us = ?8, waiter_token = ?9";
const LIST: &str = "SELECT holder, token, expires_us, note, waiter, waiter_since_us,
    waiter_until_us, waiter_token, name FROM mainstay_lock
    WHERE ?1 IS NULL OR name > ?1 ORDER BY name LIMIT ?2";
const COUNTER: &str = "SELECT coalesce(max(token), 0) FROM mainstay_lock";
const SEEN: &str = "SELECT token FROM mainstay_fence WHERE resource = ?1";
const PASS: &str = "INSERT INTO mainstay_fence (resource, token) VALUES (?1, ?2)
    ON CONFLICT (resource) DO UPDATE SET token = ?2";
const FLEET: &str = "SELECT epoch, backend, seat_identity, ttl_max_us, view_us, not_before_us,
    identity, since_us, admitted_as, floor FROM mainstay_fleet";
const SET_FLEET: &str = "UPDATE mainstay_fleet SET epoch = ?1, backend = ?2, seat_identity = ?3,
    ttl_max_us = ?4, view_us = ?5, not_before_us = ?6, identity = ?7, since_us = ?8,
    admitted_as = ?9, floor = ?10";

/// Performs one operation. Inside a transaction that holds the write lock.
pub(super) fn perform(connection: &Connection, op: &LockOp) -> Result<Reply> {
    let now = now_us(connection)?;
    let locked = match op {
        LockOp::Acquire { name, holder, ttl, counting, note, ground, waiter } => {
            let fleet = fleet(connection)?;
            let (holder, ttl, counting, waiter) = (*holder, *ttl, *counting, *waiter);
            let asking = Asking { holder, ttl, counting, note, waiter };
            match fleet.allows(ground, now) {
                true => on_row(connection, name, |row| row.acquire(&asking, fleet.floor, now))?,
                false => Locked::Refused,
            }
        }
        LockOp::Renew { name, holder, ttl, ground } => {
            match *ground == Ground::Free || fleet(connection)?.allows(ground, now) {
                true => on_row(connection, name, |row| row.renew(*holder, *ttl, now))?,
                false => Locked::Refused,
            }
        }
        LockOp::Commit { name, holder, token } => {
            on_row(connection, name, |row| row.commit(*holder, *token, now))?
        }
        LockOp::Release { name, holder } => {
            on_row(connection, name, |row| row.release(*holder, now))?
        }
        LockOp::Fence { resource, token } => fence(connection, resource, *token, now)?,
        LockOp::List { after, limit } => {
            return list(connection, after.as_ref(), *limit, now).map(Reply::Locks);
        }
        LockOp::Member { id } => {
            let counter: i64 = one(connection, COUNTER)?;
            let counter = u64::try_from(counter).unwrap_or(0);
            let member = on_fleet(connection, |fleet| fleet.member(*id, counter, now))?;
            return Ok(Reply::Member(member));
        }
        LockOp::Admit { identity, floor } => {
            on_fleet(connection, |fleet| fleet.admit(identity, *floor, now))?
        }
        LockOp::Authority => {
            return Ok(Reply::Authority(Box::new(fleet(connection)?.authority(now))));
        }
        LockOp::Move { epoch, to, wait } => {
            on_fleet(connection, |fleet| fleet.move_on(*epoch, to, *wait, now))?
        }
    };
    Ok(Reply::Lock(locked))
}

/// Looks at the fence of a write that follows in the same transaction, and raises it.
///
/// # Errors
/// `Fenced` when a higher token has been seen.
pub(super) fn pass(connection: &Connection, asked: &Fence) -> Result<()> {
    match fence(connection, &asked.lock, asked.token, 0)? {
        Locked::Fenced(seen) => Err(fenced(&asked.lock, asked.token, seen)),
        _ => Ok(()),
    }
}

fn fence(connection: &Connection, resource: &Key, token: u64, now_us: i64) -> Result<Locked> {
    let mut statement = connection.prepare_cached(SEEN).map_err(classify::error)?;
    let seen = statement.query_row([resource.as_bytes()], |row| row.get::<_, i64>(0)).optional();
    let seen = u64::try_from(seen.map_err(classify::error)?.unwrap_or(0)).unwrap_or(0);
    if seen > token {
        return Ok(Locked::Fenced(seen));
    }
    change(connection, PASS, &[&resource.as_bytes(), &column(token)?])?;
    Ok(Locked::Granted { token, now_us })
}

/// Changes a row; one that is not there begins empty. What changed nothing is not stored.
fn on_row(
    connection: &Connection,
    name: &Key,
    act: impl FnOnce(&mut Row) -> Locked,
) -> Result<Locked> {
    let mut statement = connection.prepare_cached(LOAD).map_err(classify::error)?;
    let mut found = statement.query([name.as_bytes()]).map_err(classify::error)?;
    let before = found.next().map_err(classify::error)?.map(row_of).transpose()?;
    let before = before.unwrap_or_default();
    let mut row = before.clone();
    let locked = act(&mut row);
    if row != before {
        let [holder, waiter] = [row.holder, row.waiter].map(|id| id.map(u128::to_be_bytes));
        let [holder, waiter] = [&holder, &waiter].map(|id| id.as_ref().map(|id| &id[..]));
        let values: [&dyn ToSql; 9] = [
            &name.as_bytes(),
            &holder,
            &column(row.token)?,
            &row.expires_us,
            &row.note,
            &waiter,
            &row.waiter_since_us,
            &row.waiter_until_us,
            &column(row.waiter_token)?,
        ];
        change(connection, STORE, &values)?;
    }
    Ok(locked)
}

fn row_of(row: &SqlRow<'_>) -> Result<Row> {
    let id = |at| {
        let found: Option<Vec<u8>> = row.get(at).map_err(classify::error)?;
        let found = found.map(|bytes| match bytes.try_into() {
            Ok(bytes) => Ok(u128::from_be_bytes(bytes)),
            Err(_) => Err(Error::new(ErrorKind::Corrupt, "the holder of a lock is not 16 bytes")),
        });
        found.transpose()
    };
    Ok(Row {
        holder: id(0)?,
        token: number(row, 1)?,
        expires_us: row.get(2).map_err(classify::error)?,
        note: row.get(3).map_err(classify::error)?,
        waiter: id(4)?,
        waiter_since_us: row.get(5).map_err(classify::error)?,
        waiter_until_us: row.get(6).map_err(classify::error)?,
        waiter_token: number(row, 7)?,
    })
}

fn list(
    connection: &Connection,
    after: Option<&Key>,
    limit: usize,
    now_us: i64,
) -> Result<LockPage> {
    let limited = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut statement = connection.prepare_cached(LIST).map_err(classify::error)?;
    let found = statement.query((after.map(Key::as_bytes), limited));
    let mut found = found.map_err(classify::error)?;
    let mut rows: Vec<LockRow> = Vec::new();
    while let Some(row) = found.next().map_err(classify::error)? {
        let name = Key::from(read::bytes(row, 8)?);
        rows.push(row_of(row)?.shown(&name, now_us));
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.name.clone());
    Ok(LockPage { rows, next })
}

fn one(connection: &Connection, sql: &str) -> Result<i64> {
    let statement = connection.prepare_cached(sql);
    let found = statement.and_then(|mut statement| statement.query_row([], |row| row.get(0)));
    found.map_err(classify::error)
}

fn fleet(connection: &Connection) -> Result<Fleet> {
    let mut statement = connection.prepare_cached(FLEET).map_err(classify::error)?;
    let found = statement.query_row([], |row| {
        let natural = |at| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)?.unsigned_abs());
        Ok(Fleet {
            epoch: natural(0)?,
            seat: Seat {
                backend: row.get(1)?,
                identity: row.get(2)?,
                ttl_max: std::time::Duration::from_micros(natural(3)?),
                view: std::time::Duration::from_micros(natural(4)?),
            },
            not_before_us: row.get(5)?,
            identity: row.get(6)?,
            since_us: row.get(7)?,
            admitted_as: row.get(8)?,
            floor: natural(9)?,
        })
    });
    found.map_err(classify::error)
}

fn on_fleet<T>(connection: &Connection, act: impl FnOnce(&mut Fleet) -> T) -> Result<T> {
    let before = fleet(connection)?;
    let mut fleet = before.clone();
    let answer = act(&mut fleet);
    if fleet != before {
        let values: [&dyn ToSql; 10] = [
            &column(fleet.epoch)?,
            &fleet.seat.backend,
            &fleet.seat.identity,
            &micros(fleet.seat.ttl_max),
            &micros(fleet.seat.view),
            &fleet.not_before_us,
            &fleet.identity,
            &fleet.since_us,
            &fleet.admitted_as,
            &column(fleet.floor)?,
        ];
        change(connection, SET_FLEET, &values)?;
    }
    Ok(answer)
}
