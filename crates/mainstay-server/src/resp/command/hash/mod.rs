//! Hashes: what HSET and its kin ask for, read from their arguments.
//! It must not know how a hash is stored (`mainstay::hash`), nor when it is read and written (`run`).

use bytes::Bytes;
use mainstay::Key;

use super::{
    Job, Parsed, Request,
    args::{integer, is, key},
};
use crate::resp::error::Failure;

mod apply;
mod run;

pub(in crate::resp) use apply::{Answer, read, write};
pub(in crate::resp) use run::{Turns, run};

/// One command on one hash.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) struct Call {
    pub(in crate::resp) key: Key,
    pub(in crate::resp) ask: Ask,
}

/// What it asks for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) enum Ask {
    Read(Read),
    Write(Write),
}

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) enum Read {
    Value(Bytes),
    Values(Vec<Bytes>),
    All,
    Fields,
    AllValues,
    Exists(Bytes),
    Count,
    Length(Bytes),
    /// All of them on one page, as Redis answers for a small hash.
    Scan {
        pattern: Option<Bytes>,
        values: bool,
    },
}

/// A change.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) enum Write {
    /// HSET, or HMSET, which says OK.
    Set {
        pairs: Vec<(Bytes, Bytes)>,
        says_ok: bool,
    },
    SetAbsent(Bytes, Bytes),
    Delete(Vec<Bytes>),
    Add(Bytes, i64),
    AddFloat(Bytes, f64),
}

fn ask(request: &Request<'_>, read: Read) -> Parsed<Job> {
    Ok(Job::Hash(Box::new(Call { key: key(&request.args[1]), ask: Ask::Read(read) })))
}

fn change(request: &Request<'_>, write: Write) -> Parsed<Job> {
    Ok(Job::Hash(Box::new(Call { key: key(&request.args[1]), ask: Ask::Write(write) })))
}

/// HGET key field
pub(in crate::resp::command) fn hget(request: &Request<'_>) -> Parsed<Job> {
    ask(request, Read::Value(request.args[2].clone()))
}

/// HMGET key field [field ...]
pub(in crate::resp::command) fn hmget(request: &Request<'_>) -> Parsed<Job> {
    ask(request, Read::Values(request.args[2..].to_vec()))
}

/// HGETALL key
pub(in crate::resp::command) fn hgetall(request: &Request<'_>) -> Parsed<Job> {
    ask(request, Read::All)
}

/// HKEYS key
pub(in crate::resp::command) fn hkeys(request: &Request<'_>) -> Parsed<Job> {
    ask(request, Read::Fields)
}

/// HVALS key
pub(in crate::resp::command) fn hvals(request: &Request<'_>) -> Parsed<Job> {
    ask(request, Read::AllValues)
}

/// HEXISTS key field
pub(in crate::resp::command) fn hexists(request: &Request<'_>) -> Parsed<Job> {
    ask(request, Read::Exists(request.args[2].clone()))
}

/// HLEN key
pub(in crate::resp::command) fn hlen(request: &Request<'_>) -> Parsed<Job> {
    ask(request, Read::Count)
}

/// HSTRLEN key field
pub(in crate::resp::command) fn hstrlen(request: &Request<'_>) -> Parsed<Job> {
    ask(request, Read::Length(request.args[2].clone()))
}

/// HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]
pub(in crate::resp::command) fn hscan(request: &Request<'_>) -> Parsed<Job> {
    let cursor = std::str::from_utf8(&request.args[2]).ok().and_then(|text| text.parse().ok());
    let _: u64 = cursor.ok_or(Failure::CURSOR)?;
    let (mut pattern, mut values) = (None, true);
    let mut rest = &request.args[3..];
    loop {
        rest = match rest {
            [] => break,
            [word, rest @ ..] if is(word, "novalues") => {
                values = false;
                rest
            }
            [word, value, rest @ ..] if is(word, "match") => {
                pattern = Some(value.clone());
                rest
            }
            [word, count, rest @ ..] if is(word, "count") => {
                if integer(count)? < 1 {
                    return Err(Failure::SYNTAX);
                }
                rest
            }
            _ => return Err(Failure::SYNTAX),
        };
    }
    ask(request, Read::Scan { pattern, values })
}

fn pairs(request: &Request<'_>, command: &str, says_ok: bool) -> Parsed<Job> {
    let (pairs, left_over) = request.args[2..].as_chunks::<2>();
    if !left_over.is_empty() {
        return Err(Failure::arity(command));
    }
    let pairs = pairs.iter().map(|[field, value]| (field.clone(), value.clone())).collect();
    change(request, Write::Set { pairs, says_ok })
}

/// HSET key field value [field value ...]
pub(in crate::resp::command) fn hset(request: &Request<'_>) -> Parsed<Job> {
    pairs(request, "hset", false)
}

/// HMSET key field value [field value ...]
pub(in crate::resp::command) fn hmset(request: &Request<'_>) -> Parsed<Job> {
    pairs(request, "hmset", true)
}

/// HSETNX key field value
pub(in crate::resp::command) fn hsetnx(request: &Request<'_>) -> Parsed<Job> {
    change(request, Write::SetAbsent(request.args[2].clone(), request.args[3].clone()))
}

/// HDEL key field [field ...]
pub(in crate::resp::command) fn hdel(request: &Request<'_>) -> Parsed<Job> {
    change(request, Write::Delete(request.args[2..].to_vec()))
}

/// HINCRBY key field increment
pub(in crate::resp::command) fn hincrby(request: &Request<'_>) -> Parsed<Job> {
    change(request, Write::Add(request.args[2].clone(), integer(&request.args[3])?))
}

/// HINCRBYFLOAT key field increment
pub(in crate::resp::command) fn hincrbyfloat(request: &Request<'_>) -> Parsed<Job> {
    let text = std::str::from_utf8(&request.args[3]).ok();
    let by: f64 = text.and_then(|text| text.parse().ok()).ok_or(Failure::NOT_FLOAT)?;
    if !by.is_finite() {
        return Err(Failure::fixed("ERR value is NaN or Infinity"));
    }
    change(request, Write::AddFloat(request.args[2].clone(), by))
}
