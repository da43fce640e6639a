//! Splits an inline command into arguments by the rules of Redis's `sdssplitargs`.
//! It must not know limits or the buffer.

use bytes::{Bytes, BytesMut};

/// Appends the arguments of `line` to `args`. `None`: a quote does not end, or no blank follows it.
pub(super) fn split(line: &[u8], args: &mut Vec<Bytes>) -> Option<()> {
    let mut rest = line;
    loop {
        let blank = rest.iter().take_while(|byte| is_blank(**byte)).count();
        rest = &rest[blank..];
        if rest.is_empty() {
            return Some(());
        }
        let mut arg = BytesMut::new();
        rest = token(rest, &mut arg)?;
        args.push(arg.freeze());
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// One argument into `arg`; returns what follows it.
fn token<'a>(mut rest: &'a [u8], arg: &mut BytesMut) -> Option<&'a [u8]> {
    while let [byte, tail @ ..] = rest {
        match byte {
            0 => return Some(tail),
            byte if is_blank(*byte) => return Some(rest),
            b'"' => return after_quote(double_quoted(tail, arg)?),
            b'\'' => return after_quote(single_quoted(tail, arg)?),
            byte => arg.extend_from_slice(&[*byte]),
        }
        rest = tail;
    }
    Some(rest)
}

fn after_quote(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [] => Some(rest),
        [byte, ..] => is_blank(*byte).then_some(rest),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], arg: &mut BytesMut) -> Option<&'a [u8]> {
    loop {
        let (byte, tail) = match rest {
            [] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), tail)
            }
            [b'\\', escaped, tail @ ..] => (unescape(*escaped), tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        arg.extend_from_slice(&[byte]);
        rest = tail;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], arg: &mut BytesMut) -> Option<&'a [u8]> {
    loop {
        let (byte, tail) = match rest {
            [] => return None,
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] => (b'\'', tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        arg.extend_from_slice(&[byte]);
        rest = tail;
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}
