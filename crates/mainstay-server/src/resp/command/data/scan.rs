//! All keys, in pages or at once: SCAN, KEYS, RANDOMKEY, DBSIZE, FLUSHDB.
//! It must not know how the storage's cursors are made.

use bytes::Bytes;
use mainstay::Op;

use crate::resp::{
    command::{
        Job, Parsed, Request,
        args::{integer, is},
        encode,
        sequence::{Filter, Sequence},
    },
    error::Failure,
};

/// The largest page that a client gets, whatever COUNT says.
const PAGE_MAX: usize = 10_000;

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
pub(in crate::resp::command) fn scan(request: &Request<'_>) -> Parsed<Job> {
    let number = cursor(&request.args[1])?;
    let (mut pattern, mut limit) = (None, 10);
    let (mut nothing, mut hashes) = (false, None);
    let (options, left_over) = request.args[2..].as_chunks::<2>();
    for [option, value] in options {
        if is(option, "match") {
            pattern = Some(value.clone());
        } else if is(option, "count") {
            limit = match usize::try_from(integer(value)?) {
                Ok(limit) if limit > 0 => limit.min(PAGE_MAX),
                _ => return Err(Failure::SYNTAX),
            };
        } else if is(option, "type") {
            hashes = Some(is(value, "hash"));
            nothing = !is(value, "hash") && !is(value, "string");
        } else {
            return Err(Failure::SYNTAX);
        }
    }
    if !left_over.is_empty() {
        return Err(Failure::SYNTAX);
    }
    let filter = if nothing { Filter::Nothing } else { Filter::of(pattern) };
    let hashes = hashes.filter(|_| !nothing);
    let (prefix, cursor) = place(request, number, filter.prefix())?;
    Ok(Job::sequence(Sequence::Scan { prefix, cursor, limit, filter, hashes }))
}

/// Redis reads cursors with `strtoul`: a minus wraps, which no client sends.
fn cursor(arg: &[u8]) -> Parsed<u64> {
    let text = std::str::from_utf8(arg).map_err(|_| Failure::CURSOR)?;
    text.parse().map_err(|_| Failure::CURSOR)
}

/// Where to go on. A scan goes on under the prefix that it was begun with.
fn place(request: &Request<'_>, number: u64, prefix: Bytes) -> Parsed<(Bytes, Option<Bytes>)> {
    if number == 0 {
        return Ok((prefix, None));
    }
    let place = request.cursors.find(number).ok_or(Failure::CURSOR)?;
    if !prefix.starts_with(&place.prefix) {
        return Err(Failure::CURSOR);
    }
    Ok((place.prefix, Some(place.next)))
}

/// KEYS pattern
pub(in crate::resp::command) fn keys(request: &Request<'_>) -> Parsed<Job> {
    let filter = Filter::of(Some(request.args[1].clone()));
    Ok(Job::sequence(Sequence::Keys { filter }))
}

/// RANDOMKEY
pub(in crate::resp::command) fn randomkey(request: &Request<'_>) -> Parsed<Job> {
    // Any key will do; the clock chooses one of the first page.
    Ok(Job::sequence(Sequence::AnyKey { choice: request.clock.unix_us() }))
}

/// DBSIZE
pub(in crate::resp::command) fn dbsize(_: &Request<'_>) -> Parsed<Job> {
    Ok(Job::Op(Op::Count { prefix: Bytes::new() }, encode::integer))
}

/// FLUSHDB [ASYNC | SYNC], and FLUSHALL
pub(in crate::resp::command) fn flush(request: &Request<'_>) -> Parsed<Job> {
    match &request.args[1..] {
        [] => {}
        [mode] if is(mode, "async") || is(mode, "sync") => {}
        _ => return Err(Failure::SYNTAX),
    }
    if !request.allow_flush {
        return Err(Failure::fixed(
            "ERR FLUSHDB and FLUSHALL are refused here: set resp.allow_flush = true to allow them",
        ));
    }
    Ok(Job::sequence(Sequence::Flush))
}
