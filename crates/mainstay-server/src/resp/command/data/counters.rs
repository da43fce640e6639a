//! INCR and its kin.
//! It must not know how the sum is computed.

use mainstay::Op;

use crate::resp::{
    command::{
        Job, Parsed, Request,
        args::{integer, key},
        encode,
    },
    error::Failure,
};

fn by(request: &Request<'_>, by: i64) -> Parsed<Job> {
    Ok(Job::Op(Op::Increment { key: key(&request.args[1]), by }, encode::computed))
}

/// INCR key
pub(in crate::resp::command) fn incr(request: &Request<'_>) -> Parsed<Job> {
    by(request, 1)
}

/// DECR key
pub(in crate::resp::command) fn decr(request: &Request<'_>) -> Parsed<Job> {
    by(request, -1)
}

/// INCRBY key increment
pub(in crate::resp::command) fn incrby(request: &Request<'_>) -> Parsed<Job> {
    by(request, integer(&request.args[2])?)
}

/// DECRBY key decrement
pub(in crate::resp::command) fn decrby(request: &Request<'_>) -> Parsed<Job> {
    let negated = integer(&request.args[2])?.checked_neg();
    by(request, negated.ok_or(Failure::fixed("ERR decrement would overflow"))?)
}

/// INCRBYFLOAT key increment
pub(in crate::resp::command) fn incrbyfloat(request: &Request<'_>) -> Parsed<Job> {
    let text = std::str::from_utf8(&request.args[2]).map_err(|_| Failure::NOT_FLOAT)?;
    let by: f64 = text.parse().map_err(|_| Failure::NOT_FLOAT)?;
    if by.is_nan() {
        return Err(Failure::NOT_FLOAT);
    }
    if by.is_infinite() {
        return Err(Failure::fixed("ERR increment would produce NaN or Infinity"));
    }
    Ok(Job::Op(Op::IncrementFloat { key: key(&request.args[1]), by }, encode::computed_text))
}
