//! Keys as such: EXISTS, TYPE, RENAME, COPY, and what Mainstay knows about one.
//! It must not know values.

use mainstay::Op;

use crate::resp::{
    command::{
        Job, Parsed, Request,
        args::{integer, is, key, keys},
        encode,
        part::Part,
        sequence::Sequence,
    },
    error::Failure,
};

/// EXISTS key [key ...], and TOUCH
pub(in crate::resp::command) fn exists(request: &Request<'_>) -> Parsed<Job> {
    Ok(Job::Op(Op::Exists { keys: keys(&request.args[1..]) }, encode::integer))
}

/// TYPE key
pub(in crate::resp::command) fn type_of(request: &Request<'_>) -> Parsed<Job> {
    Ok(Job::Part(key(&request.args[1]), Part::Type))
}

/// RENAME key newkey
pub(in crate::resp::command) fn rename(request: &Request<'_>) -> Parsed<Job> {
    let op = Op::Move {
        from: key(&request.args[1]),
        to: key(&request.args[2]),
        keep_source: false,
        replace: true,
    };
    Ok(Job::Op(op, encode::ok))
}

/// RENAMENX key newkey
pub(in crate::resp::command) fn renamenx(request: &Request<'_>) -> Parsed<Job> {
    let op = Op::Move {
        from: key(&request.args[1]),
        to: key(&request.args[2]),
        keep_source: false,
        replace: false,
    };
    Ok(Job::Op(op, encode::applied))
}

/// COPY source destination [DB 0] [REPLACE]
pub(in crate::resp::command) fn copy(request: &Request<'_>) -> Parsed<Job> {
    let mut replace = false;
    let mut rest = &request.args[3..];
    loop {
        rest = match rest {
            [] => break,
            [option, rest @ ..] if is(option, "replace") => {
                replace = true;
                rest
            }
            [option, database, rest @ ..] if is(option, "db") => {
                if integer(database)? != 0 {
                    return Err(Failure::DATABASE);
                }
                rest
            }
            _ => return Err(Failure::SYNTAX),
        };
    }
    let (from, to) = (key(&request.args[1]), key(&request.args[2]));
    if from == to {
        return Err(Failure::fixed("ERR source and destination objects are the same"));
    }
    Ok(Job::sequence(Sequence::Copy { from, to, replace }))
}

/// MAINSTAY.META key
pub(in crate::resp::command) fn meta(request: &Request<'_>) -> Parsed<Job> {
    Ok(Job::Op(Op::Get { key: key(&request.args[1]), with_ttl: true }, encode::meta))
}
