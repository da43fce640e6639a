//! Writes that depend on what is stored: lock the rows, decide by `semantics`, store, commit; two round trips.
//! It must not know what any write means.

use bytes::Bytes;
use futures_util::future::{join, join3};
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use super::{
    super::common::{Intent, LockedRow, column as counter_column, version},
    pool::{Connections, Failure, Lease, bounded},
    read::column,
    statement,
};
use crate::{
    backend::semantics::{Bounds, Change, Slot, apply, keys_of},
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
    op::Op,
    reply::Reply,
};

type DriverResult<T> = std::result::Result<T, tokio_postgres::Error>;

/// Performs any write.
///
/// # Errors
/// Those of the caller's kinds, of the server and the connection. Only what happens once the changes have been sent
/// can have `Effect::Unknown`.
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
    let lease = all.lease(deadline).await?;
    let names: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let outcome = bounded(deadline, lock_and_load(lease.client(), all.begin(), names)).await;
    let rows = match outcome {
        Ok(rows) => rows,
        Err(failure) => return Err(lease.undo(failure, deadline).await),
    };
    let decided = slots_of(&rows, keys.len())
        .and_then(|(mut slots, now)| Ok((apply(op, &mut slots, now, bounds)?, slots)));
    match decided {
        Ok((reply, slots)) if slots.iter().any(|slot| slot.change != Change::Keep) => {
            store(lease, &slots, deadline).await?;
            Ok(reply)
        }
        Ok((reply, _)) => {
            lease.roll_back(deadline).await;
            Ok(reply)
        }
        Err(error) => {
            lease.roll_back(deadline).await;
            Err(error)
        }
    }
}

/// Begins a transaction, locks the rows of these keys (creating tombstones where there are none) and reads them, all
/// sent at once.
async fn lock_and_load(client: &Client, begin: &str, keys: Vec<&[u8]>) -> DriverResult<Vec<Row>> {
    let named: &[(&(dyn ToSql + Sync), Type)] = &[(&keys, Type::BYTEA_ARRAY)];
    let (begun, locked, loaded) = join3(
        client.batch_execute(begin),
        client.execute_typed(statement::LOCK, named),
        client.query_typed(statement::LOAD, named),
    )
    .await;
    begun?;
    locked?;
    loaded
}

fn slots_of(rows: &[Row], expected: usize) -> Result<(Vec<Slot>, i64)> {
    if rows.len() != expected {
        let message = format!("{} of {expected} locked rows were found", rows.len());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    // One clock for all: the first row's.
    let now = rows.first().map_or(Ok(0), |row| column(row, 5))?;
    let slots = rows.iter().map(|row| {
        let epoch = version(column(row, 6)?, 0)?.epoch;
        let value: Option<&[u8]> = column(row, 3)?;
        let locked = LockedRow {
            key: column::<&[u8]>(row, 0)?.into(),
            version: version(column(row, 1)?, column(row, 2)?)?,
            value: value.map(Bytes::copy_from_slice),
            expires_at: column(row, 4)?,
        };
        Ok(locked.into_slot(epoch, now))
    });
    Ok((slots.collect::<Result<Vec<_>>>()?, now))
}

/// The changes of a transaction, by statement.
#[derive(Default)]
struct Changes<'a> {
    put: Columns<'a>,
    expire: Columns<'a>,
    remove: Columns<'a>,
}

/// The rows of one statement as columns; those that the statement does not take stay empty.
#[derive(Default)]
struct Columns<'a> {
    keys: Vec<&'a [u8]>,
    counters: Vec<i64>,
    values: Vec<&'a [u8]>,
    expires_at: Vec<Option<i64>>,
}

impl<'a> Changes<'a> {
    fn of(slots: &'a [Slot]) -> Self {
        let mut changes = Self::default();
        for slot in slots {
            let (key, counter) = (slot.key.as_bytes(), counter_column(slot.next.counter));
            match &slot.change {
                Change::Keep => {}
                Change::Put { value, expires_at } => {
                    changes.put.keys.push(key);
                    changes.put.counters.push(counter);
                    changes.put.values.push(value);
                    changes.put.expires_at.push(*expires_at);
                }
                Change::Expire { expires_at } => {
                    changes.expire.keys.push(key);
                    changes.expire.counters.push(counter);
                    changes.expire.expires_at.push(*expires_at);
                }
                Change::Remove => {
                    changes.remove.keys.push(key);
                    changes.remove.counters.push(counter);
                }
            }
        }
        changes
    }

    /// Sends the statements that have something to do; how many rows they changed.
    async fn send(&self, client: &Client, epoch: i32) -> DriverResult<u64> {
        let (put, expire, remove) = join3(
            nonempty(
                self.put.keys.len(),
                client,
                statement::PUT,
                &[
                    (&epoch, Type::INT4),
                    (&self.put.keys, Type::BYTEA_ARRAY),
                    (&self.put.counters, Type::INT8_ARRAY),
                    (&self.put.values, Type::BYTEA_ARRAY),
                    (&self.put.expires_at, Type::INT8_ARRAY),
                ],
            ),
            nonempty(
                self.expire.keys.len(),
                client,
                statement::EXPIRE,
                &[
                    (&epoch, Type::INT4),
                    (&self.expire.keys, Type::BYTEA_ARRAY),
                    (&self.expire.counters, Type::INT8_ARRAY),
                    (&self.expire.expires_at, Type::INT8_ARRAY),
                ],
            ),
            nonempty(
                self.remove.keys.len(),
                client,
                statement::REMOVE,
                &[
                    (&epoch, Type::INT4),
                    (&self.remove.keys, Type::BYTEA_ARRAY),
                    (&self.remove.counters, Type::INT8_ARRAY),
                ],
            ),
        )
        .await;
        Ok(put? + expire? + remove?)
    }
}

async fn nonempty(
    keys: usize,
    client: &Client,
    sql: &str,
    arguments: &[(&(dyn ToSql + Sync), Type)],
) -> DriverResult<u64> {
    if keys == 0 { Ok(0) } else { client.execute_typed(sql, arguments).await }
}

/// Stores the changes and commits, sent at once: after an error in the first, the commit is a rollback.
async fn store(lease: Lease, slots: &[Slot], deadline: Deadline) -> Result<()> {
    let epoch = slots.first().map_or(0, |slot| slot.next.epoch);
    let epoch = i32::try_from(epoch)
        .map_err(|_| Error::new(ErrorKind::Corrupt, format!("epoch {epoch} is too large")))?;
    let expected = slots.iter().filter(|slot| slot.change != Change::Keep).count();
    let changes = Changes::of(slots);
    let client = lease.client();
    let both =
        async { Ok(join(changes.send(client, epoch), client.batch_execute("COMMIT")).await) };
    match bounded(deadline, both).await {
        Err(failure) => lease.settle(Err(failure), Intent::Write),
        Ok((Err(error), _)) => lease.settle(Err(Failure::Driver(error)), Intent::Write),
        Ok((Ok(_), Err(error))) => {
            let settled = lease.settle(Err(Failure::Driver(error)), Intent::Write);
            settled.map_err(|error| match error.kind() {
                ErrorKind::Conflict => error,
                _ => error.with_effect(Effect::Unknown),
            })
        }
        Ok((Ok(changed), Ok(()))) => {
            lease.settle(Ok(()), Intent::Write)?;
            if usize::try_from(changed) == Ok(expected) {
                return Ok(());
            }
            let message = format!("{changed} of {expected} locked rows were stored");
            Err(Error::new(ErrorKind::Corrupt, message).with_effect(Effect::Unknown))
        }
    }
}
