//! The replies of Redis as ours. Pure.
//! It must not know connections, nor how the command was built.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::{classify, command::fits};
use crate::{
    entry::{Record, Ttl},
    error::{Error, ErrorKind, Result},
    op::Op,
    reply::{Outcome, Reply, Written},
};

#[cfg(test)]
mod tests;

/// The reply to the one command, or script, that `command::request` made of this operation.
pub(super) fn of(op: &Op, value: Value, is_script: bool, value_max: usize) -> Result<Reply> {
    match op {
        Op::Get { .. } => Ok(Reply::Record(optional_bytes(value)?.map(record))),
        Op::GetRange { .. } => Ok(Reply::Bytes(bytes(value)?)),
        Op::Length { .. } => Ok(Reply::Integer(integer(value)?)),
        Op::TimeToLive { .. } => Ok(Reply::Ttl(ttl(value)?)),
        Op::Set { .. } | Op::Delete { .. } if is_script => compared_reply(value),
        Op::Set { .. } => set_reply(value),
        Op::Delete { .. } => Ok(written(integer(value)? > 0)),
        Op::Expire { .. } => Ok(written(integer(value)? == 1)),
        Op::Increment { .. } => Ok(written_integer(true, integer(value)?)),
        Op::IncrementFloat { .. } => {
            let outcome = Outcome::Text(bytes(value)?);
            Ok(Reply::Written(Written { applied: true, outcome, ..Written::default() }))
        }
        Op::Append { value: added, .. } => append_reply(value, added.len(), value_max),
        Op::SetRange { value: patch, .. } => {
            Ok(written_integer(!patch.is_empty(), integer(value)?))
        }
        _ => Err(Error::new(ErrorKind::Internal, format!("{} is not one command", op.name()))),
    }
}

fn set_reply(value: Value) -> Result<Reply> {
    match value {
        Value::Okay => Ok(written(true)),
        Value::Nil => Ok(written(false)),
        other => Err(classify::out_of_step(&other)),
    }
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

fn append_reply(value: Value, added: usize, value_max: usize) -> Result<Reply> {
    match integer(value)? {
        length @ 0.. => Ok(written_integer(true, length)),
        refused => {
            let present = usize::try_from(-1 - refused).unwrap_or(usize::MAX);
            fits(present.saturating_add(added), value_max)?;
            Err(Error::new(ErrorKind::Internal, "APPEND was refused within the limit"))
        }
    }
}

/// A write without more to say.
pub(super) fn written(applied: bool) -> Reply {
    Reply::Written(Written { applied, ..Written::default() })
}

fn written_integer(applied: bool, number: i64) -> Reply {
    let outcome = Outcome::Integer(number);
    Reply::Written(Written { applied, outcome, ..Written::default() })
}

/// A value of ours; Redis gives no version, and its TTL was not asked for.
pub(super) fn record(value: Bytes) -> Record {
    Record { value, version: None, ttl: None }
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
