//! The tables: found, created or refused; and what the server says of itself.
//! It must not know what is stored in them.

use mysql_async::{Conn, Row, prelude::Queryable};

use super::{
    super::common::{Intent, check_schema, read_only, version},
    classify::is,
    pool::{Connections, Lease, bounded},
    read::take,
    statement,
};
use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
};

/// `Table doesn't exist`.
const NO_TABLE: u16 = 1146;

/// `Duplicate column name`.
const DUPLICATE_COLUMN: u16 = 1060;

/// Refuses a server that takes no writes, even where this user might; returns its version, and its clock in Unix
/// milliseconds.
///
/// # Errors
/// `WrongNode`, and those of the server and the connection.
pub(super) async fn role(
    all: &Connections,
    mut lease: Lease,
    deadline: Deadline,
) -> Result<(String, i64)> {
    let outcome = bounded(deadline, lease.conn().query_first::<Row, _>(statement::ROLE)).await;
    let row = lease.settle(outcome, Intent::Read)?;
    let mut row =
        row.ok_or_else(|| Error::new(ErrorKind::Internal, "a query for one row gave none"))?;
    for (index, name) in [(1, "read_only"), (2, "innodb_read_only")] {
        let set: String = take(&mut row, index)?;
        if !matches!(set.as_str(), "0" | "OFF") {
            return Err(read_only(&format!("{name} is {set}")));
        }
    }
    let packet_max: u64 = take(&mut row, 3)?;
    all.set_packet_max(usize::try_from(packet_max).unwrap_or(usize::MAX));
    Ok((take(&mut row, 0)?, take(&mut row, 4)?))
}

/// Makes sure that the tables are there, in this version's schema, and reads the epoch.
///
/// # Errors
/// `Misconfigured` for a newer schema, `Forbidden` where there are no tables and none may be created.
pub(super) async fn migrate(all: &Connections, deadline: Deadline) -> Result<()> {
    if found(all, deadline).await? {
        return Ok(());
    }
    let mut lease = all.lease(deadline).await?;
    let outcome = bounded(deadline, create(lease.conn())).await;
    lease.settle(outcome, Intent::Read)?;
    if found(all, deadline).await? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Misconfigured, "mainstay_meta is empty after it was filled"))
}

/// Reads the epoch again.
///
/// # Errors
/// Those of the server and the connection; `Misconfigured` when the tables are gone.
pub(super) async fn reload(all: &Connections, deadline: Deadline) -> Result<()> {
    if found(all, deadline).await? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Misconfigured, "mainstay_meta is gone or empty"))
}

/// Whether the schema is this version's; then the epoch is known. False: there is none, or an older one.
async fn found(all: &Connections, deadline: Deadline) -> Result<bool> {
    let mut lease = all.lease(deadline).await?;
    let meta = async {
        match lease.conn().query_first::<Row, _>(statement::META).await {
            Err(error) if is(&error, NO_TABLE) => Ok(None),
            other => other,
        }
    };
    let outcome = bounded(deadline, meta).await;
    let Some(mut row) = lease.settle(outcome, Intent::Read)? else { return Ok(false) };
    let current = check_schema(take(&mut row, 0)?)?;
    all.set_epoch(version(take(&mut row, 1)?, 0)?.epoch);
    Ok(current)
}

async fn create(conn: &mut Conn) -> mysql_async::Result<()> {
    let (last, before) = statement::CREATE.split_last().unwrap_or((&"DO 0", &[]));
    for sql in before {
        conn.query_drop(*sql).await?;
    }
    if conn.query_first::<bool, _>(statement::locks::LACKS_WAITERS).await? == Some(true) {
        match conn.query_drop(statement::locks::ADD_WAITERS).await {
            // Another process was faster.
            Err(error) if is(&error, DUPLICATE_COLUMN) => {}
            other => other?,
        }
    }
    // Says the version.
    conn.query_drop(*last).await
}
