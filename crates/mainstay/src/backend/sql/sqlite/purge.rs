//! What no one can see any more: expired rows become tombstones, old tombstones go.
//! It must not remove a row that a write or a fill under way may still need to tell old from new.

use rusqlite::{Connection, ToSql};

use super::classify;
use crate::{backend::sql::TOMBSTONE_KEPT_MS, error::Result, reply::Reply};

const FORGET: &str = "DELETE FROM mainstay_kv WHERE rowid IN
    (SELECT rowid FROM mainstay_kv WHERE deleted = 1
    AND updated_at <= CAST(round(unixepoch('subsec') * 1000) AS INTEGER) - ?1 LIMIT ?2)";
const BURY: &str = "UPDATE mainstay_kv SET deleted = 1, value = NULL, expires_at = NULL,
    updated_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER) WHERE rowid IN (SELECT rowid FROM mainstay_kv WHERE expires_at IS NOT NULL AND expires_at <= ?1 LIMIT ?2)";

/// Inside a transaction. Replies with how many rows it removed or emptied, at most `limit`.
pub(super) fn purge(connection: &Connection, limit: usize, now: i64) -> Result<Reply> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let forgotten = change(connection, FORGET, TOMBSTONE_KEPT_MS, limit)?;
    let buried = change(connection, BURY, now, limit - forgotten)?;
    Ok(Reply::Integer(forgotten + buried))
}

fn change(connection: &Connection, sql: &str, time: i64, limit: i64) -> Result<i64> {
    let values: [&dyn ToSql; 2] = [&time, &limit];
    let statement = connection.prepare_cached(sql);
    let rows = statement.and_then(|mut statement| statement.execute(values));
    rows.map(|rows| i64::try_from(rows).unwrap_or(i64::MAX)).map_err(classify::error)
}
