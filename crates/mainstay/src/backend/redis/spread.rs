//! One script on many keys: one pipeline to each connection, and again only what was certainly not executed.
//! It must not know what the script does, nor deadlines.

use futures_util::future::join_all;
use redis::{Cmd, Value};

use super::{
    classify,
    client::{Client, HOPS_MAX, Node},
    script::Lua,
};
use crate::{
    entry::Key,
    error::{Error, Result},
};

/// One call of the script, and where its result goes.
type Call<'a> = (usize, &'a Cmd);

/// Runs the script once on each key, in the order of `calls` where keys share a connection; the results in that order.
pub(super) async fn run(
    client: &Client,
    script: &Lua,
    calls: &[(&Key, Cmd)],
) -> Vec<Result<Value>> {
    if let [(key, command)] = calls {
        return vec![client.run(key, script, command).await];
    }
    let mut results: Vec<(usize, Result<Value>)> = Vec::with_capacity(calls.len());
    let mut parts: Vec<Vec<Call<'_>>> = vec![Vec::new(); client.nodes().len()];
    for (at, (key, command)) in calls.iter().enumerate() {
        match client.index_of(key) {
            Ok(node) => parts[node].push((at, command)),
            Err(error) => results.push((at, Err(error))),
        }
    }
    let parts = client.nodes().iter().zip(parts).filter(|(_, part)| !part.is_empty());
    let runs = parts.map(|(node, part)| run_part(client, node, script, part));
    results.extend(join_all(runs).await.into_iter().flatten());
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The calls of one connection. A script that the server does not know is loaded, and those calls alone are sent again.
async fn run_part(
    client: &Client,
    node: &Node,
    script: &Lua,
    mut left: Vec<Call<'_>>,
) -> Vec<(usize, Result<Value>)> {
    let mut results = Vec::with_capacity(left.len());
    let mut elsewhere = Vec::new();
    for hop in 0..=HOPS_MAX {
        let (refusal, replies) = match send(node, script, &left, hop > 0).await {
            Ok(replies) => replies,
            Err(error) => {
                results.extend(left.into_iter().map(|(at, _)| (at, Err(error.clone()))));
                break;
            }
        };
        let mut unknown = Vec::new();
        for (call, value) in left.into_iter().zip(replies) {
            match &value {
                Value::ServerError(error) if classify::is_unknown_script(error) => match &refusal {
                    Some(refusal) => results.push((call.0, Err(refusal.clone()))),
                    None if hop == HOPS_MAX => results.push((call.0, classify::reply(value))),
                    None => unknown.push(call),
                },
                Value::ServerError(_) if client.slots().is_some() => elsewhere.push((call, value)),
                _ => results.push((call.0, classify::reply(value))),
            }
        }
        left = unknown;
        if left.is_empty() {
            break;
        }
    }
    let moved = elsewhere.into_iter().map(async |((at, command), value)| {
        (at, client.insist(node, value, command, Some(script)).await)
    });
    results.extend(join_all(moved).await);
    results
}

/// One pipeline: the replies to the calls, and why the script could not be loaded before them, if so.
async fn send(
    node: &Node,
    script: &Lua,
    calls: &[Call<'_>],
    load: bool,
) -> Result<(Option<Error>, Vec<Value>)> {
    let mut pipeline = redis::Pipeline::with_capacity(calls.len() + 1);
    if load {
        pipeline.add_command(script.load());
    }
    for (_, command) in calls {
        pipeline.add_command((*command).clone());
    }
    let mut replies = node.send_all(&pipeline).await?.into_iter();
    let refusal =
        if load { replies.next().and_then(|value| classify::reply(value).err()) } else { None };
    Ok((refusal, replies.collect()))
}
