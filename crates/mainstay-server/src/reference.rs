//! What the reference pages are written from: commands, metrics, and what each kind of error reads like.
//! It must not hold a table of its own: it shows those by which the doors work.

use mainstay::{Error, ErrorKind, Result, Storage};

use crate::{http, resp};

/// A command of the RESP door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRow {
    /// In capitals.
    pub name: String,
    /// Arguments, the name included; negative: at least so many.
    pub arity: i64,
    /// Redis's name for its family.
    pub group: &'static str,
    /// Redis's words for its kind.
    pub flags: String,
    /// What it does, in a sentence.
    pub summary: &'static str,
}

/// A kind of error at both doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorRow {
    /// The word for metrics, events and JSON.
    pub kind: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What has happened.
    pub title: &'static str,
    /// What to do.
    pub hint: &'static str,
    /// The first word of the RESP error.
    pub class: String,
    /// Whether the caller, not a backend, has to change something.
    pub is_callers: bool,
}

/// A family of `/metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricRow {
    /// As it is scraped, `_total` of a counter included.
    pub name: String,
    /// `counter`, `gauge`, `histogram`.
    pub kind: String,
    /// What it counts.
    pub help: String,
}

/// Every command, in the order of their names.
pub fn commands() -> Vec<CommandRow> {
    resp::command_rows()
}

/// Every kind of error, in the order of their declaration.
pub fn errors() -> Vec<ErrorRow> {
    let row = |kind: ErrorKind| {
        let (status, title, hint) = http::problem_row(kind);
        let line = resp::error_line(Error::new(kind, "..."));
        let class = line.split(' ').next().unwrap_or_default().to_owned();
        ErrorRow { kind: kind.as_str(), status, title, hint, class, is_callers: kind.is_callers() }
    };
    ErrorKind::ALL.into_iter().map(row).collect()
}

/// Every family that `/metrics` of this storage has.
///
/// # Errors
/// `Internal` when they cannot be encoded.
pub fn metrics(storage: Storage) -> Result<Vec<MetricRow>> {
    let text = http::metrics_text(storage)?;
    let mut rows: Vec<MetricRow> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) =
            line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
        {
            let (name, help) = (name.to_owned(), help.to_owned());
            rows.push(MetricRow { name, kind: String::new(), help });
        } else if let Some((_, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            && let Some(row) = rows.last_mut()
        {
            kind.clone_into(&mut row.kind);
        }
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}
