//! One operation as one command of Redis. Pure.
//! It must not know connections; what needs more than one command is in `perform`, `many` and `scan`.

use std::time::Duration;

use bytes::Bytes;
use redis::Cmd;

use super::{
    reply::written,
    script::{self, Lua},
};
use crate::{
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Condition, ExpireCondition, Op, TtlChange},
    reply::Reply,
};

#[cfg(test)]
mod tests;

/// What is to be sent for an operation on one key.
#[derive(Debug)]
pub(super) enum Request {
    /// Nothing: the answer is known.
    Answered(Reply),
    /// A command.
    Native(Cmd),
    /// A script.
    Script(&'static Lua, Cmd),
}

/// What is to be sent for an operation that is one command on one key.
pub(super) fn request(op: &Op, is_7: bool, value_max: usize) -> Result<Request> {
    Ok(match op {
        Op::Get { key, .. } => Request::Native(on("GET", key)),
        Op::GetRange { key, start, end } => {
            Request::Native(on("GETRANGE", key).arg(*start).arg(*end).take())
        }
        Op::Length { key } => Request::Native(on("STRLEN", key)),
        Op::TimeToLive { key } => Request::Native(on("PTTL", key)),
        Op::Set { key, value, ttl, condition, want_previous } => {
            fits(value.len(), value_max)?;
            return set(key, value, *ttl, condition, *want_previous);
        }
        Op::Delete { key, condition, want_previous } => {
            return delete(key, condition, *want_previous);
        }
        Op::Expire { key, ttl, condition } => return expire(key, *ttl, *condition, is_7),
        Op::Increment { key, by } => Request::Native(on("INCRBY", key).arg(*by).take()),
        Op::IncrementFloat { key, by } => Request::Native(increment_float(key, *by)?),
        Op::Append { key, value } => {
            fits(value.len(), value_max)?;
            Request::Script(&script::APPEND, append(key, value, value_max))
        }
        Op::SetRange { key, offset, value } => {
            return set_range(key, *offset, value, value_max);
        }
        _ => {
            let message = format!("{} is not one command", op.name());
            return Err(Error::new(ErrorKind::Internal, message));
        }
    })
}

/// A command on one key.
pub(super) fn on(name: &str, key: &Key) -> Cmd {
    let mut command = Cmd::with_capacity(4, name.len() + key.as_bytes().len() + 32);
    command.arg(name).arg(key.as_bytes());
    command
}

/// A command on several keys.
pub(super) fn on_all<'a>(
    name: &str,
    keys: impl IntoIterator<Item = &'a Key, IntoIter: Clone>,
) -> Cmd {
    let keys = keys.into_iter();
    let size: usize = keys.clone().map(|key| key.as_bytes().len()).sum();
    let mut command = Cmd::with_capacity(1 + keys.clone().count(), name.len() + size);
    command.arg(name);
    for key in keys {
        command.arg(key.as_bytes());
    }
    command
}

/// SET, whatever is there.
pub(super) fn assign(key: &Key, value: &[u8], expiry: Option<Expiry>) -> Cmd {
    let mut command = Cmd::with_capacity(5, 24 + key.as_bytes().len() + value.len());
    command.arg("SET").arg(key.as_bytes()).arg(value);
    if let Some(expiry) = expiry {
        expiry.write(&mut command);
    }
    command
}

/// MSET or MSETNX.
pub(super) fn assign_all<'a>(
    name: &str,
    entries: impl IntoIterator<Item = (&'a Key, &'a Bytes), IntoIter: Clone>,
) -> Cmd {
    let entries = entries.into_iter();
    let (mut count, mut size) = (0, 0);
    for (key, value) in entries.clone() {
        count += 1;
        size += key.as_bytes().len() + value.len();
    }
    let mut command = Cmd::with_capacity(1 + 2 * count, name.len() + size);
    command.arg(name);
    for (key, value) in entries {
        command.arg(key.as_bytes()).arg(&value[..]);
    }
    command
}

/// Refuses a value over the limit.
pub(super) fn fits(length: usize, value_max: usize) -> Result<()> {
    if length > value_max {
        let message = format!(
            "a value of {length} bytes is over the limit of {value_max} bytes (limits.value_max)"
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(())
}

/// The words of SET for an expiry.
pub(super) fn expiry(ttl: TtlChange) -> Result<Option<Expiry>> {
    Ok(match ttl {
        TtlChange::Clear => None,
        TtlChange::Keep => Some(Expiry::Keep),
        TtlChange::For(ttl) => Some(Expiry::After(milliseconds(ttl)?)),
        // Redis refuses zero and less; one millisecond after the epoch is as far in the past.
        TtlChange::At(at) => Some(Expiry::At(at.max(1))),
    })
}

/// An expiry as the words of SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    Keep,
    After(i64),
    At(i64),
}

impl Expiry {
    pub(super) fn write(self, command: &mut Cmd) {
        match self {
            Self::Keep => command.arg("KEEPTTL"),
            Self::After(ms) => command.arg("PX").arg(ms),
            Self::At(at) => command.arg("PXAT").arg(at),
        };
    }
}

/// A TTL this long would reach past 63 bits of milliseconds on any clock before the year 2248.
const TTL_END: i64 = i64::MAX - (1 << 43);

/// A positive TTL in milliseconds, rounded up: a positive TTL never means “at once”.
pub(super) fn milliseconds(ttl: Duration) -> Result<i64> {
    match i64::try_from(ttl.as_nanos().div_ceil(1_000_000)) {
        Ok(ms) if ms > 0 && ms < TTL_END => Ok(ms),
        _ => Err(Error::new(
            ErrorKind::InvalidArgument,
            "invalid expire time: a TTL is above 0 and fits 63 bits of milliseconds",
        )),
    }
}

/// SET, or a script where SET cannot compare values, nor tell a string from a hash before it gives the old value.
fn set(
    key: &Key,
    value: &Bytes,
    ttl: TtlChange,
    condition: &Condition,
    want_previous: bool,
) -> Result<Request> {
    let expiry = expiry(ttl)?;
    let word = match condition {
        Condition::Always if !want_previous => None,
        Condition::Present if !want_previous => Some("XX"),
        Condition::Absent if !want_previous => Some("NX"),
        _ => {
            let mut command = compare(&script::SET, key, condition, want_previous)?;
            command.arg(&value[..]);
            if let Some(expiry) = expiry {
                expiry.write(&mut command);
            }
            return Ok(Request::Script(&script::SET, command));
        }
    };
    let mut command = Cmd::with_capacity(8, 48 + key.as_bytes().len() + value.len());
    command.arg("SET").arg(key.as_bytes()).arg(&value[..]);
    if let Some(word) = word {
        command.arg(word);
    }
    if let Some(expiry) = expiry {
        expiry.write(&mut command);
    }
    Ok(Request::Native(command))
}

/// UNLINK, or a script that gives the old value or compares it.
fn delete(key: &Key, condition: &Condition, want_previous: bool) -> Result<Request> {
    match condition {
        Condition::Always | Condition::Present if !want_previous => {
            Ok(Request::Native(on("UNLINK", key)))
        }
        condition => {
            let command = compare(&script::DELETE, key, condition, want_previous)?;
            Ok(Request::Script(&script::DELETE, command))
        }
    }
}

/// A call of one of the scripts that compare the present value.
pub(super) fn compare(
    script: &Lua,
    key: &Key,
    condition: &Condition,
    want_previous: bool,
) -> Result<Cmd> {
    let (word, operand): (&str, &[u8]) = match condition {
        Condition::Always => ("ALWAYS", b""),
        Condition::Absent => ("ABSENT", b""),
        Condition::Present => ("PRESENT", b""),
        Condition::ValueIs(value) => ("IS", value),
        Condition::ValueIsNot(value) => ("ISNOT", value),
        Condition::VersionIs(_) => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "Redis keeps no versions: compare the value, or use a route with a record",
            ));
        }
    };
    let mut command = script.on(&[key]);
    command.arg(word).arg(operand).arg(u8::from(want_previous));
    Ok(command)
}

/// PEXPIRE, PEXPIREAT, PERSIST; a script where the server is too old for conditions.
fn expire(key: &Key, ttl: TtlChange, condition: ExpireCondition, is_7: bool) -> Result<Request> {
    let (name, at) = match ttl {
        TtlChange::Keep => {
            let message = "an expiry is set or cleared, not kept";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        TtlChange::Clear => return Ok(persist(key, condition)),
        TtlChange::For(ttl) if ttl.is_zero() => ("PEXPIRE", 0),
        TtlChange::For(ttl) => ("PEXPIRE", milliseconds(ttl)?),
        TtlChange::At(at) => ("PEXPIREAT", at.max(0)),
    };
    let word = match condition {
        ExpireCondition::Always => {
            return Ok(Request::Native(on(name, key).arg(at).take()));
        }
        ExpireCondition::HasNone => "NX",
        ExpireCondition::HasOne => "XX",
        ExpireCondition::Greater => "GT",
        ExpireCondition::Less => "LT",
    };
    if is_7 {
        return Ok(Request::Native(on(name, key).arg(at).arg(word).take()));
    }
    let command = script::EXPIRE_IF.on(&[key]).arg(name).arg(at).arg(word).take();
    Ok(Request::Script(&script::EXPIRE_IF, command))
}

/// PERSIST changes only a key with an expiry, and makes that infinitely late.
fn persist(key: &Key, condition: ExpireCondition) -> Request {
    match condition {
        ExpireCondition::Always | ExpireCondition::HasOne | ExpireCondition::Greater => {
            Request::Native(on("PERSIST", key))
        }
        ExpireCondition::HasNone | ExpireCondition::Less => Request::Answered(written(false)),
    }
}

/// INCRBYFLOAT; refuses what it could not take.
fn increment_float(key: &Key, by: f64) -> Result<Cmd> {
    if !by.is_finite() {
        let message = "increment would produce NaN or Infinity";
        return Err(Error::new(ErrorKind::Overflow, message));
    }
    Ok(on("INCRBYFLOAT", key).arg(by.to_string()).take())
}

/// APPEND within the limit: only the server knows the present length, so a script compares.
fn append(key: &Key, value: &Bytes, value_max: usize) -> Cmd {
    script::APPEND.on(&[key]).arg(&value[..]).arg(value_max).take()
}

/// SETRANGE within the limit.
fn set_range(key: &Key, offset: u64, value: &Bytes, value_max: usize) -> Result<Request> {
    if value.is_empty() {
        return Ok(Request::Native(on("STRLEN", key)));
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    fits(start.saturating_add(value.len()), value_max)?;
    let command = script::SET_RANGE.on(&[key]).arg(offset).arg(&value[..]).take();
    Ok(Request::Script(&script::SET_RANGE, command))
}
