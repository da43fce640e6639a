//! Reading values and changing parts of them: GET, MGET, GETRANGE, APPEND and the like.
//! It must not know SET's options (`write`).

use bytes::Bytes;
use mainstay::{Condition, Op, TtlChange};

use crate::resp::{
    command::{
        Job, Parsed, Request,
        args::{expiry, expiry_keyword, integer, is, key, keys},
        encode,
        part::Part,
        sequence::Sequence,
    },
    error::Failure,
};

/// GET key
pub(in crate::resp::command) fn get(request: &Request<'_>) -> Parsed<Job> {
    Ok(Job::Op(Op::Get { key: key(&request.args[1]), with_ttl: false }, encode::value))
}

/// MGET key [key ...]
pub(in crate::resp::command) fn mget(request: &Request<'_>) -> Parsed<Job> {
    Ok(Job::Op(Op::GetMany { keys: keys(&request.args[1..]) }, encode::values))
}

/// GETSET key value
pub(in crate::resp::command) fn getset(request: &Request<'_>) -> Parsed<Job> {
    let op = Op::Set {
        key: key(&request.args[1]),
        value: request.args[2].clone(),
        ttl: TtlChange::Clear,
        condition: Condition::Always,
        want_previous: true,
    };
    Ok(Job::Op(op, encode::previous))
}

/// GETDEL key
pub(in crate::resp::command) fn getdel(request: &Request<'_>) -> Parsed<Job> {
    let op = Op::Delete {
        key: key(&request.args[1]),
        condition: Condition::Always,
        want_previous: true,
    };
    Ok(Job::Op(op, encode::previous))
}

/// GETEX key [EX seconds | PX ms | EXAT seconds | PXAT ms | PERSIST]
pub(in crate::resp::command) fn getex(request: &Request<'_>) -> Parsed<Job> {
    let ttl = match &request.args[2..] {
        [] => return get(request),
        [option] if is(option, "persist") => TtlChange::Clear,
        [option, value] => {
            let kind = expiry_keyword(option).ok_or(Failure::SYNTAX)?;
            expiry("getex", value, kind, request.clock)?
        }
        _ => return Err(Failure::SYNTAX),
    };
    Ok(Job::sequence(Sequence::GetAndExpire { key: key(&request.args[1]), ttl }))
}

/// STRLEN key
pub(in crate::resp::command) fn strlen(request: &Request<'_>) -> Parsed<Job> {
    Ok(Job::Part(key(&request.args[1]), Part::Length))
}

/// GETRANGE key start end, and SUBSTR
pub(in crate::resp::command) fn getrange(request: &Request<'_>) -> Parsed<Job> {
    let (start, end) = (integer(&request.args[2])?, integer(&request.args[3])?);
    Ok(Job::Part(key(&request.args[1]), Part::Range(start, end)))
}

/// SETRANGE key offset value
pub(in crate::resp::command) fn setrange(request: &Request<'_>) -> Parsed<Job> {
    /// Redis's `proto-max-bulk-len`, which it checks before anything is stored.
    const LENGTH_MAX: u64 = 512 << 20;
    let offset = u64::try_from(integer(&request.args[2])?)
        .map_err(|_| Failure::fixed("ERR offset is out of range"))?;
    let value: Bytes = request.args[3].clone();
    if !value.is_empty() && offset.saturating_add(value.len() as u64) > LENGTH_MAX {
        return Err(Failure::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    Ok(Job::Op(Op::SetRange { key: key(&request.args[1]), offset, value }, encode::computed))
}

/// APPEND key value
pub(in crate::resp::command) fn append(request: &Request<'_>) -> Parsed<Job> {
    let op = Op::Append { key: key(&request.args[1]), value: request.args[2].clone() };
    Ok(Job::Op(op, encode::computed))
}
