//! Rows as JSON, the way PostgreSQL writes them itself: numbers with all their digits, times in ISO 8601, bytes as `\x` and
//! hexadecimal digits, NULL as null. It must not know a driver's types.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind, Result},
    op::{ROWS_MAX, Rows},
};

/// One column of one row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i128),
    /// A floating point number; what JSON has no number for is written as text.
    Real(f64),
    /// A single-precision one: fewer digits say the same.
    Single(f32),
    /// A decimal as the engine writes it.
    #[cfg(feature = "mysql")]
    Decimal(&'a str),
    /// Text.
    Text(&'a str),
    /// JSON as it stands.
    #[cfg(feature = "mysql")]
    Json(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Rows as they come.
#[derive(Debug)]
pub(super) struct Writer {
    rows: Rows,
    text: String,
    count: usize,
    bytes_max: usize,
}

impl Writer {
    /// Writes at most `bytes_max` bytes.
    pub(super) fn new(rows: Rows, bytes_max: usize) -> Self {
        let text = if rows == Rows::Many { String::from("[") } else { String::new() };
        Self { rows, text, count: 0, bytes_max }
    }

    /// Whether another row is wanted.
    pub(super) fn wants_more(&self) -> bool {
        self.rows == Rows::Many || self.count == 0
    }

    /// Adds a row of columns, each with its name.
    ///
    /// # Errors
    /// `TooLarge`.
    pub(super) fn row<'a>(
        &mut self,
        columns: impl Iterator<Item = (&'a str, Cell<'a>)>,
    ) -> Result<()> {
        if self.count > 0 {
            self.text.push(',');
        }
        self.count += 1;
        self.text.push('{');
        for (place, (name, cell)) in columns.enumerate() {
            if place > 0 {
                self.text.push(',');
            }
            push_text(&mut self.text, name);
            self.text.push(':');
            push_cell(&mut self.text, &cell);
        }
        self.text.push('}');
        check(self.count, self.text.len(), self.bytes_max)
    }

    /// The JSON; `None` when there was no row.
    pub(super) fn finish(mut self) -> Option<Bytes> {
        if self.rows == Rows::Many {
            self.text.push(']');
        }
        (self.count > 0).then(|| Bytes::from(self.text))
    }
}

/// Refuses what does not fit into one value.
///
/// # Errors
/// `TooLarge`.
pub(super) fn check(rows: usize, bytes: usize, bytes_max: usize) -> Result<()> {
    let text = if rows > ROWS_MAX {
        format!("a source gives more than {ROWS_MAX} rows: let its query LIMIT them")
    } else if bytes > bytes_max {
        format!(
            "a source gives more than {bytes_max} bytes: select less, or raise limits.value_max"
        )
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::TooLarge, text))
}

fn push_cell(text: &mut String, cell: &Cell<'_>) {
    match cell {
        Cell::Null => text.push_str("null"),
        Cell::Integer(number) => push(text, format_args!("{number}")),
        Cell::Real(number) if number.is_finite() => push(text, format_args!("{number}")),
        Cell::Single(number) if number.is_finite() => push(text, format_args!("{number}")),
        Cell::Real(number) => push_text(text, not_a_number(*number)),
        Cell::Single(number) => push_text(text, not_a_number(f64::from(*number))),
        #[cfg(feature = "mysql")]
        Cell::Decimal(digits) | Cell::Json(digits) => text.push_str(digits),
        Cell::Text(words) => push_text(text, words),
        Cell::Bytes(bytes) => {
            text.push_str("\"\\\\x");
            bytes.iter().for_each(|byte| push(text, format_args!("{byte:02x}")));
            text.push('"');
        }
    }
}

fn not_a_number(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn push_text(text: &mut String, words: &str) {
    // A string always has a form in JSON.
    text.push_str(&serde_json::Value::from(words).to_string());
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    text.write_fmt(piece).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(rows: Rows, cells: &[&[Cell<'_>]]) -> Option<String> {
        let mut writer = Writer::new(rows, 10_000);
        for row in cells {
            if writer.wants_more() {
                writer.row(row.iter().map(|cell| ("c\"", cell.clone()))).unwrap();
            }
        }
        writer.finish().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn each_kind_of_cell_is_faithful() {
        let cells = [
            (Cell::Null, "null"),
            (Cell::Integer(i128::from(u64::MAX)), "18446744073709551615"),
            (Cell::Real(0.1), "0.1"),
            (Cell::Real(1e300), &format!("{}", 1e300)),
            (Cell::Single(0.1), "0.1"),
            (Cell::Real(f64::NAN), "\"NaN\""),
            (Cell::Single(f32::NEG_INFINITY), "\"-Infinity\""),
            (Cell::Text("a\"b\\\n\u{1}é"), "\"a\\\"b\\\\\\n\\u0001é\""),
            (Cell::Bytes(&[0, 255]), "\"\\\\x00ff\""),
        ];
        for (cell, expected) in cells {
            let text = written(Rows::One, &[&[cell]]).unwrap();
            assert_eq!(text, format!("{{\"c\\\"\":{expected}}}"));
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }

    #[test]
    fn many_rows_are_an_array_one_row_an_object_none_nothing() {
        let rows: [&[Cell<'_>]; 2] = [&[Cell::Integer(1)], &[Cell::Integer(2)]];
        assert_eq!(written(Rows::Many, &rows).unwrap(), r#"[{"c\"":1},{"c\"":2}]"#);
        assert_eq!(written(Rows::One, &rows).unwrap(), r#"{"c\"":1}"#);
        assert_eq!(written(Rows::Many, &[]), None);
        assert_eq!(written(Rows::One, &[]), None);
    }

    #[test]
    fn too_much_is_refused_with_the_fix() {
        let mut writer = Writer::new(Rows::Many, 10);
        let error = writer.row([("c", Cell::Text("0123456789"))].into_iter()).unwrap_err();
        assert!(error.message().contains("limits.value_max"), "{error}");
        let error = check(ROWS_MAX + 1, 0, 1).unwrap_err();
        assert!(error.message().contains("LIMIT"), "{error}");
    }
}
