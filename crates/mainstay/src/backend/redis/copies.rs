//! Redis as the cache of a record route: which script runs on which keys, and what its answers say.
//! It must not know what an entry means: `copies/lua` is `semantics::copies` again, and the suite compares the two.

use redis::{Cmd, Value};

use super::{beacon, client::Client, command, many, reply, script::Lua, spread};
use crate::{
    clock::Clock,
    entry::Key,
    error::Result,
    op::{CopyOp, CopyValue},
    reply::Reply,
};

mod scripts;

/// Performs one operation on copies. No call that was executed, or may have been, is ever sent again.
pub(super) async fn perform(
    client: &Client,
    op: &CopyOp,
    value_max: usize,
    clock: &Clock,
) -> Result<Reply> {
    match op {
        CopyOp::Mark { keys, nonce, life } => {
            let calls = each(keys, |key| scripts::mark(key, *nonce, *life));
            done(client, &scripts::MARK, &calls).await
        }
        CopyOp::Unmark { keys, nonce, clean } => {
            let calls = each(keys, |key| scripts::unmark(key, *nonce, *clean));
            done(client, &scripts::UNMARK, &calls).await
        }
        CopyOp::Publish { key, nonce, copy } => {
            fits([copy], value_max)?;
            let command = scripts::publish(key, *nonce, copy);
            let stood = client.run(key, &scripts::PUBLISH, &command).await?;
            Ok(Reply::Flags(vec![flag(stood)?]))
        }
        CopyOp::Token { keys, token, life } => {
            let calls = each(keys, |key| scripts::token(key, *token, *life));
            flags(client, &scripts::TOKEN, &calls).await
        }
        CopyOp::Fill { entries, token } => {
            fits(entries.iter().map(|(_, copy)| copy), value_max)?;
            let calls = entries.iter().map(|(key, copy)| (key, scripts::fill(key, *token, copy)));
            flags(client, &scripts::FILL, &calls.collect::<Vec<_>>()).await
        }
        CopyOp::Drain { keys } => done(client, &scripts::DRAIN, &each(keys, scripts::drain)).await,
        CopyOp::Beacon { key, raise } => {
            beacon::ask(client, key, *raise, clock.now()).await.map(Reply::Beacon)
        }
    }
}

/// The key whose connection an operation uses first.
pub(super) fn first_key(op: &CopyOp) -> Option<&Key> {
    match op {
        CopyOp::Mark { keys, .. }
        | CopyOp::Unmark { keys, .. }
        | CopyOp::Token { keys, .. }
        | CopyOp::Drain { keys } => keys.first(),
        CopyOp::Fill { entries, .. } => entries.first().map(|(key, _)| key),
        CopyOp::Publish { key, .. } | CopyOp::Beacon { key, .. } => Some(key),
    }
}

fn each(keys: &[Key], command: impl Fn(&Key) -> Cmd) -> Vec<(&Key, Cmd)> {
    keys.iter().map(|key| (key, command(key))).collect()
}

fn fits<'a>(copies: impl IntoIterator<Item = &'a CopyValue>, value_max: usize) -> Result<()> {
    copies.into_iter().try_for_each(|copy| command::fits(copy.value.len(), value_max))
}

async fn done(client: &Client, script: &Lua, calls: &[(&Key, Cmd)]) -> Result<Reply> {
    many::all_or_unknown(spread::run(client, script, calls).await)?;
    Ok(Reply::Done)
}

async fn flags(client: &Client, script: &Lua, calls: &[(&Key, Cmd)]) -> Result<Reply> {
    let replies = many::all_or_unknown(spread::run(client, script, calls).await)?;
    replies.into_iter().map(flag).collect::<Result<_>>().map(Reply::Flags)
}

fn flag(value: Value) -> Result<bool> {
    Ok(reply::integer(value)? == 1)
}
