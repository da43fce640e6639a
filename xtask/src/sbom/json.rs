//! As much of JSON as a document needs that is only written.
//! It must not read any.

use std::fmt::{Display, Formatter, Result, Write};

/// A value.
#[derive(Debug)]
pub(super) enum Json {
    Text(String),
    Number(u64),
    List(Vec<Json>),
    /// In the order in which it was given.
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn object(fields: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        Self::Object(fields.into_iter().collect())
    }
}

impl Display for Json {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Text(text) => quoted(out, text),
            Self::Number(number) => write!(out, "{number}"),
            Self::List(values) => {
                out.write_char('[')?;
                for (at, value) in values.iter().enumerate() {
                    write!(out, "{}{value}", if at == 0 { "" } else { "," })?;
                }
                out.write_char(']')
            }
            Self::Object(fields) => {
                out.write_char('{')?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    write!(out, "{}\"{name}\":{value}", if at == 0 { "" } else { "," })?;
                }
                out.write_char('}')
            }
        }
    }
}

fn quoted(out: &mut Formatter<'_>, text: &str) -> Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(out, "\\{character}")?,
            other if other.is_control() => write!(out, "\\u{:04x}", u32::from(other))?,
            other => out.write_char(other)?,
        }
    }
    out.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written() {
        let value = Json::object([
            ("a", Json::text("q\"\\\n")),
            ("b", Json::List(vec![Json::Number(1), Json::Number(2)])),
            ("c", Json::object([])),
        ]);
        assert_eq!(value.to_string(), r#"{"a":"q\"\\\u000a","b":[1,2],"c":{}}"#);
    }
}
