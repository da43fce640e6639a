//! How arguments are read: keywords, numbers, expiries, lower-case names.
//! It must not know any one command.

use std::time::Duration;

use bytes::Bytes;
use mainstay::{Clock, Key, TtlChange};

use super::Parsed;
use crate::resp::{error::Failure, parse::decimal};

/// Whether this argument is that keyword, in any case.
pub(in crate::resp) fn is(arg: &[u8], keyword: &str) -> bool {
    arg.eq_ignore_ascii_case(keyword.as_bytes())
}

/// A key, sharing the request's memory.
pub(in crate::resp) fn key(arg: &Bytes) -> Key {
    Key::from(arg.clone())
}

/// Keys.
pub(in crate::resp) fn keys(args: &[Bytes]) -> Vec<Key> {
    args.iter().map(key).collect()
}

/// A 64-bit integer.
pub(in crate::resp) fn integer(arg: &[u8]) -> Parsed<i64> {
    decimal(arg).ok_or(Failure::NOT_INTEGER)
}

/// A name in lower case, on the stack.
#[derive(Clone, Copy, Debug)]
pub(in crate::resp) struct Name {
    bytes: [u8; Self::LEN_MAX],
    length: usize,
}

impl Name {
    const LEN_MAX: usize = 32;

    /// `None`: longer than any name there is.
    pub(in crate::resp) fn of(arg: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::LEN_MAX];
        bytes.get_mut(..arg.len())?.copy_from_slice(arg);
        bytes.make_ascii_lowercase();
        Some(Self { bytes, length: arg.len() })
    }

    pub(in crate::resp) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The unit of a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resp) enum Unit {
    Seconds,
    Milliseconds,
}

/// Whether a TTL counts from now or from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resp) enum From {
    Now,
    Epoch,
}

/// `EX`, `PX`, `EXAT`, `PXAT`.
pub(in crate::resp) fn expiry_keyword(arg: &[u8]) -> Option<(Unit, From)> {
    [
        ("ex", Unit::Seconds, From::Now),
        ("px", Unit::Milliseconds, From::Now),
        ("exat", Unit::Seconds, From::Epoch),
        ("pxat", Unit::Milliseconds, From::Epoch),
    ]
    .into_iter()
    .find(|(keyword, ..)| is(arg, keyword))
    .map(|(_, unit, from)| (unit, from))
}

/// The expiry that a SET or GETEX asks for: above 0.
pub(in crate::resp) fn expiry(
    command: &str,
    arg: &[u8],
    kind: (Unit, From),
    clock: &Clock,
) -> Parsed<TtlChange> {
    let number = integer(arg)?;
    if number <= 0 {
        return Err(Failure::expire_time(command));
    }
    any_expiry(command, number, kind, clock)
}

/// The expiry that an EXPIRE asks for: in the past, the key goes.
pub(in crate::resp) fn any_expiry(
    command: &str,
    number: i64,
    (unit, from): (Unit, From),
    clock: &Clock,
) -> Parsed<TtlChange> {
    let factor = if unit == Unit::Seconds { 1_000 } else { 1 };
    let invalid = || Failure::expire_time(command);
    let ms = number.checked_mul(factor).ok_or_else(invalid)?;
    match from {
        From::Epoch => Ok(TtlChange::At(ms)),
        From::Now => {
            clock.unix_ms().checked_add(ms).ok_or_else(invalid)?;
            // Zero deletes.
            Ok(TtlChange::For(Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
        }
    }
}
