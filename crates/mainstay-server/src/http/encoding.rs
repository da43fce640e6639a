//! Bytes in JSON: as text when they are UTF-8, else as base64, and which of the two.
//! It must not know whether they are a key or a value.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;

/// How bytes are written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Encoding {
    /// As they are.
    #[default]
    Utf8,
    /// RFC 4648 with padding; chosen for bytes that are not UTF-8.
    Base64,
}

/// Writes bytes for JSON.
pub(crate) fn write(bytes: &[u8]) -> (String, Encoding) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), Encoding::Utf8),
        Err(_) => (STANDARD.encode(bytes), Encoding::Base64),
    }
}

/// Bytes that it takes in JSON, at most.
pub(crate) fn length(bytes: &[u8]) -> usize {
    if std::str::from_utf8(bytes).is_err() {
        return bytes.len().div_ceil(3) * 4;
    }
    // Six for a control character, two for a quote or a backslash.
    let escaped = bytes.iter().map(|byte| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    });
    escaped.sum()
}

/// Reads bytes from JSON.
pub(crate) fn read(text: String, encoding: Encoding) -> Result<Vec<u8>, Problem> {
    match encoding {
        Encoding::Utf8 => Ok(text.into_bytes()),
        Encoding::Base64 => STANDARD.decode(text).map_err(|error| {
            Problem::bad_request(format!("this is not base64 with padding: {error}"))
        }),
    }
}

/// Writes a cursor so that it can stand in a URL.
pub(crate) fn write_cursor(cursor: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(cursor)
}

/// Reads a cursor.
pub(crate) fn read_cursor(text: &str) -> Result<Vec<u8>, Problem> {
    let refuse = |_| Problem::bad_request("`cursor` is not one that this server gave");
    URL_SAFE_NO_PAD.decode(text).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_and_bytes_survive() {
        for bytes in [b"ada".as_slice(), b"", b"\xff\x00", "ключ".as_bytes()] {
            let (text, encoding) = write(bytes);
            assert_eq!(read(text, encoding).unwrap(), bytes);
        }
        assert_eq!(write(b"ada"), ("ada".to_owned(), Encoding::Utf8));
        assert_eq!(write(b"\xff").1, Encoding::Base64);
        assert!(read("!".to_owned(), Encoding::Base64).is_err());
    }

    #[test]
    fn nothing_is_written_longer_than_was_said() {
        for bytes in [&[0; 9][..], b"a\"\\\n\x7f", b"\xff", b"\xff\xff", "ключ".as_bytes(), b""]
        {
            let written = serde_json::to_string(&write(bytes).0).unwrap();
            assert!(written.len() - 2 <= length(bytes), "{written}");
        }
    }

    #[test]
    fn cursors_survive() {
        assert_eq!(read_cursor(&write_cursor(b"\x00\xfe?/")).unwrap(), b"\x00\xfe?/");
        assert!(read_cursor("a b").is_err());
    }
}
