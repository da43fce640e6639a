//! Ending loaded values before their time: MAINSTAY.INVALIDATE.
//! It must not know where they stand.

use bytes::Bytes;
use mainstay::Key;

use crate::resp::{
    command::{
        Job, Parsed, Request,
        args::is,
        sequence::{Invalidation, Sequence},
    },
    error::Failure,
};

/// MAINSTAY.INVALIDATE KEY key [key ...] | PREFIX prefix [prefix ...] | TAG tag [tag ...]
pub(in crate::resp::command) fn invalidate(request: &Request<'_>) -> Parsed<Job> {
    let (kind, names) = (&request.args[1], &request.args[2..]);
    let each = |of: fn(&Bytes) -> Parsed<Invalidation>| names.iter().map(of).collect::<Parsed<_>>();
    let ends = if is(kind, "key") {
        each(|name| Ok(Invalidation::Key(Key::from(name.clone()))))?
    } else if is(kind, "prefix") {
        each(|name| Ok(Invalidation::Prefix(name.clone())))?
    } else if is(kind, "tag") {
        each(|name| match std::str::from_utf8(name) {
            Ok(tag) => Ok(Invalidation::Tag(tag.to_owned())),
            Err(_) => Err(Failure::fixed("ERR a tag is UTF-8 text")),
        })?
    } else {
        return Err(Failure::SYNTAX);
    };
    Ok(Job::sequence(Sequence::Invalidate(ends)))
}
