//! Queries of the application's own tables, their rows made JSON here: the server cannot without knowing the columns.
//! It must not know how a connection is opened or given up.

use mysql_async::{
    Column, Conn, Row, TxOpts, Value,
    consts::{ColumnFlags, ColumnType},
    prelude::Queryable,
};

use super::{
    super::{
        common::Intent,
        json::{self, Cell},
    },
    pool::{Connections, bounded},
    statement::bytes,
};
use crate::{
    clock::Deadline,
    error::Result,
    op::{Query, ROWS_MAX, Rows},
    reply::Reply,
};

/// The character set of what is not text.
const BINARY: u16 = 63;

/// Performs a query in a transaction that cannot write.
///
/// # Errors
/// Those of the server and the connection, `TooLarge` for more than a value holds; all without effect.
pub(super) async fn run(
    all: &Connections,
    query: &Query,
    bytes_max: usize,
    deadline: Deadline,
) -> Result<Reply> {
    let statement = &query.statement;
    let arguments: Vec<Value> = query.arguments.iter().map(|text| bytes(text.as_bytes())).collect();
    let rows = if statement.rows == Rows::One { 1 } else { ROWS_MAX + 1 };
    let most = Most { rows, bytes: bytes_max };
    let mut lease = all.lease(deadline).await?;
    let outcome = bounded(deadline, async {
        // The session speaks in bytes; an application's text is wanted in UTF-8, whatever its columns hold.
        lease.conn().query_drop("SET NAMES utf8mb4").await?;
        let rows = in_transaction(lease.conn(), &statement.sql, arguments, most).await;
        lease.conn().query_drop("SET NAMES binary").await?;
        rows
    })
    .await;
    let rows = lease.settle(outcome, Intent::Read)?;
    json::check(rows.len(), 0, bytes_max)?;
    let mut writer = json::Writer::new(statement.rows, bytes_max);
    for row in &rows {
        let columns = row.columns_ref();
        let texts: Vec<Shown> = columns.iter().zip(0..).map(|(c, i)| shown(row, c, i)).collect();
        let names: Vec<_> = columns.iter().map(Column::name_str).collect();
        writer.row(names.iter().map(AsRef::as_ref).zip(texts.iter().map(Shown::cell)))?;
    }
    Ok(Reply::Rows(writer.finish()))
}

async fn in_transaction(
    conn: &mut Conn,
    sql: &str,
    arguments: Vec<Value>,
    most: Most,
) -> mysql_async::Result<Vec<Row>> {
    let mut options = TxOpts::default();
    options.with_readonly(true);
    let mut transaction = conn.start_transaction(options).await?;
    match some_rows(&mut transaction, sql, arguments, most).await {
        Ok(rows) => transaction.commit().await.map(|()| rows),
        Err(error) => transaction.rollback().await.and(Err(error)),
    }
}

/// What is read at most, however much there is.
#[derive(Clone, Copy)]
struct Most {
    rows: usize,
    bytes: usize,
}

/// Bytes of text in a row; everything else is short.
fn length(row: &Row) -> usize {
    let of = |index| match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => bytes.len(),
        _ => 8,
    };
    (0..row.len()).map(of).sum()
}

/// The first rows; the others are read off the connection and dropped.
async fn some_rows(
    on: &mut impl Queryable,
    sql: &str,
    arguments: Vec<Value>,
    most: Most,
) -> mysql_async::Result<Vec<Row>> {
    let mut result = on.exec_iter(sql, arguments).await?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    // One more than the most: then it is too much, and refused.
    while rows.len() < most.rows && bytes <= most.bytes {
        let Some(row) = result.next().await? else { break };
        bytes += length(&row);
        rows.push(row);
    }
    result.drop_result().await?;
    Ok(rows)
}

/// A column's value, with the text that its cell borrows.
enum Shown {
    Null,
    Integer(i128),
    Real(f64),
    Single(f32),
    Decimal(String),
    Text(String),
    Json(String),
    Bytes(Vec<u8>),
}

impl Shown {
    fn cell(&self) -> Cell<'_> {
        match self {
            Shown::Null => Cell::Null,
            Shown::Integer(number) => Cell::Integer(*number),
            Shown::Real(number) => Cell::Real(*number),
            Shown::Single(number) => Cell::Single(*number),
            Shown::Decimal(digits) => Cell::Decimal(digits),
            Shown::Text(text) => Cell::Text(text),
            Shown::Json(text) => Cell::Json(text),
            Shown::Bytes(bytes) => Cell::Bytes(bytes),
        }
    }
}

fn shown(row: &Row, column: &Column, index: usize) -> Shown {
    match row.as_ref(index) {
        None | Some(Value::NULL) => Shown::Null,
        Some(Value::Int(number)) => Shown::Integer(i128::from(*number)),
        Some(Value::UInt(number)) => Shown::Integer(i128::from(*number)),
        Some(Value::Double(number)) => Shown::Real(*number),
        Some(Value::Float(number)) => Shown::Single(*number),
        Some(Value::Date(year, month, day, hour, minute, second, micros)) => {
            let mut text = format!("{year:04}-{month:02}-{day:02}");
            if column.column_type() != ColumnType::MYSQL_TYPE_DATE {
                text.push_str(&format!("T{hour:02}:{minute:02}:{second:02}"));
                text.push_str(&fraction(*micros));
            }
            Shown::Text(text)
        }
        Some(Value::Time(negative, days, hours, minutes, seconds, micros)) => {
            let sign = if *negative { "-" } else { "" };
            let hours = days * 24 + u32::from(*hours);
            let text = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction(*micros));
            Shown::Text(text)
        }
        Some(Value::Bytes(found)) => of_bytes(found, column),
    }
}

fn of_bytes(found: &[u8], column: &Column) -> Shown {
    let Ok(text) = String::from_utf8(found.to_vec()) else { return Shown::Bytes(found.to_vec()) };
    match column.column_type() {
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => Shown::Decimal(text),
        ColumnType::MYSQL_TYPE_JSON => Shown::Json(text),
        _ if is_binary(column) => Shown::Bytes(found.to_vec()),
        _ => Shown::Text(text),
    }
}

fn is_binary(column: &Column) -> bool {
    column.character_set() == BINARY && column.flags().contains(ColumnFlags::BINARY_FLAG)
}

/// As many digits as say something.
fn fraction(micros: u32) -> String {
    match micros {
        0 => String::new(),
        _ => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    }
}
