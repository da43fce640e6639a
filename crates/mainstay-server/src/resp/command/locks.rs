//! MAINSTAY.LOCK, RENEW and UNLOCK: locks that a client holds by what names the grant.
//! It must not renew anything by itself.

use std::time::Duration;

use bytes::Bytes;
use mainstay::{
    Key, Result, Storage,
    config::text::parse_duration,
    lock::{Asked, Claim, Guarantee, LockOptions, Released},
};

use super::{
    Job, Parsed, Request,
    args::is,
    sequence::{Outcome, Sequence},
};
use crate::resp::error::Failure;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) enum LockCommand {
    /// MAINSTAY.LOCK
    Lock {
        name: Key,
        ttl: Option<Duration>,
        wait: Duration,
        require: Option<Guarantee>,
        note: Option<String>,
    },
    /// MAINSTAY.RENEW
    Renew { claim: Claim, ttl: Duration },
    /// MAINSTAY.UNLOCK
    Unlock { claim: Claim },
}

/// MAINSTAY.LOCK name [TTL duration] [WAIT duration] [REQUIRE guarantee] [NOTE text]
pub(super) fn lock(request: &Request<'_>) -> Parsed<Job> {
    let (mut ttl, mut wait, mut require, mut note) = (None, Duration::ZERO, None, None);
    let mut rest = &request.args[2..];
    while let [word, value, more @ ..] = rest {
        if is(word, "ttl") {
            ttl = Some(duration(value)?);
        } else if is(word, "wait") {
            wait = duration(value)?;
        } else if is(word, "require") {
            let word = String::from_utf8_lossy(value).to_ascii_lowercase();
            require = Some(Guarantee::named(&word).ok_or(Failure::SYNTAX)?);
        } else if is(word, "note") {
            note = Some(String::from_utf8_lossy(value).into_owned());
        } else {
            return Err(Failure::SYNTAX);
        }
        rest = more;
    }
    if !rest.is_empty() {
        return Err(Failure::SYNTAX);
    }
    let name = Key::from(request.args[1].clone());
    Ok(job(LockCommand::Lock { name, ttl, wait, require, note }))
}

/// MAINSTAY.RENEW name holder token [TTL duration]
pub(super) fn renew(request: &Request<'_>) -> Parsed<Job> {
    let ttl = match &request.args[4..] {
        [] => LockOptions::TTL,
        [word, value] if is(word, "ttl") => duration(value)?,
        _ => return Err(Failure::SYNTAX),
    };
    Ok(job(LockCommand::Renew { claim: claim(request)?, ttl }))
}

/// MAINSTAY.UNLOCK name holder token
pub(super) fn unlock(request: &Request<'_>) -> Parsed<Job> {
    Ok(job(LockCommand::Unlock { claim: claim(request)? }))
}

/// Performs it.
pub(super) async fn run(storage: &Storage, command: LockCommand) -> Result<Outcome> {
    let locks = storage.locks();
    match command {
        LockCommand::Lock { name, ttl, wait, require, note } => {
            let options = LockOptions { ttl, wait: Some(wait), require, renew: false, note };
            Ok(Outcome::Grant(match locks.ask(name, &options).await? {
                Asked::Granted(grant) => Some(grant),
                Asked::Held { .. } => None,
            }))
        }
        LockCommand::Renew { claim, ttl } => {
            Ok(Outcome::Applied(locks.renew(&claim, ttl).await?.is_some()))
        }
        LockCommand::Unlock { claim } => match locks.release(&claim).await? {
            Released::Released => Ok(Outcome::Applied(true)),
            Released::AlreadyLost => Ok(Outcome::Applied(false)),
            Released::Unknown => Err(mainstay::Error::new(
                mainstay::ErrorKind::Timeout,
                "no answer came: it is tried again, and ends by itself with its lease",
            )),
        },
    }
}

fn job(command: LockCommand) -> Job {
    Job::sequence(Sequence::Lock(command))
}

fn claim(request: &Request<'_>) -> Parsed<Claim> {
    let text = |arg: &Bytes| String::from_utf8_lossy(arg).into_owned();
    let holder = u128::from_str_radix(&text(&request.args[2]), 16);
    let holder =
        holder.map_err(|_| Failure::fixed("ERR the holder is as MAINSTAY.LOCK gave it"))?;
    let token = text(&request.args[3]).parse().map_err(|_| Failure::NOT_INTEGER)?;
    Ok(Claim { name: Key::from(request.args[1].clone()), holder, token })
}

fn duration(text: &Bytes) -> Parsed<Duration> {
    parse_duration(&String::from_utf8_lossy(text))
        .map_err(|problem| Failure::new(format!("ERR {problem}")))
}
