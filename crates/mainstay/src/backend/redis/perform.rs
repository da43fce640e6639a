//! Performs one operation on the connections: which requests, in which order, and what their replies say.
//! It must not know deadlines, nor when connections are made and given up.

use futures_util::future::try_join;

use super::{
    client::Client, command, command::Request, connect::Connector, copies, locks, many, raw, reply,
    scan, script, transact,
};
use crate::{
    clock::Clock,
    entry::{Key, Ttl},
    error::{Error, ErrorKind, Result},
    hash,
    op::{Condition, Op, TtlChange},
    reply::Reply,
};

/// Performs one operation.
pub(super) async fn perform(
    client: &Client,
    connector: &Connector,
    op: &Op,
    value_max: usize,
    clock: &Clock,
) -> Result<Reply> {
    // What is rarer, or more than one command, is boxed: it does not make every call's future larger.
    match op {
        Op::Get { key, with_ttl: true } => Box::pin(get_with_ttl(client, key)).await,
        Op::Get { key, .. } => reply::of(op, client.get(key).await?, false, value_max),
        Op::Set {
            key,
            value,
            ttl: TtlChange::Clear,
            condition: Condition::Always,
            want_previous: false,
        } => {
            command::fits(value.len(), value_max)?;
            reply::of(op, client.set(key, value).await?, false, value_max)
        }
        Op::GetRange { key, .. }
        | Op::Length { key }
        | Op::TimeToLive { key }
        | Op::Set { key, .. }
        | Op::Delete { key, .. }
        | Op::Expire { key, .. }
        | Op::Increment { key, .. }
        | Op::IncrementFloat { key, .. }
        | Op::Append { key, .. }
        | Op::SetRange { key, .. } => one(client, key, op, value_max).await,
        Op::Move { from, to, keep_source, replace } => {
            Box::pin(move_key(client, from, to, *keep_source, *replace)).await
        }
        Op::GetMany { keys } => Box::pin(many::get(client, keys)).await,
        Op::Exists { keys } => Box::pin(many::count(client, "EXISTS", keys)).await,
        Op::DeleteMany { keys } => Box::pin(many::count(client, "UNLINK", keys)).await,
        Op::SetMany { entries, ttl, all_absent } => {
            for (_, value) in entries {
                command::fits(value.len(), value_max)?;
            }
            Box::pin(many::set(client, entries, *ttl, *all_absent)).await
        }
        Op::Transact { expected, changes } => {
            Box::pin(transact::perform(client, expected, changes, value_max)).await
        }
        Op::Scan { prefix, cursor, limit } => {
            Box::pin(scan::page(client, prefix, cursor.as_ref(), *limit)).await
        }
        Op::Count { prefix } => Box::pin(scan::count(client, prefix)).await,
        Op::Copy(op) => Box::pin(copies::perform(client, op, value_max, clock)).await,
        Op::Lock(op) => Box::pin(locks::perform(client, op)).await,
        Op::Raw(op) => Box::pin(raw::perform(client, connector, op)).await,
        Op::Query(_) | Op::Record(_) | Op::Fenced { .. } => {
            Err(Error::new(ErrorKind::Unsupported, "not an operation of this engine"))
        }
    }
}

/// One command or script there, one reply back.
async fn one(client: &Client, key: &Key, op: &Op, value_max: usize) -> Result<Reply> {
    let command = match command::request(op, client.is_7(), value_max)? {
        Request::Answered(reply) => return Ok(reply),
        Request::Native(command) => command,
        Request::Script(script, command) => {
            let run = async { client.run(key, script, &command).await };
            return reply::of(op, Box::pin(run).await?, true, value_max);
        }
    };
    match client.once(key, command).await {
        Err(error) if matches!(error.kind(), ErrorKind::NotInteger | ErrorKind::NotFloat) => {
            Err(Box::pin(no_number(client, key, error)).await)
        }
        value => reply::of(op, value?, false, value_max),
    }
}

/// The server takes a hash (`crate::hash`) for a string that is no number.
async fn no_number(client: &Client, key: &Key, error: Error) -> Error {
    let last = hash::MARK.len() - 1;
    let look = command::on("GETRANGE", key).arg(0).arg(last).take();
    match client.call(key, &look).await.and_then(reply::bytes) {
        Ok(head) if hash::is_hash(&head) => hash::wrong_type(),
        _ => error,
    }
}

/// The key whose connection an operation uses.
pub(super) fn first_key(op: &Op) -> Option<&Key> {
    match op {
        Op::Copy(op) => return copies::first_key(op),
        Op::Lock(op) => return locks::first_key(op),
        _ => {}
    }
    let mut first = None;
    op.for_each_key(|key| first = first.or(Some(key)));
    first
}

async fn get_with_ttl(client: &Client, key: &Key) -> Result<Reply> {
    // Handed over one after the other: both travel in one packet, and back.
    let (get, pttl) = (command::on("GET", key), command::on("PTTL", key));
    let (value, left) = try_join(client.call(key, &get), client.call(key, &pttl)).await?;
    let record = reply::optional_bytes(value)?.map(reply::record);
    Ok(Reply::Record(match (record, reply::ttl(left)?) {
        (Some(mut record), Ttl::Left(left)) => {
            record.ttl = Some(left);
            Some(record)
        }
        (record, Ttl::Persistent) => record,
        // It expired between the two commands, or was written after the first.
        (record, Ttl::Missing) => record.filter(|_| false),
        (None, Ttl::Left(_)) => None,
    }))
}

async fn move_key(
    client: &Client,
    from: &Key,
    to: &Key,
    keep_source: bool,
    replace: bool,
) -> Result<Reply> {
    if !client.together([from, to]) {
        let message = "the keys are on different nodes of the Redis cluster: \
                       give both the same {tag} to move one to the other";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let no_such_key = || Error::new(ErrorKind::NoSuchKey, "no such key");
    if from == to {
        let found = reply::integer(client.call(from, &command::on("EXISTS", from)).await?)?;
        return if found == 0 { Err(no_such_key()) } else { Ok(reply::written(replace)) };
    }
    let on_both = |name: &str| command::on(name, from).arg(to.as_bytes()).take();
    let moved = match (keep_source, replace) {
        (false, true) => {
            client.call(from, &on_both("RENAME")).await?;
            1
        }
        (false, false) => reply::integer(client.call(from, &on_both("RENAMENX")).await?)?,
        (true, true) => {
            let copy = on_both("COPY").arg("REPLACE").take();
            reply::integer(client.call(from, &copy).await?)? * 2 - 1
        }
        (true, false) => {
            let script = &script::COPY_IF_ABSENT;
            reply::integer(client.run(from, script, &script.on(&[from, to])).await?)?
        }
    };
    if moved < 0 { Err(no_such_key()) } else { Ok(reply::written(moved == 1)) }
}
