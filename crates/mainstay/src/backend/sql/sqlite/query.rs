//! Queries of the application's own tables in the same file.
//! It must not write: a statement that would is refused before it runs.

use rusqlite::{Connection, params_from_iter, types::ValueRef};

use super::{
    super::json::{Cell, Writer},
    classify,
};
use crate::{
    error::{Error, ErrorKind, Result},
    op::Query,
    reply::Reply,
};

/// The rows of a query, as long as it is `awaited`.
pub(super) fn run(
    connection: &Connection,
    query: &Query,
    bytes_max: usize,
    awaited: &dyn Fn() -> bool,
) -> Result<Reply> {
    let mut statement = connection.prepare_cached(&query.statement.sql).map_err(wrong)?;
    if !statement.readonly() {
        let text = "a source reads: its query would write";
        return Err(Error::new(ErrorKind::Misconfigured, text));
    }
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    // Bound as text; where a number is due, the affinity of the column that it is compared with makes it one.
    let arguments = params_from_iter(query.arguments.iter());
    let mut rows = statement.query(arguments).map_err(wrong)?;
    let mut writer = Writer::new(query.statement.rows, bytes_max);
    while writer.wants_more() && awaited() {
        let Some(row) = rows.next().map_err(classify::error)? else { break };
        let cells = (0..names.len()).map(|index| row.get_ref(index).map(cell));
        let cells = cells.collect::<rusqlite::Result<Vec<_>>>().map_err(classify::error)?;
        writer.row(names.iter().map(String::as_str).zip(cells))?;
    }
    Ok(Reply::Rows(writer.finish()))
}

fn cell(value: ValueRef<'_>) -> Cell<'_> {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(i128::from(number)),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Cell::Text(text),
            Err(_not_text) => Cell::Bytes(text),
        },
        ValueRef::Blob(bytes) => Cell::Bytes(bytes),
    }
}

/// What is a defect in a statement of ours is a mistake in one of the configuration.
fn wrong(error: rusqlite::Error) -> Error {
    let error = classify::error(error);
    match error.kind() {
        ErrorKind::Internal => Error::new(ErrorKind::Misconfigured, error.message()),
        _ => error,
    }
}
