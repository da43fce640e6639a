//! The tables: found, created or refused, by one process at a time.
//! It must not know what is stored in them.

use tokio_postgres::Client;

use super::{
    super::common::{Intent, check_schema, read_only},
    classify::error_of,
    pool::{Connections, Lease, bounded},
    read::column,
    statement::schema as statement,
    transaction::{Statement, alone},
};
use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
};

/// What the server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) version: String,
    /// Its clock.
    pub(super) unix_ms: i64,
}

/// Refuses a server that takes no writes: it may be a standby that lags, and its answers could be old.
///
/// # Errors
/// `WrongNode`, and those of the server and the connection.
pub(super) async fn role(lease: Lease, deadline: Deadline) -> Result<Role> {
    let outcome = bounded(deadline, lease.client().query_typed(super::statement::ROLE, &[])).await;
    let rows = lease.settle(outcome, Intent::Read)?;
    let row = rows
        .first()
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a query for one row gave none"))?;
    if column(row, 0)? {
        return Err(read_only("it is a standby"));
    }
    if column(row, 1)? {
        return Err(read_only("its transactions are read-only"));
    }
    Ok(Role { version: column(row, 2)?, unix_ms: column(row, 3)? })
}

/// What the server knows of what a session was begun with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Began {
    /// Whether it really ends a statement, and a transaction that idles, in time.
    pub(super) is_bounded: bool,
    /// Whether the session carries our mark, see `Connections::new`.
    pub(super) is_ours: bool,
}

/// Asks for both: a pooler may have dropped what the session was begun with without a word.
///
/// # Errors
/// Those of the server and the connection.
pub(super) async fn began(
    all: &Connections,
    limit_ms: u128,
    mark: &str,
    deadline: Deadline,
) -> Result<Began> {
    let question = Statement { sql: statement::BEGAN, arguments: Vec::new() };
    let answer = alone(all, question, Intent::Read, deadline).await?;
    let limit = i64::try_from(limit_ms).unwrap_or(i64::MAX);
    let Some(row) = answer.rows.first() else { return Ok(Began::default()) };
    let within = |found: i64| found > 0 && found <= limit;
    Ok(Began {
        is_bounded: within(column(row, 0)?) && within(column(row, 1)?),
        is_ours: column::<Option<&str>>(row, 2)? == Some(mark),
    })
}

/// Makes sure that the tables are there, in this version's schema.
///
/// # Errors
/// `Misconfigured` for a newer schema, `Forbidden` where there are no tables and none may be created.
pub(super) async fn migrate(all: &Connections, deadline: Deadline) -> Result<()> {
    let lease = all.lease(deadline).await?;
    let found = bounded(deadline, async { Ok(found(lease.client()).await) }).await;
    if lease.settle(found, Intent::Read)?? {
        return Ok(());
    }
    let lease = all.lease(deadline).await?;
    match bounded(deadline, async { Ok(create(lease.client(), all.begin()).await) }).await {
        Ok(Ok(())) => lease.settle(Ok(()), Intent::Read),
        Ok(Err(error)) => {
            lease.roll_back(deadline).await;
            Err(error)
        }
        Err(failure) => lease.settle(Err(failure), Intent::Read),
    }
}

/// Whether the schema is this version's. False: there is none, or an older one.
async fn found(client: &Client) -> Result<bool> {
    match client.query_typed(statement::META, &[]).await {
        Ok(rows) => match rows.first() {
            Some(row) => check_schema(column(row, 0)?),
            None => Ok(false),
        },
        Err(error) => match error_of(&error, Intent::Read) {
            _ if error.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE) => {
                Ok(false)
            }
            other => Err(other),
        },
    }
}

/// Creates what is missing and brings an older schema forward, in one transaction, alone. A newer schema that another process has just made is refused.
async fn create(client: &Client, begin: &str) -> Result<()> {
    let says = |error: tokio_postgres::Error| error_of(&error, Intent::Read);
    client.batch_execute(begin).await.map_err(says)?;
    client.batch_execute(statement::MIGRATION_LOCK).await.map_err(says)?;
    client.batch_execute(statement::CREATE).await.map_err(says)?;
    found(client).await?;
    client.batch_execute("COMMIT").await.map_err(says)
}
