//! What a question for changes answers: keys, each with a mark that only grows.
//! It must not know who asks.

use std::{cmp::Ordering, collections::BTreeMap, time::Duration};

use serde_json::Value as Json;

use crate::{
    clock::Instant,
    error::{Error, ErrorKind, Result},
};

/// A time of whole seconds is one mark for all changes of that second: so long what has the highest is passed on again.
const SETTLES: Duration = Duration::from_secs(2);

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

/// What has been passed on of the highest mark, which each question answers again.
#[derive(Debug)]
pub(super) struct Passed {
    mark: Mark,
    /// When each key was asked for first; `None`: its mark says nothing new any more.
    keys: BTreeMap<String, Option<Instant>>,
}

/// What a change says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    New,
    /// It may have been changed once more under the same mark.
    Again,
    Old,
}

impl Passed {
    /// Nothing yet; what is to be asked for begins with this mark.
    pub(super) fn new(mark: Mark) -> Self {
        Self { mark, keys: BTreeMap::new() }
    }

    /// The highest mark so far.
    pub(super) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// A change that was answered to a question of this moment.
    pub(super) fn hears(&mut self, changed: &Changed, asked: Instant) -> News {
        if changed.mark < self.mark {
            return News::New;
        }
        if changed.mark > self.mark {
            self.keys.clear();
            self.mark = changed.mark.clone();
        }
        let Some(first) = self.keys.get_mut(&changed.key) else {
            self.keys.insert(changed.key.clone(), Some(asked));
            return News::New;
        };
        let Some(since) = *first else { return News::Old };
        if asked.saturating_duration_since(since) >= SETTLES {
            *first = None;
        }
        News::Again
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
    fn a_second_change_under_one_mark_is_passed_on_and_an_old_one_ends() {
        let (mut told, start) = (Passed::new(Mark::of_text("0")), crate::Clock::system().now());
        let change = |mark| Changed { key: "k".into(), mark: Mark::of_text(mark) };
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(told.hears(&change("7"), at(0)), News::New);
        assert_eq!(told.hears(&change("7"), at(1)), News::Again);
        assert_eq!(told.hears(&change("7"), at(60)), News::Again, "asked after the second is over");
        assert_eq!(told.hears(&change("7"), at(61)), News::Old);
        assert_eq!(told.hears(&change("8"), at(62)), News::New);
        assert_eq!(told.hears(&change("7"), at(62)), News::New, "of the same answer, unsorted");
        assert_eq!(told.mark(), &Mark::of_text("8"));
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
