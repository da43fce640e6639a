//! One connection as statements see it: prepared once where the session is ours alone, sent unnamed where it may not be.
//! It must not know what a statement does, nor when the connection may be used again.
//!
//! Of a write on the record more than half is reading and planning its statement; prepared, that is done once. The names of
//! prepared statements are counted per process, so behind a transaction pooler one may be unknown, or be another process's
//! other statement. A session is ours if the server has its mark, which only the start of a session can carry and which no
//! other process has: see `Connections::new`.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
};

use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt;
use tokio_postgres::{
    Row, RowStream,
    error::SqlState,
    types::{ToSql, Type},
};

pub(super) type DriverResult<T> = std::result::Result<T, tokio_postgres::Error>;

/// A statement with its arguments.
pub(super) struct Statement<'a> {
    pub(super) sql: &'static str,
    pub(super) arguments: Vec<(&'a (dyn ToSql + Sync), Type)>,
}

/// What a statement gave.
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// Rows that it wrote, or gave.
    pub(super) changed: u64,
}

/// As a statement is sent.
pub(super) enum Form {
    Prepared(tokio_postgres::Statement),
    Unnamed,
}

/// A connection, and whether it is ours alone.
#[derive(Clone, Copy)]
pub(super) struct Session<'a> {
    client: &'a ClientWrapper,
    is_ours: &'a AtomicBool,
}

impl<'a> Session<'a> {
    pub(super) fn new(client: &'a ClientWrapper, is_ours: &'a AtomicBool) -> Self {
        Self { client, is_ours }
    }

    /// Performs one statement that changes nothing.
    pub(super) async fn read(self, statement: &Statement<'_>) -> DriverResult<Answer> {
        let form = self.form(statement).await?;
        self.perform(statement, form).await
    }

    /// The driver's client.
    pub(super) fn client(self) -> &'a tokio_postgres::Client {
        self.client
    }

    /// The form of a statement here. The first time on a connection it is prepared, in a round trip of its own, so this
    /// comes before anything is sent that must not be waited in.
    pub(super) async fn form(self, statement: &Statement<'_>) -> DriverResult<Form> {
        if !self.is_ours.load(Ordering::Relaxed) {
            return Ok(Form::Unnamed);
        }
        let types: Vec<Type> = statement.arguments.iter().map(|(_, kind)| kind.clone()).collect();
        self.client.prepare_typed_cached(statement.sql, &types).await.map(Form::Prepared)
    }

    /// Sends a statement in this form. It is on its way with the first poll.
    pub(super) async fn send(self, statement: &Statement<'_>, form: &Form) -> DriverResult<Answer> {
        let answer = self.answer(statement, form).await;
        answer.inspect_err(|error| {
            if is_foreign(error) {
                self.is_ours.store(false, Ordering::Relaxed);
            }
        })
    }

    async fn answer(self, statement: &Statement<'_>, form: &Form) -> DriverResult<Answer> {
        let Statement { sql, arguments } = statement;
        match form {
            Form::Prepared(prepared) => {
                let values = arguments.iter().map(|(value, _)| *value);
                read(self.client.query_raw(prepared, values).await?).await
            }
            Form::Unnamed => {
                let typed = arguments.iter().map(|(value, kind)| (*value, kind.clone()));
                read(self.client.query_typed_raw(sql, typed).await?).await
            }
        }
    }

    /// Performs one statement that commits by itself. One that the server does not know by its name was not performed, and
    /// is sent unnamed.
    pub(super) async fn perform(
        self,
        statement: &Statement<'_>,
        form: Form,
    ) -> DriverResult<Answer> {
        match (self.send(statement, &form).await, form) {
            (Err(error), Form::Prepared(_)) if is_foreign(&error) => {
                self.send(statement, &Form::Unnamed).await
            }
            (outcome, _) => outcome,
        }
    }
}

/// Whether the server says that a prepared statement is not what it was: somebody else is in the session, or a plan does not
/// fit its tables any more. Nothing was performed.
fn is_foreign(error: &tokio_postgres::Error) -> bool {
    let foreign = [
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PSTATEMENT,
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    error.code().is_some_and(|code| foreign.contains(code))
}

async fn read(rows: RowStream) -> DriverResult<Answer> {
    let mut stream = pin!(rows);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        rows.push(row);
    }
    let changed = stream.rows_affected().unwrap_or(0);
    Ok(Answer { rows, changed })
}
