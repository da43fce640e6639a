//! Queries of the application's own tables. PostgreSQL makes the JSON itself, so every type that it has is faithful.
//! It must not know how a connection is opened or given up.

use std::error::Error as StdError;

use bytes::{Bytes, BytesMut};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use super::{
    super::{common::Intent, json},
    pool::{Connections, bounded},
    read::column,
};
use crate::{
    clock::Deadline,
    error::Result,
    op::{Query, ROWS_MAX, Rows},
    reply::Reply,
};

/// An argument in text form: the server reads it as the type that its place in the statement has.
#[derive(Debug)]
struct Text<'a>(&'a str);

impl ToSql for Text<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// Performs a query on a connection of its own: it may be slow, and short reads must not wait behind it.
///
/// # Errors
/// Those of the server and the connection, `TooLarge` for more than a value holds; all without effect.
pub(super) async fn run(
    all: &Connections,
    query: &Query,
    bytes_max: usize,
    deadline: Deadline,
) -> Result<Reply> {
    let sql = wrapped(&query.statement.sql, query.statement.rows, bytes_max);
    let texts: Vec<Text<'_>> = query.arguments.iter().map(|text| Text(text)).collect();
    let arguments: Vec<(&(dyn ToSql + Sync), Type)> =
        texts.iter().map(|text| (text as &(dyn ToSql + Sync), Type::UNKNOWN)).collect();
    let lease = all.lease(deadline).await?;
    let outcome = bounded(deadline, lease.client().query_typed(&sql, &arguments)).await;
    let rows = lease.settle(outcome, Intent::Read)?;
    let Some(row) = rows.first() else { return Ok(Reply::Rows(None)) };
    let [count, length] = [column::<i64>(row, 1)?, column::<i64>(row, 2)?]
        .map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    json::check(count, length, bytes_max)?;
    let text: Option<&str> = column(row, 0)?;
    Ok(Reply::Rows(text.filter(|_| count > 0).map(|text| Bytes::copy_from_slice(text.as_bytes()))))
}

/// An INSERT, UPDATE or DELETE cannot stand inside another statement; a function that writes can be called. What is too
/// long stays on the server.
fn wrapped(sql: &str, rows: Rows, bytes_max: usize) -> String {
    let sql = sql.trim().trim_end_matches(';');
    // On a line of its own: the statement may end in a comment.
    let inner = match rows {
        Rows::One => format!(
            "SELECT row_to_json(r)::text AS j, 1::bigint AS n FROM (SELECT * FROM (\n{sql}\n) q LIMIT 1) r"
        ),
        Rows::Many => format!(
            "SELECT json_agg(row_to_json(r))::text AS j, count(*) AS n FROM (SELECT * FROM (\n{sql}\n) q LIMIT {}) r",
            ROWS_MAX + 1
        ),
    };
    format!(
        "SELECT CASE WHEN octet_length(j) <= {bytes_max} THEN j END, n, coalesce(octet_length(j), 0)::bigint FROM ({inner}) o"
    )
}
