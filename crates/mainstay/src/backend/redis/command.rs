//! One operation as one command of Redis, and its reply as ours. Pure.
//! It must not know connections; what needs more than one command is in `many`.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};

use super::{
    classify,
    script::{self, Lua},
};
use crate::{
    entry::{Key, Record, Ttl},
    error::{Error, ErrorKind, Result},
    op::{Condition, ExpireCondition, TtlChange},
    reply::{Outcome, Reply, Written},
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

/// A command on one key.
pub(super) fn on(name: &str, key: &Key) -> Cmd {
    let mut command = Cmd::with_capacity(4, name.len() + key.as_bytes().len() + 32);
    command.arg(name).arg(key.as_bytes());
    command
}

/// A command on several keys.
pub(super) fn on_all(name: &str, keys: &[Key]) -> Cmd {
    let size: usize = keys.iter().map(|key| key.as_bytes().len()).sum();
    let mut command = Cmd::with_capacity(1 + keys.len(), name.len() + size);
    command.arg(name);
    for key in keys {
        command.arg(key.as_bytes());
    }
    command
}

/// Refuses a value over the limit.
pub(super) fn fits(length: usize, value_max: usize) -> Result<()> {
    if length > value_max {
        let message = format!("a value of {length} bytes is over the limit of {value_max} bytes");
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
fn milliseconds(ttl: Duration) -> Result<i64> {
    match i64::try_from(ttl.as_nanos().div_ceil(1_000_000)) {
        Ok(ms) if ms > 0 && ms < TTL_END => Ok(ms),
        _ => Err(Error::new(
            ErrorKind::InvalidArgument,
            "invalid expire time: a TTL is above 0 and fits 63 bits of milliseconds",
        )),
    }
}

/// SET, or a script where SET cannot compare values, or (before 7.0) cannot both be conditional and give the old value.
pub(super) fn set(
    key: &Key,
    value: &Bytes,
    ttl: TtlChange,
    condition: &Condition,
    want_previous: bool,
    is_7: bool,
) -> Result<Request> {
    let expiry = expiry(ttl)?;
    let word = match condition {
        Condition::Always => None,
        Condition::Present => Some("XX"),
        Condition::Absent if is_7 || !want_previous => Some("NX"),
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
    if want_previous {
        command.arg("GET");
    }
    if let Some(expiry) = expiry {
        expiry.write(&mut command);
    }
    Ok(Request::Native(command))
}

/// The reply to what `set` asked for.
pub(super) fn set_reply(
    value: Value,
    condition: &Condition,
    want_previous: bool,
    is_script: bool,
) -> Result<Reply> {
    if is_script {
        return compared_reply(value);
    }
    if !want_previous {
        return match value {
            Value::Okay => Ok(written(true)),
            Value::Nil => Ok(written(false)),
            other => Err(classify::out_of_step(&other)),
        };
    }
    let previous = optional_bytes(value)?.map(record);
    let applied = match condition {
        Condition::Absent => previous.is_none(),
        Condition::Present => previous.is_some(),
        _ => true,
    };
    Ok(Reply::Written(Written { applied, previous, ..Written::default() }))
}

/// UNLINK, GETDEL, or a script that compares values.
pub(super) fn delete(key: &Key, condition: &Condition, want_previous: bool) -> Result<Request> {
    match condition {
        Condition::Always | Condition::Present if want_previous => {
            Ok(Request::Native(on("GETDEL", key)))
        }
        Condition::Always | Condition::Present => Ok(Request::Native(on("UNLINK", key))),
        condition => {
            let command = compare(&script::DELETE, key, condition, want_previous)?;
            Ok(Request::Script(&script::DELETE, command))
        }
    }
}

/// The reply to what `delete` asked for.
pub(super) fn delete_reply(value: Value, want_previous: bool, is_script: bool) -> Result<Reply> {
    if is_script {
        return compared_reply(value);
    }
    if !want_previous {
        return Ok(written(integer(value)? > 0));
    }
    let previous = optional_bytes(value)?.map(record);
    Ok(Reply::Written(Written { applied: previous.is_some(), previous, ..Written::default() }))
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

fn compared_reply(value: Value) -> Result<Reply> {
    let Value::Array(mut parts) = value else { return Err(classify::out_of_step(&value)) };
    match (parts.pop(), parts.pop(), parts.len()) {
        (Some(previous), Some(Value::Int(applied)), 0) => {
            let previous = optional_bytes(previous)?.map(record);
            let applied = applied == 1;
            Ok(Reply::Written(Written { applied, previous, ..Written::default() }))
        }
        _ => Err(classify::out_of_step(&Value::Array(Vec::new()))),
    }
}

/// PEXPIRE, PEXPIREAT, PERSIST; a script where the server is too old for conditions.
pub(super) fn expire(
    key: &Key,
    ttl: TtlChange,
    condition: ExpireCondition,
    is_7: bool,
) -> Result<Request> {
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
pub(super) fn increment_float(key: &Key, by: f64) -> Result<Cmd> {
    if !by.is_finite() {
        let message = "increment would produce NaN or Infinity";
        return Err(Error::new(ErrorKind::Overflow, message));
    }
    Ok(on("INCRBYFLOAT", key).arg(by.to_string()).take())
}

/// APPEND within the limit: only the server knows the present length, so a script compares.
pub(super) fn append(key: &Key, value: &Bytes, value_max: usize) -> Cmd {
    script::APPEND.on(&[key]).arg(&value[..]).arg(value_max).take()
}

/// The reply to what `append` asked for.
pub(super) fn append_reply(value: Value, added: usize, value_max: usize) -> Result<Reply> {
    match integer(value)? {
        length @ 0.. => Ok(written_integer(true, length)),
        refused => {
            let present = usize::try_from(-1 - refused).unwrap_or(usize::MAX);
            fits(present.saturating_add(added), value_max)?;
            Err(Error::new(ErrorKind::Internal, "APPEND was refused within the limit"))
        }
    }
}

/// SETRANGE within the limit.
pub(super) fn set_range(key: &Key, offset: u64, value: &Bytes, value_max: usize) -> Result<Cmd> {
    if value.is_empty() {
        return Ok(on("STRLEN", key));
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    fits(start.saturating_add(value.len()), value_max)?;
    Ok(on("SETRANGE", key).arg(offset).arg(&value[..]).take())
}

/// A write without more to say.
pub(super) fn written(applied: bool) -> Reply {
    Reply::Written(Written { applied, ..Written::default() })
}

/// A write that computed a number.
pub(super) fn written_integer(applied: bool, number: i64) -> Reply {
    let outcome = Outcome::Integer(number);
    Reply::Written(Written { applied, outcome, ..Written::default() })
}

/// A value of ours; Redis gives no version, and its TTL was not asked for.
pub(super) fn record(value: Bytes) -> Record {
    Record { value, version: None, ttl: None }
}

/// A record or nil.
pub(super) fn record_reply(value: Value) -> Result<Reply> {
    Ok(Reply::Record(optional_bytes(value)?.map(record)))
}

/// An integer.
pub(super) fn integer(value: Value) -> Result<i64> {
    match value {
        Value::Int(number) => Ok(number),
        other => Err(classify::out_of_step(&other)),
    }
}

/// A string or nil; the bytes are taken over, not copied.
pub(super) fn optional_bytes(value: Value) -> Result<Option<Bytes>> {
    match value {
        Value::BulkString(bytes) => Ok(Some(Bytes::from(bytes))),
        Value::Nil => Ok(None),
        Value::SimpleString(text) => Ok(Some(Bytes::from(text))),
        Value::Okay => Ok(Some(Bytes::from_static(b"OK"))),
        other => Err(classify::out_of_step(&other)),
    }
}

/// A string.
pub(super) fn bytes(value: Value) -> Result<Bytes> {
    optional_bytes(value)?.ok_or_else(|| classify::out_of_step(&Value::Nil))
}

/// The reply to PTTL.
pub(super) fn ttl(value: Value) -> Result<Ttl> {
    Ok(match integer(value)? {
        -2 => Ttl::Missing,
        -1 => Ttl::Persistent,
        left => Ttl::Left(Duration::from_millis(u64::try_from(left).unwrap_or(0))),
    })
}
