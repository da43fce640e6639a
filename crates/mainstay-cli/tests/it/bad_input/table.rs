//! Reading the tables, and the notation of bytes in them.

use serde::de::DeserializeOwned;

#[derive(serde::Deserialize)]
struct Table<T> {
    case: Vec<T>,
}

/// The cases of a table.
pub(crate) fn cases<T: DeserializeOwned>(text: &str) -> Vec<T> {
    toml::from_str::<Table<T>>(text).unwrap().case
}

/// `\r`, `\n` and `\xHH` stand for bytes, `<a*9>` for one that is repeated, all else for itself.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let (mut rest, mut bytes) = (text.as_bytes(), Vec::new());
    while !rest.is_empty() {
        if let Some((byte, times, tail)) = repeated(rest) {
            bytes.extend(std::iter::repeat_n(byte, times));
            rest = tail;
        } else {
            let (byte, tail) = one(rest);
            bytes.push(byte);
            rest = tail;
        }
    }
    bytes
}

fn one(text: &[u8]) -> (u8, &[u8]) {
    match text {
        [b'\\', b'r', rest @ ..] => (b'\r', rest),
        [b'\\', b'n', rest @ ..] => (b'\n', rest),
        [b'\\', b'x', high, low, rest @ ..] => {
            let digits = [*high, *low];
            let digits = std::str::from_utf8(&digits).unwrap();
            (u8::from_str_radix(digits, 16).unwrap(), rest)
        }
        [byte, rest @ ..] => (*byte, rest),
        [] => unreachable!("nothing is left"),
    }
}

fn repeated(text: &[u8]) -> Option<(u8, usize, &[u8])> {
    let inner = text.strip_prefix(b"<").filter(|inner| !inner.is_empty())?;
    let (byte, rest) = one(inner);
    let rest = rest.strip_prefix(b"*")?;
    let end = rest.iter().position(|byte| *byte == b'>')?;
    let times = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((byte, times, &rest[end + 1..]))
}

/// Bytes in the notation of the tables.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text
}

/// Fails with every case that was answered otherwise.
pub(crate) fn judge(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn bytes_are_read_and_shown() {
    assert_eq!(bytes("a<b*3>\\r\\n\\xff<\\x00*2><>"), b"abbb\r\n\xff\0\0<>");
    assert_eq!(shown(b"a\r\n\xff"), "a\\r\\n\\xff");
}
