//! Locks as rows: each operation is one statement.
//! It must not know the modes; what each operation means is `semantics::locks`.

use std::time::Duration;

use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    super::common::{Intent, column as stored},
    pool::Connections,
    read::{column, short},
    statement::locks as statement,
    transaction::{Answer, Statement, alone},
};
use crate::{
    backend::semantics::control::micros,
    backend::semantics::locks::{fenced, span},
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Authority, Counting, Fence, Ground, LockOp, LockPage, LockRow, Member, Seat},
    reply::{Locked, Reply},
};

/// Performs an operation on locks.
///
/// # Errors
/// Those of the server and the connection.
pub(super) async fn run(all: &Connections, op: &LockOp, deadline: Deadline) -> Result<Reply> {
    let locked = match op {
        LockOp::Acquire { .. } => acquire(all, op, deadline).await?,
        LockOp::Renew { name, holder, ttl, ground } => {
            renew(all, name, *holder, *ttl, ground, deadline).await?
        }
        LockOp::Commit { name, holder, token } => {
            let (name, holder, token) = (name.as_bytes(), holder.to_be_bytes(), stored(*token));
            let holder = &holder[..];
            let arguments = vec![
                (&name as _, Type::BYTEA),
                (&holder as _, Type::BYTEA),
                (&token as _, Type::INT8),
            ];
            done(all, statement::COMMIT, arguments, Locked::Gone, deadline).await?
        }
        LockOp::Release { name, holder } => {
            let told = LockOp::freed(name);
            let (name, holder) = (name.as_bytes(), holder.to_be_bytes());
            let holder = &holder[..];
            let arguments = vec![
                (&name as _, Type::BYTEA),
                (&holder as _, Type::BYTEA),
                (&LockOp::FREED as _, Type::TEXT),
                (&told as _, Type::TEXT),
            ];
            done(all, statement::RELEASE, arguments, Locked::Gone, deadline).await?
        }
        LockOp::Fence { resource, token } => {
            let (resource, asked) = (resource.as_bytes(), stored(*token));
            let arguments = vec![(&resource as _, Type::BYTEA), (&asked as _, Type::INT8)];
            let statement = Statement { sql: statement::FENCE, arguments };
            seen(&alone(all, statement, Intent::Write, deadline).await?, *token)?
        }
        LockOp::List { after, limit } => {
            return list(all, after.as_ref(), *limit, deadline).await.map(Reply::Locks);
        }
        LockOp::Member { id } => return member(all, *id, deadline).await.map(Reply::Member),
        LockOp::Admit { identity, floor } => {
            let floor = stored(*floor);
            let arguments = vec![(identity as _, Type::TEXT), (&floor as _, Type::INT8)];
            done(all, statement::ADMIT, arguments, Locked::Refused, deadline).await?
        }
        LockOp::Authority => {
            return Ok(Reply::Authority(Box::new(authority(all, deadline).await?)));
        }
        LockOp::Move { epoch, to, wait } => move_on(all, *epoch, to, *wait, deadline).await?,
    };
    Ok(Reply::Lock(locked))
}

/// The first statement of a fenced write: holds the fence, and raises it if the write commits.
pub(super) struct Passing<'a> {
    fence: &'a Fence,
    resource: &'a [u8],
    token: i64,
}

impl<'a> Passing<'a> {
    pub(super) fn of(fence: &'a Fence) -> Self {
        Self { fence, resource: fence.lock.as_bytes(), token: stored(fence.token) }
    }

    pub(super) fn statement(&self) -> Statement<'_> {
        let arguments = vec![(&self.resource as _, Type::BYTEA), (&self.token as _, Type::INT8)];
        Statement { sql: statement::FENCE, arguments }
    }

    /// # Errors
    /// `Fenced` when a higher token has been seen.
    pub(super) fn check(&self, answer: &Answer) -> Result<()> {
        match seen(answer, self.fence.token)? {
            Locked::Fenced(seen) => Err(fenced(&self.fence.lock, self.fence.token, seen)),
            _ => Ok(()),
        }
    }
}

fn seen(answer: &Answer, asked: u64) -> Result<Locked> {
    let row = answer.rows.first().ok_or_else(no_row)?;
    let (token, now_us) = (number(row, 0)?, column(row, 1)?);
    Ok(if token > asked { Locked::Fenced(token) } else { Locked::Granted { token, now_us } })
}

async fn acquire(all: &Connections, op: &LockOp, deadline: Deadline) -> Result<Locked> {
    let LockOp::Acquire { name, holder, ttl, counting, note, ground, waiter } = op else {
        return Err(Error::new(ErrorKind::Internal, "not an acquisition"));
    };
    let (name, holder, ttl) = (name.as_bytes(), holder.to_be_bytes(), micros(*ttl));
    let holder = &holder[..];
    let here = *counting == Counting::Here;
    let process = waiter.map(|waiter| waiter.process.to_be_bytes());
    let process = process.as_ref().map(|process| &process[..]);
    let waited = waiter.map_or(0, |waiter| micros(waiter.waited));
    let mut arguments = vec![
        (&name as _, Type::BYTEA),
        (&holder as _, Type::BYTEA),
        (&ttl as _, Type::INT8),
        (note as _, Type::TEXT),
        (&here as _, Type::BOOL),
        (&process as _, Type::BYTEA),
        (&waited as _, Type::INT8),
    ];
    let epoch;
    let sql = match ground {
        Ground::Free => statement::ACQUIRE,
        Ground::Member => statement::ACQUIRE_MEMBER,
        Ground::Epoch(number) => {
            epoch = stored(*number);
            arguments.push((&epoch as _, Type::INT8));
            statement::ACQUIRE_EPOCH
        }
        Ground::Server(identity) => {
            arguments.push((identity as _, Type::TEXT));
            statement::ACQUIRE_SERVER
        }
    };
    let answer = alone(all, Statement { sql, arguments }, Intent::Write, deadline).await?;
    let row = answer.rows.first().ok_or_else(no_row)?;
    let now_us: i64 = column(row, 1)?;
    if let Some(token) = column::<Option<i64>>(row, 0)? {
        return Ok(Locked::Granted { token: natural(token)?, now_us });
    }
    if !column::<bool>(row, 2)? {
        return Ok(Locked::Refused);
    }
    // Made since the statement began: whose it is, is not known.
    let token = natural(column::<Option<i64>>(row, 3)?.unwrap_or(0))?;
    let expires_us = column::<Option<i64>>(row, 4)?.unwrap_or(now_us);
    let note = column::<Option<String>>(row, 5)?.unwrap_or_default();
    Ok(Locked::Held { left: span(expires_us, now_us), note, token })
}

async fn renew(
    all: &Connections,
    name: &Key,
    holder: u128,
    ttl: Duration,
    ground: &Ground,
    deadline: Deadline,
) -> Result<Locked> {
    let (name, holder, ttl) = (name.as_bytes(), holder.to_be_bytes(), micros(ttl));
    let holder = &holder[..];
    let mut arguments =
        vec![(&name as _, Type::BYTEA), (&holder as _, Type::BYTEA), (&ttl as _, Type::INT8)];
    let epoch;
    let sql = match ground {
        Ground::Free => statement::RENEW,
        Ground::Member => statement::RENEW_MEMBER,
        Ground::Epoch(number) => {
            epoch = stored(*number);
            arguments.push((&epoch as _, Type::INT8));
            statement::RENEW_EPOCH
        }
        Ground::Server(identity) => {
            arguments.push((identity as _, Type::TEXT));
            statement::RENEW_SERVER
        }
    };
    let answer = alone(all, Statement { sql, arguments }, Intent::Write, deadline).await?;
    let row = answer.rows.first().ok_or_else(no_row)?;
    match column::<Option<i64>>(row, 0)? {
        Some(token) => Ok(Locked::Granted { token: natural(token)?, now_us: column(row, 1)? }),
        None if column(row, 2)? => Ok(Locked::Gone),
        None => Ok(Locked::Refused),
    }
}

/// Performs a statement that gives token and time where it did something.
async fn done(
    all: &Connections,
    sql: &'static str,
    arguments: Vec<(&(dyn ToSql + Sync), Type)>,
    otherwise: Locked,
    deadline: Deadline,
) -> Result<Locked> {
    let answer = alone(all, Statement { sql, arguments }, Intent::Write, deadline).await?;
    let Some(row) = answer.rows.first() else { return Ok(otherwise) };
    Ok(Locked::Granted { token: number(row, 0)?, now_us: column(row, 1)? })
}

async fn list(
    all: &Connections,
    after: Option<&Key>,
    limit: usize,
    deadline: Deadline,
) -> Result<LockPage> {
    let after = after.map(Key::as_bytes);
    // One more, to know whether there are more.
    let limited = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let arguments: &[(&(dyn ToSql + Sync), Type)] =
        &[(&after, Type::BYTEA), (&limited, Type::INT8)];
    let rows = short(all, statement::LIST, arguments, deadline).await?;
    let more = rows.len() > limit;
    let rows = rows.iter().take(limit).map(|row| {
        let left = span(column(row, 2)?, column(row, 4)?);
        let left = Some(left).filter(|left| !left.is_zero());
        let holder = column::<Option<&[u8]>>(row, 5)?;
        Ok(LockRow {
            name: column::<&[u8]>(row, 0)?.into(),
            token: number(row, 1)?,
            left,
            note: column(row, 3)?,
            holder: left.and(holder).and_then(|id| id.try_into().ok()).map(u128::from_be_bytes),
        })
    });
    let rows = rows.collect::<Result<Vec<LockRow>>>()?;
    let next = rows.last().filter(|_| more).map(|row| row.name.clone());
    Ok(LockPage { rows, next })
}

async fn member(all: &Connections, id: u128, deadline: Deadline) -> Result<Member> {
    let id = format!("{id:032x}");
    let statement = Statement { sql: statement::MEMBER, arguments: vec![(&id, Type::TEXT)] };
    // A name that was given in vain changes nothing.
    let answer = alone(all, statement, Intent::Read, deadline).await?;
    let row = answer.rows.first().ok_or_else(no_row)?;
    Ok(Member {
        identity: column(row, 0)?,
        admitted: column(row, 1)?,
        known_for: Duration::from_micros(u64::try_from(column::<i64>(row, 2)?).unwrap_or(0)),
        counter: number(row, 3)?,
    })
}

async fn authority(all: &Connections, deadline: Deadline) -> Result<Authority> {
    let rows = short(all, statement::AUTHORITY, &[], deadline).await?;
    let row = rows.first().ok_or_else(no_row)?;
    let now_us = column(row, 6)?;
    Ok(Authority {
        epoch: number(row, 0)?,
        seat: Seat {
            backend: column(row, 1)?,
            identity: column(row, 2)?,
            ttl_max: Duration::from_micros(number(row, 3)?),
            view: Duration::from_micros(number(row, 4)?),
        },
        wait: span(column(row, 5)?, now_us),
        now_us,
    })
}

async fn move_on(
    all: &Connections,
    epoch: u64,
    to: &Seat,
    wait: Duration,
    deadline: Deadline,
) -> Result<Locked> {
    let epoch = stored(epoch);
    let [ttl_max, view, wait] = [to.ttl_max, to.view, wait].map(micros);
    let arguments = vec![
        (&epoch as _, Type::INT8),
        (&to.backend as _, Type::TEXT),
        (&to.identity as _, Type::TEXT),
        (&ttl_max as _, Type::INT8),
        (&view as _, Type::INT8),
        (&wait as _, Type::INT8),
    ];
    done(all, statement::MOVE, arguments, Locked::Refused, deadline).await
}

fn number(row: &Row, index: usize) -> Result<u64> {
    natural(column(row, index)?)
}

fn natural(number: i64) -> Result<u64> {
    u64::try_from(number)
        .map_err(|_| Error::new(ErrorKind::Corrupt, format!("not a token or a time: {number}")))
}

fn no_row() -> Error {
    Error::new(ErrorKind::Corrupt, "the row of the fleet is gone: a statement gave no row")
}
