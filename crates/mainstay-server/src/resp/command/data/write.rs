//! Writing and deleting whole values: SET with its options, SETEX, MSET, DEL, DELEX and the like.
//! It must not know how conditions are checked.

use bytes::Bytes;
use mainstay::{Condition, Op, TtlChange};

use crate::resp::{
    command::{
        Job, Parsed, Request,
        args::{From, Unit, expiry, expiry_keyword, is, key, keys},
        encode,
    },
    error::Failure,
};

/// SET key value [NX | XX | IFEQ value | IFNE value] [GET] [EX .. | PX .. | EXAT .. | PXAT .. | KEEPTTL]
pub(in crate::resp::command) fn set(request: &Request<'_>) -> Parsed<Job> {
    let mut options = SetOptions::default();
    let mut rest = &request.args[3..];
    while !rest.is_empty() {
        rest = options.read(rest, request)?;
    }
    let op = Op::Set {
        key: key(&request.args[1]),
        value: request.args[2].clone(),
        ttl: options.ttl.unwrap_or(TtlChange::Clear),
        condition: options.condition.unwrap_or(Condition::Always),
        want_previous: options.get,
    };
    Ok(Job::Op(op, if options.get { encode::previous } else { encode::ok_or_null }))
}

#[derive(Default)]
struct SetOptions {
    ttl: Option<TtlChange>,
    condition: Option<Condition>,
    get: bool,
}

impl SetOptions {
    /// Reads one option; returns what follows it.
    fn read<'a>(&mut self, rest: &'a [Bytes], request: &Request<'_>) -> Parsed<&'a [Bytes]> {
        let (option, rest) = rest.split_first().ok_or(Failure::SYNTAX)?;
        if is(option, "get") {
            self.get = true;
            return Ok(rest);
        }
        if is(option, "keepttl") {
            return once(&mut self.ttl, TtlChange::Keep, rest);
        }
        if is(option, "nx") {
            return once(&mut self.condition, Condition::Absent, rest);
        }
        if is(option, "xx") {
            return once(&mut self.condition, Condition::Present, rest);
        }
        let (value, rest) = rest.split_first().ok_or(Failure::SYNTAX)?;
        if let Some(kind) = expiry_keyword(option) {
            if self.ttl.is_some() {
                return Err(Failure::SYNTAX);
            }
            return once(&mut self.ttl, expiry("set", value, kind, request.clock)?, rest);
        }
        once(&mut self.condition, comparison(option, value)?, rest)
    }
}

/// An option that excludes the others of its kind.
fn once<'a, T>(place: &mut Option<T>, value: T, rest: &'a [Bytes]) -> Parsed<&'a [Bytes]> {
    match place.replace(value) {
        None => Ok(rest),
        Some(_) => Err(Failure::SYNTAX),
    }
}

/// `IFEQ value`, `IFNE value`.
fn comparison(option: &[u8], value: &Bytes) -> Parsed<Condition> {
    if is(option, "ifeq") {
        Ok(Condition::ValueIs(value.clone()))
    } else if is(option, "ifne") {
        Ok(Condition::ValueIsNot(value.clone()))
    } else {
        Err(Failure::SYNTAX)
    }
}

/// SETNX key value
pub(in crate::resp::command) fn setnx(request: &Request<'_>) -> Parsed<Job> {
    let op = Op::Set {
        key: key(&request.args[1]),
        value: request.args[2].clone(),
        ttl: TtlChange::Clear,
        condition: Condition::Absent,
        want_previous: false,
    };
    Ok(Job::Op(op, encode::applied))
}

/// SETEX key seconds value
pub(in crate::resp::command) fn setex(request: &Request<'_>) -> Parsed<Job> {
    set_expiring(request, "setex", Unit::Seconds)
}

/// PSETEX key milliseconds value
pub(in crate::resp::command) fn psetex(request: &Request<'_>) -> Parsed<Job> {
    set_expiring(request, "psetex", Unit::Milliseconds)
}

fn set_expiring(request: &Request<'_>, command: &str, unit: Unit) -> Parsed<Job> {
    let op = Op::Set {
        key: key(&request.args[1]),
        value: request.args[3].clone(),
        ttl: expiry(command, &request.args[2], (unit, From::Now), request.clock)?,
        condition: Condition::Always,
        want_previous: false,
    };
    Ok(Job::Op(op, encode::ok))
}

/// MSET key value [key value ...]
pub(in crate::resp::command) fn mset(request: &Request<'_>) -> Parsed<Job> {
    Ok(Job::Op(set_many(request, "mset", false)?, encode::ok))
}

/// MSETNX key value [key value ...]
pub(in crate::resp::command) fn msetnx(request: &Request<'_>) -> Parsed<Job> {
    Ok(Job::Op(set_many(request, "msetnx", true)?, encode::applied))
}

fn set_many(request: &Request<'_>, command: &str, all_absent: bool) -> Parsed<Op> {
    let (pairs, left_over) = request.args[1..].as_chunks::<2>();
    if !left_over.is_empty() {
        return Err(Failure::arity(command));
    }
    let entries = pairs.iter().map(|[name, value]| (key(name), value.clone())).collect();
    Ok(Op::SetMany { entries, ttl: TtlChange::Clear, all_absent })
}

/// DEL key [key ...], and UNLINK
pub(in crate::resp::command) fn del(request: &Request<'_>) -> Parsed<Job> {
    if let [_, name] = request.args {
        let op = Op::Delete { key: key(name), condition: Condition::Always, want_previous: false };
        return Ok(Job::Op(op, encode::applied));
    }
    Ok(Job::Op(Op::DeleteMany { keys: keys(&request.args[1..]) }, encode::integer))
}

/// DELEX key [IFEQ value | IFNE value]
pub(in crate::resp::command) fn delex(request: &Request<'_>) -> Parsed<Job> {
    let condition = match &request.args[2..] {
        [] => Condition::Always,
        [option, value] => comparison(option, value)?,
        _ => return Err(Failure::SYNTAX),
    };
    let op = Op::Delete { key: key(&request.args[1]), condition, want_previous: false };
    Ok(Job::Op(op, encode::applied))
}
