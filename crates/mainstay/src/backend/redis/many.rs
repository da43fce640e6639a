//! Operations on many keys: one command where the keys live together, one each where a cluster spreads them.
//! It must not know deadlines, nor when connections are made and given up.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use redis::Value;

use super::{
    client::Client,
    command::{self, Expiry},
    reply, script,
};
use crate::{
    entry::{Key, Record},
    error::{Effect, Error, ErrorKind, Result},
    merging::Tally,
    op::{Condition, TtlChange},
    reply::Reply,
};

/// MGET; a key that holds something else than a string counts as missing, as in Redis. Where the server refuses MGET to us,
/// a GET for each.
pub(super) async fn get(client: &Client, keys: &[Key]) -> Result<Reply> {
    let Some(first) = keys.first() else { return Ok(Reply::Records(Vec::new())) };
    let together = client.together(keys) && client.many.pays();
    let values = match together {
        true => match client.once(first, command::on_all("MGET", keys)).await {
            Ok(Value::Array(values)) if values.len() == keys.len() => {
                client.many.note(Tally { asked: keys.len(), ..Tally::default() });
                values
            }
            Ok(other) => return Err(super::classify::out_of_step(&other)),
            Err(error) if is_refused(&error) => {
                client.many.note(Tally::failed(keys.len(), true));
                get_each(client, keys).await?
            }
            Err(error) => return Err(error),
        },
        false => get_each(client, keys).await?,
    };
    let record = |value| Ok(reply::optional_bytes(value)?.map(reply::record));
    let records: Result<Vec<Option<Record>>> = values.into_iter().map(record).collect();
    Ok(Reply::Records(records?))
}

async fn get_each(client: &Client, keys: &[Key]) -> Result<Vec<Value>> {
    let calls = keys.iter().map(async |key| match client.get(key).await {
        Err(error) if error.kind() == ErrorKind::WrongType => Ok(Value::Nil),
        result => result,
    });
    join_all(calls).await.into_iter().collect()
}

/// By an ACL, or by what stands between us and the server.
fn is_refused(error: &Error) -> bool {
    let kind = error.kind();
    matches!(kind, ErrorKind::Forbidden | ErrorKind::Misconfigured | ErrorKind::Unsupported)
}

/// EXISTS or UNLINK: commands that answer with how many keys.
pub(super) async fn count(client: &Client, name: &str, keys: &[Key]) -> Result<Reply> {
    let Some(first) = keys.first() else { return Ok(Reply::Integer(0)) };
    if client.together(keys) {
        let count = client.once(first, command::on_all(name, keys)).await?;
        return Ok(Reply::Integer(reply::integer(count)?));
    }
    let calls = keys
        .iter()
        .map(async |key| client.call(key, &command::on(name, key)).await.and_then(reply::integer));
    Ok(Reply::Integer(all_or_unknown(join_all(calls).await)?.into_iter().sum()))
}

/// MSET, MSETNX, a transaction of SETs, or a script; on a cluster each key by itself.
pub(super) async fn set(
    client: &Client,
    entries: &[(Key, Bytes)],
    ttl: TtlChange,
    all_absent: bool,
) -> Result<Reply> {
    let Some((first, _)) = entries.first() else { return Ok(reply::written(true)) };
    let expiry = command::expiry(ttl)?;
    let together = client.together(entries.iter().map(|(key, _)| key));
    // New keys have no expiry to keep.
    let expiry_of_new = expiry.filter(|expiry| *expiry != Expiry::Keep);
    match (together, all_absent, expiry) {
        (false, true, _) => set_each_absent(client, entries, expiry_of_new).await,
        (false, false, _) => set_each(client, entries, expiry).await,
        (true, true, _) if expiry_of_new.is_none() => {
            let reply = client.once(first, command::assign_all("MSETNX", pairs(entries))).await?;
            Ok(reply::written(reply::integer(reply)? == 1))
        }
        (true, true, _) => set_all_absent(client, first, entries, expiry_of_new).await,
        (true, false, None) => {
            client.once(first, command::assign_all("MSET", pairs(entries))).await?;
            Ok(reply::written(true))
        }
        (true, false, Some(_)) => {
            let mut pipeline = redis::pipe();
            pipeline.atomic();
            for (key, value) in entries {
                pipeline.add_command(command::assign(key, value, expiry));
            }
            client.transact(first, &pipeline).await?;
            Ok(reply::written(true))
        }
    }
}

async fn set_all_absent(
    client: &Client,
    first: &Key,
    entries: &[(Key, Bytes)],
    expiry: Option<Expiry>,
) -> Result<Reply> {
    let keys: Vec<&Key> = entries.iter().map(|(key, _)| key).collect();
    let mut command = script::SET_ALL_ABSENT.on(&keys);
    if let Some(expiry) = expiry {
        expiry.write(&mut command);
    }
    for (_, value) in entries {
        command.arg(&value[..]);
    }
    let reply = client.run(first, &script::SET_ALL_ABSENT, &command).await?;
    Ok(reply::written(reply::integer(reply)? == 1))
}

async fn set_each(
    client: &Client,
    entries: &[(Key, Bytes)],
    expiry: Option<Expiry>,
) -> Result<Reply> {
    let calls = last_of_each(entries)
        .into_iter()
        .map(async |(key, value)| client.call(key, &command::assign(key, value, expiry)).await);
    all_or_unknown(join_all(calls).await)?;
    Ok(reply::written(true))
}

/// Sets keys that no single command can name. Another writer may come in between: then what was set is taken back.
async fn set_each_absent(
    client: &Client,
    entries: &[(Key, Bytes)],
    expiry: Option<Expiry>,
) -> Result<Reply> {
    let entries: Vec<(&Key, &Bytes)> = last_of_each(entries).into_iter().collect();
    let exist = entries.iter().map(async |(key, _)| {
        client.call(key, &command::on("EXISTS", key)).await.and_then(reply::integer)
    });
    let found: Result<Vec<i64>> = join_all(exist).await.into_iter().collect();
    if found?.into_iter().any(|found| found > 0) {
        return Ok(reply::written(false));
    }
    let calls = entries.iter().map(async |(key, value)| {
        client.call(key, command::assign(key, value, expiry).arg("NX")).await
    });
    let set = all_or_unknown(join_all(calls).await)?;
    if set.iter().all(|reply| *reply == Value::Okay) {
        return Ok(reply::written(true));
    }
    let ours = entries.iter().zip(&set).filter(|(_, reply)| **reply == Value::Okay);
    let undo = ours.map(async |((key, value), _)| {
        let delete = command::compare(
            &script::DELETE,
            key,
            &Condition::ValueIs(Bytes::clone(value)),
            false,
        )?;
        client.run(key, &script::DELETE, &delete).await
    });
    let undone: Result<Vec<Value>> = join_all(undo).await.into_iter().collect();
    undone.map_err(|error| error.with_effect(Effect::Unknown))?;
    Ok(reply::written(false))
}

/// Of a key named twice the last counts; the calls themselves have no order.
fn last_of_each(entries: &[(Key, Bytes)]) -> BTreeMap<&Key, &Bytes> {
    entries.iter().map(|(key, value)| (key, value)).collect()
}

fn pairs(entries: &[(Key, Bytes)]) -> impl Iterator<Item = (&Key, &Bytes)> + Clone {
    entries.iter().map(|(key, value)| (key, value))
}

/// All results, or the first error: its effect is unknown as soon as any of the others was, or may have been, applied.
pub(super) fn all_or_unknown<T>(results: Vec<Result<T>>) -> Result<Vec<T>> {
    let may_be_applied = |result: &Result<T>| match result {
        Ok(_) => true,
        Err(error) => error.effect() == Effect::Unknown,
    };
    let unknown = results.iter().any(may_be_applied);
    let collected: Result<Vec<T>> = results.into_iter().collect();
    collected.map_err(|error| if unknown { error.with_effect(Effect::Unknown) } else { error })
}
