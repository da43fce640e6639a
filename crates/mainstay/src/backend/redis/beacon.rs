//! Who the server is, and what its beacon says, over every connection that serves reads.
//! It must not know what follows from the answer, nor deadlines.

use std::collections::BTreeSet;

use futures_util::future::{join_all, try_join_all};
use redis::{Cmd, Script, Value};

use super::{
    classify,
    client::{Client, Node},
    command,
    info::{self, Info},
    reply,
};
use crate::{
    clock::Instant,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    op::Beacon,
};

/// Raises a number if it stands at ARGV[1]; what it is then. Sent once a lease at most, hence whole.
const RAISE: &str = "\
    local stands = redis.call('GET', KEYS[1]) or '0'\n\
    if stands == ARGV[1] then return redis.call('INCR', KEYS[1]) end\n\
    return tonumber(stands) or 0";

/// What one connection answered.
struct Answer {
    identity: String,
    /// Where the key was asked for.
    beacon: Option<u64>,
    now_ms: i64,
    evicts: bool,
}

/// Asks over all connections: one that still leads to an old master must not be missed. The lowest beacon counts.
///
/// # Errors
/// `WrongNode` when a server is no master, or when the connections to one server lead to several.
pub(super) async fn ask(
    client: &Client,
    key: &Key,
    raise: Option<u64>,
    now: Instant,
) -> Result<Beacon> {
    let answers = if let Some(from) = raise {
        // The others are asked afterwards, so that all of them see the number after raising.
        raised(client, key, from, now).await.map_err(|error| error.with_effect(Effect::Unknown))
    } else {
        let get = command::on("GET", key);
        let own = client.index_of(key)?;
        let nodes = client.nodes().iter().enumerate();
        let asked = nodes.map(|(at, node)| {
            let command = (client.slots().is_none() || at == own).then_some(&get);
            ask_node(client, node, command, now)
        });
        try_join_all(asked).await
    };
    let found = answers.and_then(|answers| together(client, &answers));
    if raise.is_some() { found.map_err(|error| error.with_effect(Effect::Unknown)) } else { found }
}

async fn raised(client: &Client, key: &Key, from: u64, now: Instant) -> Result<Vec<Answer>> {
    let get = command::on("GET", key);
    let raise = redis::cmd("EVAL").arg(RAISE).arg(1).arg(key.as_bytes()).arg(from).take();
    let own = client.index_of(key)?;
    let first = ask_node(client, &client.nodes()[own], Some(&raise), now).await?;
    let others = client.nodes().iter().enumerate().filter(|(at, _)| *at != own);
    let command = client.slots().is_none().then_some(&get);
    let others = others.map(|(_, node)| ask_node(client, node, command, now));
    let others: Result<Vec<Answer>> = join_all(others).await.into_iter().collect();
    let mut answers = others?;
    answers.push(first);
    Ok(answers)
}

async fn ask_node(
    client: &Client,
    node: &Node,
    command: Option<&Cmd>,
    now: Instant,
) -> Result<Answer> {
    let known = node.evicts(now);
    let mut questions = info::questions();
    questions.cmd("TIME");
    if known.is_none() {
        questions.add_command(info::memory());
    }
    if let Some(command) = command {
        questions.add_command(command.clone());
    }
    let mut replies = node.send_all(&questions).await?.into_iter();
    let mut info = Info::read(&mut replies)?;
    let now_ms = unix_ms(classify::reply(replies.next().unwrap_or_default())?)?;
    let evicts = match known {
        Some(evicts) => evicts,
        None => {
            info.add(replies.next().unwrap_or_default())?;
            node.note_evicts(now, info.evicts());
            info.evicts()
        }
    };
    let identity = info.identity()?;
    let beacon = match command {
        Some(command) => {
            let value = replies.next().unwrap_or_default();
            Some(number(client.insist(node, value, command, None).await?)?)
        }
        None => None,
    };
    Ok(Answer { identity, beacon, now_ms, evicts })
}

fn together(client: &Client, answers: &[Answer]) -> Result<Beacon> {
    let identities: BTreeSet<&str> = answers.iter().map(|answer| &*answer.identity).collect();
    let names: Vec<&str> = identities.into_iter().collect();
    let identity = match (client.slots().is_some(), &names[..]) {
        (false, [one]) => (*one).to_owned(),
        (false, _) => {
            let message = "the connections lead to different servers";
            return Err(Error::new(ErrorKind::WrongNode, message));
        }
        // SHA-1, as scripts are named: short however many masters there are.
        (true, names) => Script::new(&names.join(",")).get_hash().to_owned(),
    };
    Ok(Beacon {
        beacon: answers.iter().filter_map(|answer| answer.beacon).min().unwrap_or(0),
        identity,
        // The latest: nothing is then thought younger than it is.
        now_ms: answers.iter().map(|answer| answer.now_ms).max().unwrap_or(0),
        evicts: answers.iter().any(|answer| answer.evicts),
    })
}

/// A beacon: an integer, or its text; 0 when there is none or it is none.
fn number(value: Value) -> Result<u64> {
    if let Value::Int(number) = value {
        return Ok(u64::try_from(number).unwrap_or(0));
    }
    let text = reply::optional_bytes(value)?;
    let number = text.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
    Ok(number.unwrap_or(0))
}

/// The reply to TIME.
fn unix_ms(value: Value) -> Result<i64> {
    let Value::Array(parts) = value else { return Err(classify::out_of_step(&value)) };
    let part = |at: usize| match parts.get(at) {
        Some(Value::BulkString(digits)) => std::str::from_utf8(digits).ok()?.parse::<i64>().ok(),
        _ => None,
    };
    match (part(0), part(1)) {
        (Some(seconds), Some(micros)) => Ok(seconds * 1000 + micros / 1000),
        _ => Err(classify::out_of_step(&Value::Nil)),
    }
}
