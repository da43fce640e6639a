//! PUBLISH, SUBSCRIBE and their kin.
//! It must not know who listens, nor where messages come from (`resp::channels`).

use bytes::Bytes;

use super::{Context, Job, Parsed, Request, args::Name};
use crate::resp::{
    channels::{Ear, Held, Hub, Kind, NAMES_MAX, Subscribed},
    error::Failure,
    reply::Output,
    session::{Session, Shared},
};

/// What is asked about channels.
#[derive(Debug)]
pub(in crate::resp) enum Ask {
    Publish(Kind, Bytes, Bytes),
    Channels(Kind, Option<Bytes>),
    Listeners(Kind, Vec<Bytes>),
    Patterns,
}

/// What is answered.
#[derive(Debug)]
pub(in crate::resp) enum Answer {
    Count(i64),
    Names(Vec<Bytes>),
    Counts(Vec<(Bytes, i64)>),
}

/// Asks.
///
/// # Errors
/// Those of Redis.
pub(in crate::resp) async fn run(hub: &Hub, ask: Ask) -> Parsed<Answer> {
    Ok(match ask {
        Ask::Publish(kind, channel, payload) => {
            Answer::Count(hub.publish(kind, channel, payload).await?)
        }
        Ask::Channels(kind, pattern) => Answer::Names(hub.channels(kind, pattern).await?),
        Ask::Listeners(kind, names) => Answer::Counts(hub.listeners(kind, names).await?),
        Ask::Patterns => Answer::Count(hub.patterns().await?),
    })
}

impl Answer {
    /// Writes it.
    pub(in crate::resp) fn encode(self, out: &mut Output) {
        match self {
            Self::Count(count) => out.integer(count),
            Self::Names(names) => {
                out.array(names.len());
                names.into_iter().for_each(|name| out.bulk_shared(name));
            }
            Self::Counts(counts) => {
                out.array(counts.len() * 2);
                for (name, count) in counts {
                    out.bulk_shared(name);
                    out.integer(count);
                }
            }
        }
    }
}

/// PUBLISH channel message
pub(in crate::resp::command) fn publish(request: &Request<'_>) -> Parsed<Job> {
    tell(request, Kind::Channel)
}

/// SPUBLISH shardchannel message
pub(in crate::resp::command) fn spublish(request: &Request<'_>) -> Parsed<Job> {
    tell(request, Kind::Shard)
}

fn tell(request: &Request<'_>, kind: Kind) -> Parsed<Job> {
    let (channel, payload) = (request.args[1].clone(), request.args[2].clone());
    Ok(Job::Channels(Box::new(Ask::Publish(kind, channel, payload))))
}

/// PUBSUB CHANNELS | NUMSUB | NUMPAT | SHARDCHANNELS | SHARDNUMSUB
pub(in crate::resp::command) fn pubsub(request: &Request<'_>) -> Parsed<Job> {
    let name = Name::of(&request.args[1]);
    let rest = &request.args[2..];
    let ask = match (name.as_ref().map_or(&b""[..], |name| name.as_bytes()), rest) {
        (b"channels", [] | [_]) => Ask::Channels(Kind::Channel, rest.first().cloned()),
        (b"shardchannels", [] | [_]) => Ask::Channels(Kind::Shard, rest.first().cloned()),
        (b"numsub", names) => Ask::Listeners(Kind::Channel, names.to_vec()),
        (b"shardnumsub", names) => Ask::Listeners(Kind::Shard, names.to_vec()),
        (b"numpat", []) => Ask::Patterns,
        _ => {
            let shown = String::from_utf8_lossy(&request.args[1][..request.args[1].len().min(128)]);
            let text = format!(
                "ERR unknown subcommand or wrong number of arguments for '{shown}'. Try PUBSUB HELP."
            );
            return Err(Failure::new(text));
        }
    };
    Ok(Job::Channels(Box::new(ask)))
}

fn begin(context: &mut Context<'_>, kind: Kind) -> Parsed<Option<Job>> {
    let names = context.args[1..].to_vec();
    let already = context.session.subscribed.as_ref().map_or(0, |all| all.len());
    if already + names.len() > NAMES_MAX {
        return Err(Failure::fixed("ERR a connection subscribes to at most 10000 channels"));
    }
    Ok(Some(Job::Subscribe(kind, names)))
}

/// SUBSCRIBE channel [channel ...]
pub(in crate::resp::command) fn subscribe(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    begin(context, Kind::Channel)
}

/// PSUBSCRIBE pattern [pattern ...]
pub(in crate::resp::command) fn psubscribe(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    begin(context, Kind::Pattern)
}

/// SSUBSCRIBE shardchannel [shardchannel ...]
pub(in crate::resp::command) fn ssubscribe(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    begin(context, Kind::Shard)
}

/// Listens to what is told of here by now, and says so.
pub(in crate::resp) fn begun(
    shared: &Shared,
    session: &mut Session,
    out: &mut Output,
    kind: Kind,
    held: Vec<Held>,
) {
    let client = &session.client;
    let subscribed = session.subscribed.get_or_insert_with(|| {
        let max = usize::try_from(shared.config().subscriber_buffer_max).unwrap_or(usize::MAX);
        let ear = Ear::new(client.id, std::sync::Arc::clone(&client.wake), max);
        Box::new(Subscribed::new(std::sync::Arc::clone(&shared.hub), ear))
    });
    for held in held {
        let name = held.name().1.clone();
        subscribed.add(held);
        confirm(out, kind.words()[0], Some(name), subscribed.count(kind));
    }
}

fn confirm(out: &mut Output, word: &str, name: Option<Bytes>, count: i64) {
    out.push(3);
    out.bulk(word.as_bytes());
    out.optional(name);
    out.integer(count);
}

fn end(context: &mut Context<'_>, kind: Kind) -> Parsed<Option<Job>> {
    let word = kind.words()[1];
    let subscribed = context.session.subscribed.as_mut();
    let mut names = context.args[1..].to_vec();
    if names.is_empty() {
        names = subscribed.as_ref().map(|subscribed| subscribed.of(kind)).unwrap_or_default();
    }
    let Some(subscribed) = subscribed.filter(|_| !names.is_empty()) else {
        let count = context.session.subscribed.as_ref().map_or(0, |all| all.count(kind));
        match names.is_empty() {
            true => confirm(context.out, word, None, count),
            false => names.into_iter().for_each(|name| confirm(context.out, word, Some(name), 0)),
        }
        return Ok(None);
    };
    for name in names {
        subscribed.remove(kind, &name);
        confirm(context.out, word, Some(name), subscribed.count(kind));
    }
    if subscribed.is_empty() {
        context.session.subscribed = None;
    }
    Ok(None)
}

/// UNSUBSCRIBE [channel ...]
pub(in crate::resp::command) fn unsubscribe(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    end(context, Kind::Channel)
}

/// PUNSUBSCRIBE [pattern ...]
pub(in crate::resp::command) fn punsubscribe(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    end(context, Kind::Pattern)
}

/// SUNSUBSCRIBE [shardchannel ...]
pub(in crate::resp::command) fn sunsubscribe(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    end(context, Kind::Shard)
}
