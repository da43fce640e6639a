//! Performs one operation on the connections: which requests, in which order, and what their replies say.
//! It must not know deadlines, nor when connections are made and given up.

use futures_util::future::try_join;
use redis::Value;

use super::{client::Client, command, command::Request, many, scan, script};
use crate::{
    entry::{Key, Ttl},
    error::{Error, ErrorKind, Result},
    op::Op,
    reply::{Outcome, Reply, Written},
};

/// Performs one operation.
pub(super) async fn perform(client: &Client, op: &Op, value_max: usize) -> Result<Reply> {
    match op {
        Op::Get { key, with_ttl: false } => {
            command::record_reply(client.call(key, &command::on("GET", key)).await?)
        }
        Op::Get { key, with_ttl: true } => get_with_ttl(client, key).await,
        Op::Set { .. } | Op::Delete { .. } | Op::Expire { .. } => {
            write(client, op, value_max).await
        }
        Op::GetRange { .. } | Op::Length { .. } | Op::TimeToLive { .. } => {
            read_part(client, op).await
        }
        Op::Increment { .. }
        | Op::IncrementFloat { .. }
        | Op::Append { .. }
        | Op::SetRange { .. } => change(client, op, value_max).await,
        // The rest is rarer: boxed, so that it does not make every call's future larger.
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
        Op::Scan { prefix, cursor, limit } => {
            Box::pin(scan::page(client, prefix, cursor.as_ref(), *limit)).await
        }
        Op::Count { prefix } => Box::pin(scan::count(client, prefix)).await,
    }
}

/// The key whose connection an operation uses.
pub(super) fn first_key(op: &Op) -> Option<&Key> {
    let mut first = None;
    op.for_each_key(|key| first = first.or(Some(key)));
    first
}

async fn ask(client: &Client, key: &Key, request: &Request) -> Result<Value> {
    match request {
        Request::Answered(_) => Err(Error::new(ErrorKind::Internal, "nothing is to be asked")),
        Request::Native(command) => client.call(key, command).await,
        Request::Script(script, command) => client.run(key, script, command).await,
    }
}

async fn get_with_ttl(client: &Client, key: &Key) -> Result<Reply> {
    // Handed over one after the other: both travel in one packet, and back.
    let (get, pttl) = (command::on("GET", key), command::on("PTTL", key));
    let (value, left) = try_join(client.call(key, &get), client.call(key, &pttl)).await?;
    let record = command::optional_bytes(value)?.map(command::record);
    Ok(Reply::Record(match (record, command::ttl(left)?) {
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

async fn write(client: &Client, op: &Op, value_max: usize) -> Result<Reply> {
    let is_7 = client.is_since(7, 0);
    match op {
        Op::Set { key, value, ttl, condition, want_previous } => {
            command::fits(value.len(), value_max)?;
            let request = command::set(key, value, *ttl, condition, *want_previous, is_7)?;
            let reply = ask(client, key, &request).await?;
            let is_script = matches!(request, Request::Script(..));
            command::set_reply(reply, condition, *want_previous, is_script)
        }
        Op::Delete { key, condition, want_previous } => {
            let request = command::delete(key, condition, *want_previous)?;
            let reply = ask(client, key, &request).await?;
            let is_script = matches!(request, Request::Script(..));
            command::delete_reply(reply, *want_previous, is_script)
        }
        Op::Expire { key, ttl, condition } => match command::expire(key, *ttl, *condition, is_7)? {
            Request::Answered(reply) => Ok(reply),
            request => {
                let reply = ask(client, key, &request).await?;
                Ok(command::written(command::integer(reply)? == 1))
            }
        },
        _ => Err(misplaced(op)),
    }
}

async fn read_part(client: &Client, op: &Op) -> Result<Reply> {
    match op {
        Op::GetRange { key, start, end } => {
            let get = command::on("GETRANGE", key).arg(*start).arg(*end).take();
            Ok(Reply::Bytes(command::bytes(client.call(key, &get).await?)?))
        }
        Op::Length { key } => {
            let length = client.call(key, &command::on("STRLEN", key)).await?;
            Ok(Reply::Integer(command::integer(length)?))
        }
        Op::TimeToLive { key } => {
            let left = client.call(key, &command::on("PTTL", key)).await?;
            Ok(Reply::Ttl(command::ttl(left)?))
        }
        _ => Err(misplaced(op)),
    }
}

async fn change(client: &Client, op: &Op, value_max: usize) -> Result<Reply> {
    match op {
        Op::Increment { key, by } => {
            let increment = command::on("INCRBY", key).arg(*by).take();
            let sum = command::integer(client.call(key, &increment).await?)?;
            Ok(command::written_integer(true, sum))
        }
        Op::IncrementFloat { key, by } => {
            let reply = client.call(key, &command::increment_float(key, *by)?).await?;
            let outcome = Outcome::Text(command::bytes(reply)?);
            Ok(Reply::Written(Written { applied: true, outcome, ..Written::default() }))
        }
        Op::Append { key, value } => {
            command::fits(value.len(), value_max)?;
            let append = command::append(key, value, value_max);
            let reply = client.run(key, &script::APPEND, &append).await?;
            command::append_reply(reply, value.len(), value_max)
        }
        Op::SetRange { key, offset, value } => {
            let request = command::set_range(key, *offset, value, value_max)?;
            let length = command::integer(client.call(key, &request).await?)?;
            Ok(command::written_integer(!value.is_empty(), length))
        }
        _ => Err(misplaced(op)),
    }
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
        let found = command::integer(client.call(from, &command::on("EXISTS", from)).await?)?;
        return if found == 0 { Err(no_such_key()) } else { Ok(command::written(replace)) };
    }
    let on_both = |name: &str| command::on(name, from).arg(to.as_bytes()).take();
    let moved = match (keep_source, replace) {
        (false, true) => {
            client.call(from, &on_both("RENAME")).await?;
            1
        }
        (false, false) => command::integer(client.call(from, &on_both("RENAMENX")).await?)?,
        (true, true) => {
            let copy = on_both("COPY").arg("REPLACE").take();
            command::integer(client.call(from, &copy).await?)? * 2 - 1
        }
        (true, false) => {
            let script = &script::COPY_IF_ABSENT;
            command::integer(client.run(from, script, &script.on(&[from, to])).await?)?
        }
    };
    if moved < 0 { Err(no_such_key()) } else { Ok(command::written(moved == 1)) }
}

fn misplaced(op: &Op) -> Error {
    Error::new(ErrorKind::Internal, format!("{} took a wrong turn", op.name()))
}
