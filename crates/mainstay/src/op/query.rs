//! A query of the application's own tables: a statement, bound arguments, rows as JSON.
//! It must not know which key asked for it, nor what becomes of the rows.

use std::sync::Arc;

/// → `Reply::Rows`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What is asked.
    pub statement: Arc<Statement>,
    /// Its arguments in their order, as text: the engine reads each as the type of its place. Always bound, never spliced
    /// into the statement.
    pub arguments: Vec<String>,
}

/// One statement in the engine's own dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// One `SELECT` (or `WITH`, `VALUES`, `TABLE`), with the engine's own placeholders: `$1` for PostgreSQL, `?` for MySQL
    /// and MariaDB, `?1` for SQLite.
    pub sql: String,
    /// What its rows become.
    pub rows: Rows,
}

/// What rows become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// A JSON array of objects.
    #[default]
    Many,
    /// The first row as a JSON object.
    One,
}

/// A source of more rows than this is refused: what it gives has to fit into one value.
pub const ROWS_MAX: usize = 10_000;
