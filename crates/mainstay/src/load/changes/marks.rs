//! What a question for changes answers: keys, each with a mark that only grows.
//! It must not know who asks.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::error::{Error, ErrorKind, Result};

/// A number or a time. Numbers are compared as numbers, everything else as text: times of one column sort that way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(String);

impl Mark {
    /// From the configuration.
    pub(super) fn of_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// From the one row of a query that gives the first mark; an empty table begins at `0`.
    ///
    /// # Errors
    /// `Misconfigured`.
    pub(super) fn read(rows: &[u8]) -> Result<Self> {
        let rows = parse(rows)?;
        match rows.first().map(|row| &row["mark"]) {
            None | Some(Json::Null) if rows.first().is_none_or(|row| row.get("mark").is_some()) => {
                Ok(Self::of_text("0"))
            }
            found => found.and_then(text).map(Self).ok_or_else(|| wrong("a column `mark`")),
        }
    }

    /// As the argument of the next question.
    pub(super) fn argument(&self) -> &str {
        &self.0
    }

    fn number(&self) -> Option<i128> {
        self.0.parse().ok()
    }
}

impl Ord for Mark {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.number(), other.number()) {
            (Some(this), Some(other)) => this.cmp(&other),
            // A number is where a time begins: `0` is before all of them.
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Mark {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A row that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// What stands after the prefix.
    pub(super) key: String,
    pub(super) mark: Mark,
}

impl Changed {
    /// The rows of one answer.
    ///
    /// # Errors
    /// `Misconfigured` when a row has not both columns.
    pub(super) fn read(rows: &[u8]) -> Result<Vec<Self>> {
        let read = |row: &Json| {
            let (key, mark) = (text(&row["key"])?, text(&row["mark"])?);
            Some(Self { key, mark: Mark(mark) })
        };
        let rows = parse(rows)?;
        let read: Option<Vec<Self>> = rows.iter().map(read).collect();
        read.ok_or_else(|| wrong("the columns `key` and `mark`, neither of them NULL"))
    }
}

fn parse(rows: &[u8]) -> Result<Vec<Json>> {
    serde_json::from_slice(rows).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, format!("a query for changes gives {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_as_numbers_and_times_as_text() {
        let mark = Mark::of_text;
        assert!(mark("10") > mark("9"));
        assert!(mark("2024-01-02T03:04:05.1") > mark("2024-01-02T03:04:05"));
        assert!(mark("2024-01-02T03:04:05") > mark("0"));
    }

    #[test]
    fn rows_are_read_and_others_refused() {
        let found = Changed::read(br#"[{"key":42,"mark":7},{"key":"a:b","mark":"2024"}]"#).unwrap();
        assert_eq!((&*found[0].key, found[0].mark.argument()), ("42", "7"));
        assert_eq!((&*found[1].key, found[1].mark.argument()), ("a:b", "2024"));
        for rows in [&b"[{\"key\":1}]"[..], b"[{\"key\":null,\"mark\":1}]"] {
            assert_eq!(Changed::read(rows).unwrap_err().kind(), ErrorKind::Misconfigured);
        }
        assert_eq!(Mark::read(b"[]").unwrap(), Mark::of_text("0"));
        assert_eq!(Mark::read(b"[{\"mark\":null}]").unwrap(), Mark::of_text("0"));
        assert_eq!(Mark::read(b"[{\"mark\":12}]").unwrap(), Mark::of_text("12"));
        assert!(Mark::read(b"[{\"max\":12}]").is_err());
    }
}
