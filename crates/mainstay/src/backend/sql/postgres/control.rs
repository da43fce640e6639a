//! The control rows of the caches before this record, and their dirty keys.
//! It must not know when each operation is asked; the guarded writes are `guarded` and `journal`.

use std::time::Duration;

use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    super::common::{Intent, column as stored},
    guarded::{self, unguarded},
    journal,
    pool::Connections,
    read::{column, short},
    statement::control as statement,
    transaction::{Frame, Statement, Transaction, alone},
};
use crate::{
    backend::semantics::{Bounds, control::micros},
    clock::Deadline,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Control, DirtyRow, LeaseRow, RecordOp, Terms},
    reply::Reply,
};

/// Performs an operation on the control state.
///
/// # Errors
/// Those of the server and the connection, and of the write that one holds. Only a commit whose answer is lost has
/// `Effect::Unknown`.
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
            let commit = guarded::commit(all, cache, write, *under, bounds, deadline);
            Ok(Reply::Committed(Box::pin(commit).await?))
        }
        RecordOp::Dirty { cache, from, limit } => {
            Ok(Reply::Dirty(dirty(all, cache, from.as_ref(), *limit, deadline).await?))
        }
        RecordOp::Drained { cache, rows } => drained(all, cache, rows, deadline).await,
        RecordOp::Degrade { cache, epoch, reason } => {
            let epoch = stored(*epoch);
            let arguments: Arguments<'_> =
                &[(&&**cache, Type::TEXT), (&epoch, Type::INT8), (reason, Type::TEXT)];
            count(all, statement::DEGRADE, arguments, deadline).await
        }
        RecordOp::Readmit { cache, epoch, identity, beacon } => {
            readmit(all, cache, *epoch, (identity, *beacon), deadline).await
        }
        RecordOp::Raised { cache, epoch, beacon } => {
            let (epoch, beacon) = (stored(*epoch), stored(*beacon));
            let arguments: Arguments<'_> =
                &[(&&**cache, Type::TEXT), (&epoch, Type::INT8), (&beacon, Type::INT8)];
            count(all, statement::RAISED, arguments, deadline).await
        }
        RecordOp::Now => {
            let rows = short(all, statement::NOW, &[], deadline).await?;
            let row = rows.first();
            let row = row.ok_or_else(|| Error::new(ErrorKind::NotReady, "no clock"))?;
            Ok(Reply::Integer(column(row, 0)?))
        }
        RecordOp::Apply { journal, seq, write, base } => {
            let applied = journal::apply(all, (*journal, *seq), write, *base, bounds, deadline);
            Ok(Reply::Applied(Box::pin(applied).await?))
        }
    }
}

type Arguments<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

async fn lease(
    all: &Connections,
    cache: &str,
    terms: Terms,
    id: u64,
    dirty_max: usize,
    deadline: Deadline,
) -> Result<LeaseRow> {
    // One more, to know whether there are more.
    let limit = i64::try_from(dirty_max).unwrap_or(i64::MAX).saturating_add(1);
    let question: Arguments<'_> = &[(&cache, Type::TEXT), (&limit, Type::INT8)];
    if let Some(row) = short(all, statement::LEASE, question, deadline).await?.first() {
        return lease_of(row, dirty_max);
    }
    let id = id.cast_signed();
    let times = [terms.lease, terms.mark, terms.statement].map(micros);
    let arguments = vec![
        (&cache as _, Type::TEXT),
        (&id as _, Type::INT8),
        (&times[0] as _, Type::INT8),
        (&times[1] as _, Type::INT8),
        (&times[2] as _, Type::INT8),
    ];
    // Whoever makes the row, it says the same: never used.
    alone(all, Statement { sql: statement::NEW_CACHE, arguments }, Intent::Read, deadline).await?;
    let rows = short(all, statement::LEASE, question, deadline).await?;
    let row = rows.first();
    lease_of(row.ok_or_else(|| Error::new(ErrorKind::NotReady, "no control row"))?, dirty_max)
}

fn lease_of(row: &Row, dirty_max: usize) -> Result<LeaseRow> {
    let number = |index| column::<i64>(row, index).and_then(unsigned);
    let time = |index| Ok::<_, Error>(Duration::from_micros(number(index)?));
    let now_us: i64 = column(row, 11)?;
    let raised_us: i64 = column(row, 6)?;
    let age = u64::try_from(now_us.saturating_sub(raised_us)).unwrap_or(0);
    let keys: Vec<&[u8]> = column(row, 12)?;
    Ok(LeaseRow {
        control: Control {
            id: column::<i64>(row, 0)?.cast_unsigned(),
            active: column(row, 1)?,
            epoch: number(2)?,
            generation: number(3)?,
            identity: column(row, 4)?,
            beacon: number(5)?,
            beacon_age: Duration::from_micros(age),
            reason: column(row, 7)?,
            terms: Terms { lease: time(8)?, mark: time(9)?, statement: time(10)? },
        },
        more: keys.len() > dirty_max,
        dirty: keys.into_iter().take(dirty_max).map(Key::from).collect(),
        now_us,
    })
}

async fn dirty(
    all: &Connections,
    cache: &str,
    from: Option<&Key>,
    limit: usize,
    deadline: Deadline,
) -> Result<Vec<DirtyRow>> {
    let from = from.map(Key::as_bytes);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let arguments: Arguments<'_> =
        &[(&cache, Type::TEXT), (&from, Type::BYTEA), (&limit, Type::INT8)];
    let rows = short(all, statement::DIRTY, arguments, deadline).await?;
    let rows = rows.iter().map(|row| {
        let key = column::<&[u8]>(row, 0)?.into();
        Ok(DirtyRow { key, number: unsigned(column(row, 1)?)? })
    });
    rows.collect()
}

async fn drained(
    all: &Connections,
    cache: &str,
    rows: &[DirtyRow],
    deadline: Deadline,
) -> Result<Reply> {
    let (keys, numbers): (Vec<&[u8]>, Vec<i64>) =
        rows.iter().map(|row| (row.key.as_bytes(), stored(row.number))).unzip();
    let arguments: Arguments<'_> =
        &[(&cache, Type::TEXT), (&keys, Type::BYTEA_ARRAY), (&numbers, Type::INT8_ARRAY)];
    count(all, statement::DRAINED, arguments, deadline).await
}

async fn readmit(
    all: &Connections,
    cache: &str,
    epoch: u64,
    (identity, beacon): (&String, u64),
    deadline: Deadline,
) -> Result<Reply> {
    let (epoch, beacon) = (stored(epoch), stored(beacon));
    let frame = Frame::plain(all);
    let lock = Statement {
        sql: statement::READMIT_LOCK,
        arguments: vec![(&cache, Type::TEXT), (&epoch, Type::INT8)],
    };
    let begun = Transaction::begin(all, &frame, &[lock], deadline).await?;
    let (transaction, answers) = begun.ok_or_else(unguarded)?;
    if answers.iter().all(|answer| answer.rows.is_empty()) {
        transaction.roll_back().await;
        return Ok(Reply::Integer(0));
    }
    // Statements of their own, sent once the row is locked: these see what was committed while it was waited for.
    let last = [
        Statement { sql: statement::FORGET_DIRTY, arguments: vec![(&cache, Type::TEXT)] },
        Statement {
            sql: statement::READMIT,
            arguments: vec![(&cache, Type::TEXT), (identity, Type::TEXT), (&beacon, Type::INT8)],
        },
    ];
    transaction.commit(&frame, &last).await?.ok_or_else(unguarded)?;
    Ok(Reply::Integer(1))
}

async fn count(
    all: &Connections,
    sql: &'static str,
    arguments: Arguments<'_>,
    deadline: Deadline,
) -> Result<Reply> {
    let statement = Statement { sql, arguments: arguments.to_vec() };
    let answer = alone(all, statement, Intent::Write, deadline).await?;
    Ok(Reply::Integer(i64::try_from(answer.changed).unwrap_or(i64::MAX)))
}

fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number)
        .map_err(|_| Error::new(ErrorKind::Corrupt, format!("not a count or a time: {number}")))
}
