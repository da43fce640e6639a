//! MAINSTAY.*: the state of the storage, its events, and a breaker by hand, from redis-cli.
//! It must not know how a breaker decides.

use std::time::Duration;

use bytes::Bytes;
use mainstay::{Actor, BreakerCommand, config::text::parse_duration};

use super::{Context, help};
use crate::{
    access::Door,
    resp::{
        command::{
            Parsed,
            args::{integer, is},
        },
        error::Failure,
    },
};

/// How long a breaker is forced when no time is given.
const FORCED: Duration = Duration::from_secs(600);

/// Events that are listed when no number is given.
const EVENTS: usize = 20;

const HELP: [&str; 19] = [
    "MAINSTAY.<command>:",
    "META key",
    "    Where the value of a key comes from, whether it is stale, its version and time to live.",
    "INVALIDATE KEY key [key ...] | PREFIX prefix [prefix ...] | TAG tag [tag ...]",
    "    Ends values that were loaded, before their time.",
    "STATUS",
    "    The state of the storage and its backends, as JSON.",
    "LOCK name [TTL duration] [WAIT duration] [REQUIRE fenced|best_effort|host|process] [NOTE text]",
    "    Takes a lock: holder, fencing token, guarantee, milliseconds; nil while somebody else holds it.",
    "RENEW name holder token [TTL duration]",
    "    Renews it from now on: 0 when its lease had ended.",
    "UNLOCK name holder token",
    "    Releases it: 0 when its lease had ended before.",
    "BREAKER backend open|closed|auto [FOR duration] [REASON text]",
    "    Forces a breaker for a time (10m if none is given, at most a day), or lets it decide again.",
    "EVENTS [count]",
    "    The last events, oldest first, as JSON.",
    "HELP",
    "    Prints this help.",
];

/// MAINSTAY.HELP
pub(in crate::resp::command) fn own_help(context: &mut Context<'_>) -> Parsed<()> {
    help(context.out, &HELP);
    Ok(())
}

/// MAINSTAY.STATUS
pub(in crate::resp::command) fn status(context: &mut Context<'_>) -> Parsed<()> {
    let status = context.shared.storage.status();
    context.out.verbatim(&json(&status)?);
    Ok(())
}

/// MAINSTAY.EVENTS [count]
pub(in crate::resp::command) fn events(context: &mut Context<'_>) -> Parsed<()> {
    let count = match &context.args[1..] {
        [] => EVENTS,
        [count] => usize::try_from(integer(count)?).map_err(|_| Failure::NOT_INTEGER)?,
        _ => return Err(Failure::arity("mainstay.events")),
    };
    let events = context.shared.storage.events().since(0);
    let events = &events[events.len().saturating_sub(count)..];
    let mut lines = Vec::new();
    for event in events {
        lines.push(json(&**event)?);
    }
    context.out.array(lines.len());
    lines.iter().for_each(|line| context.out.bulk(line.as_bytes()));
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Parsed<String> {
    serde_json::to_string(value)
        .map_err(|error| Failure::new(format!("ERR internal error: {error}")))
}

/// MAINSTAY.BREAKER backend open|closed|auto [FOR duration] [REASON text ...]
pub(in crate::resp::command) fn breaker(context: &mut Context<'_>) -> Parsed<()> {
    let (backend, state) = (&context.args[1], &context.args[2]);
    let (lasting, reason) = lasting_and_reason(&context.args[3..])?;
    let command = if is(state, "open") {
        BreakerCommand::ForceOpen(lasting)
    } else if is(state, "closed") {
        BreakerCommand::ForceClosed(lasting)
    } else if is(state, "auto") {
        BreakerCommand::Auto
    } else {
        return Err(Failure::SYNTAX);
    };
    let door = format!("resp {}", context.session.client.peer.ip());
    let user = context.session.user();
    let actor = Actor::new(user.map_or(door.clone(), |user| user.signed(Door::Resp, door)));
    let backend = String::from_utf8_lossy(backend);
    context.shared.storage.breaker_by(&backend, command, &reason, &actor)?;
    context.out.ok();
    Ok(())
}

fn lasting_and_reason(mut rest: &[Bytes]) -> Parsed<(Duration, String)> {
    let (mut lasting, mut reason) = (FORCED, "no reason given".to_owned());
    loop {
        rest = match rest {
            [] => return Ok((lasting, reason)),
            [word, duration, rest @ ..] if is(word, "for") => {
                lasting = parse_duration(&String::from_utf8_lossy(duration))
                    .map_err(|problem| Failure::new(format!("ERR {problem}")))?;
                rest
            }
            [word, words @ ..] if is(word, "reason") && !words.is_empty() => {
                // Everything that is left, so that a sentence needs no quotes.
                let words: Vec<_> =
                    words.iter().map(|word| String::from_utf8_lossy(word)).collect();
                reason = words.join(" ").chars().filter(|c| !c.is_control()).take(200).collect();
                &[]
            }
            _ => return Err(Failure::SYNTAX),
        };
    }
}
