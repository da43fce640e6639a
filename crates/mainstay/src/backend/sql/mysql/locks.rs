//! Locks as rows: each operation is one text of a change and a look, one round trip.
//! It must not know the modes; what each operation means is `semantics::locks`.

use std::time::Duration;

use mysql_async::{Conn, Row, Value, prelude::Queryable};

use super::{
    super::common::Intent,
    pool::{Connections, Lease, Stop, bounded},
    read::{rows, take},
    statement::{bytes, locks as statement},
};
use crate::{
    backend::semantics::locks::{fenced, span},
    clock::Deadline,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    op::{Authority, Fence, LockOp, LockPage, LockRow, Member, Seat},
    reply::{Locked, Reply},
};

/// Performs an operation on locks.
///
/// # Errors
/// Those of the server and the connection.
pub(super) async fn run(all: &Connections, op: &LockOp, deadline: Deadline) -> Result<Reply> {
    let locked = match op {
        LockOp::Acquire { name, .. } => acquire(all, op, name, deadline).await?,
        LockOp::Commit { .. } | LockOp::Renew { .. } | LockOp::Release { .. } => {
            let sql = statement::of(op).unwrap_or_default();
            let row = changed(all, sql, deadline).await?;
            outcome(op, row)?.unwrap_or(Locked::Gone)
        }
        LockOp::Fence { resource, token } => {
            let sql = statement::fence(resource.as_bytes(), *token);
            seen(&mut changed(all, sql, deadline).await?, *token)?
        }
        LockOp::List { after, limit } => {
            return list(all, after.as_ref(), *limit, deadline).await.map(Reply::Locks);
        }
        LockOp::Member { id } => return member(all, *id, deadline).await.map(Reply::Member),
        LockOp::Admit { identity, floor } => {
            let mut row = changed(all, statement::admit(identity, *floor), deadline).await?;
            if take::<i64>(&mut row, 0)? == 0 {
                return Ok(Reply::Lock(Locked::Refused));
            }
            Locked::Granted { token: take(&mut row, 1)?, now_us: take(&mut row, 2)? }
        }
        LockOp::Authority => {
            return Ok(Reply::Authority(Box::new(authority(all, deadline).await?)));
        }
        LockOp::Move { epoch, to, wait } => {
            let mut row = changed(all, statement::move_on(*epoch, to, *wait), deadline).await?;
            if take::<i64>(&mut row, 0)? == 0 {
                return Ok(Reply::Lock(Locked::Refused));
            }
            Locked::Granted { token: epoch + 1, now_us: take(&mut row, 2)? }
        }
    };
    Ok(Reply::Lock(locked))
}

/// The first step of a fenced write: holds the fence in the transaction that has begun, and raises it.
///
/// # Errors
/// `Fenced` when a higher token has been seen.
pub(super) async fn pass(
    lease: &mut Lease,
    fence: &Fence,
    deadline: Deadline,
) -> std::result::Result<(), Stop> {
    let sql = statement::fence(fence.lock.as_bytes(), fence.token);
    let mut row = bounded(deadline, last_row(lease.conn(), &sql)).await?.ok_or_else(no_row)?;
    match seen(&mut row, fence.token)? {
        Locked::Fenced(seen) => Err(fenced(&fence.lock, fence.token, seen).into()),
        _ => Ok(()),
    }
}

fn seen(row: &mut Row, asked: u64) -> Result<Locked> {
    let token = take(row, 0)?;
    if token > asked {
        return Ok(Locked::Fenced(token));
    }
    Ok(Locked::Granted { token, now_us: take(row, 1)? })
}

async fn acquire(all: &Connections, op: &LockOp, name: &Key, deadline: Deadline) -> Result<Locked> {
    let sql = statement::of(op).unwrap_or_default();
    let mut row = changed(all, sql.clone(), deadline).await?;
    if row.get_opt::<Option<u64>, _>(4).and_then(std::result::Result::ok).flatten().is_none() {
        let mut lease = all.lease(deadline).await?;
        let made = statement::new_lock(name.as_bytes());
        let made = bounded(deadline, lease.conn().query_drop(made)).await;
        // A row that nobody holds is not an effect.
        lease.settle(made, Intent::Read)?;
        row = changed(all, sql, deadline).await?;
    }
    if let Some(locked) = outcome(op, row.clone())? {
        return Ok(locked);
    }
    let now_us = take(&mut row, 2)?;
    let token = take::<Option<u64>>(&mut row, 4)?.unwrap_or(0);
    let expires_us = take::<Option<i64>>(&mut row, 5)?.unwrap_or(now_us);
    let note = take::<Option<Vec<u8>>>(&mut row, 6)?.unwrap_or_default();
    let note = String::from_utf8_lossy(&note).into_owned();
    Ok(Locked::Held { left: span(expires_us, now_us), note, token })
}

/// What a change of one row did; `None`: nothing, though the ground holds.
fn outcome(op: &LockOp, mut row: Row) -> Result<Option<Locked>> {
    let now_us = take(&mut row, 2)?;
    if take::<i64>(&mut row, 0)? > 0 {
        let token = match op {
            LockOp::Acquire { .. } => take(&mut row, 1)?,
            _ => take::<Option<u64>>(&mut row, 4)?.unwrap_or(0),
        };
        return Ok(Some(Locked::Granted { token, now_us }));
    }
    let holds = take::<i64>(&mut row, 3)? != 0;
    Ok((!holds).then_some(Locked::Refused))
}

/// Sends a change and a look. They commit one by one: an error of the look leaves the change in doubt.
async fn changed(all: &Connections, sql: String, deadline: Deadline) -> Result<Row> {
    let mut lease = all.lease(deadline).await?;
    let outcome = bounded(deadline, last_row(lease.conn(), &sql)).await;
    let row = lease.settle(outcome, Intent::Write).map_err(|error| match error.kind() {
        ErrorKind::Conflict => error,
        _ => error.with_effect(Effect::Unknown),
    })?;
    row.ok_or_else(no_row)
}

async fn last_row(conn: &mut Conn, sql: &str) -> mysql_async::Result<Option<Row>> {
    let (mut sets, mut last) = (conn.query_iter(sql).await?, None);
    while !sets.is_empty() {
        last = sets.collect::<Row>().await?.into_iter().next().or(last);
    }
    Ok(last)
}

async fn list(
    all: &Connections,
    after: Option<&Key>,
    limit: usize,
    deadline: Deadline,
) -> Result<LockPage> {
    // One more, to know whether there are more. No name is empty.
    let limited = Value::UInt(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1));
    let after = bytes(after.map(Key::as_bytes).unwrap_or_default());
    let found = rows(all, statement::LIST, vec![after, limited], deadline).await?;
    let more = found.len() > limit;
    let rows = found.into_iter().take(limit).map(|mut row| {
        let left = span(take(&mut row, 2)?, take(&mut row, 4)?);
        let left = Some(left).filter(|left| !left.is_zero());
        let holder = take::<Option<Vec<u8>>>(&mut row, 5)?;
        Ok(LockRow {
            name: Key::new(take::<Vec<u8>>(&mut row, 0)?),
            token: take(&mut row, 1)?,
            left,
            note: text(&mut row, 3)?,
            holder: left.and(holder).and_then(|id| id.try_into().ok()).map(u128::from_be_bytes),
        })
    });
    let rows = rows.collect::<Result<Vec<LockRow>>>()?;
    let next = rows.last().filter(|_| more).map(|row| row.name.clone());
    Ok(LockPage { rows, next })
}

async fn member(all: &Connections, id: u128, deadline: Deadline) -> Result<Member> {
    let mut row = changed(all, statement::member(id), deadline).await;
    // A name that was given in vain changes nothing.
    row = row.map_err(|error| error.with_effect(Effect::None));
    let mut row = row?;
    Ok(Member {
        identity: text(&mut row, 0)?,
        admitted: take::<i64>(&mut row, 1)? != 0,
        known_for: duration(take(&mut row, 2)?),
        counter: take(&mut row, 3)?,
    })
}

async fn authority(all: &Connections, deadline: Deadline) -> Result<Authority> {
    let mut found = rows(all, statement::AUTHORITY, Vec::new(), deadline).await?;
    let row = found.first_mut().ok_or_else(no_row)?;
    let now_us = take(row, 6)?;
    Ok(Authority {
        epoch: take(row, 0)?,
        seat: Seat {
            backend: text(row, 1)?,
            identity: text(row, 2)?,
            ttl_max: duration(take(row, 3)?),
            view: duration(take(row, 4)?),
        },
        wait: span(take(row, 5)?, now_us),
        now_us,
    })
}

fn text(row: &mut Row, index: usize) -> Result<String> {
    Ok(String::from_utf8_lossy(&take::<Vec<u8>>(row, index)?).into_owned())
}

fn duration(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

fn no_row() -> Error {
    Error::new(ErrorKind::Corrupt, "the row of the fleet is gone: a statement gave no row")
}
