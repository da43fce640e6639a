//! One change of several keys under expectations, as one script.
//! It must not know how the change was computed, nor deadlines.

use redis::Cmd;

use super::{
    client::Client,
    command::{self, Expiry, fits},
    reply, script,
};
use crate::{
    backend::semantics::{CROSSED_SLOTS, distinct},
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Change, Expected, TtlChange},
    reply::Reply,
};

/// Checks and changes in one step of the server.
///
/// # Errors
/// Those of the server; `InvalidArgument` with its own words when a cluster holds the keys in several slots.
pub(super) async fn perform(
    client: &Client,
    expected: &[Expected],
    changes: &[(Key, Change)],
    value_max: usize,
) -> Result<Reply> {
    distinct(changes)?;
    let keys: Vec<&Key> =
        expected.iter().map(|(key, _)| key).chain(changes.iter().map(|(key, _)| key)).collect();
    let Some(first) = keys.first() else { return Ok(reply::written(true)) };
    if !client.together(keys.iter().copied()) {
        return Err(Error::new(ErrorKind::InvalidArgument, CROSSED_SLOTS));
    }
    let mut command = script::TRANSACT.on(&keys);
    command.arg(expected.len());
    for (_, value) in expected {
        command.arg(u8::from(value.is_some())).arg(value.as_deref().unwrap_or_default());
    }
    for (_, change) in changes {
        write(change, &mut command, value_max)?;
    }
    let applied = client.run(first, &script::TRANSACT, &command).await?;
    Ok(reply::written(reply::integer(applied)? == 1))
}

/// The four arguments of one change.
fn write(change: &Change, command: &mut Cmd, value_max: usize) -> Result<()> {
    let (kind, value, (word, number)) = match change {
        Change::Delete => ("D", &b""[..], ("", 0)),
        Change::Expire(ttl) => ("X", &b""[..], expire(*ttl)?),
        Change::Put { value, ttl } => {
            fits(value.len(), value_max)?;
            let words = match command::expiry(*ttl)? {
                None => ("", 0),
                Some(Expiry::Keep) => ("KEEPTTL", 0),
                Some(Expiry::After(ms)) => ("PX", ms),
                Some(Expiry::At(at)) => ("PXAT", at),
            };
            ("P", &value[..], words)
        }
    };
    command.arg(kind).arg(value).arg(word).arg(number);
    Ok(())
}

fn expire(ttl: TtlChange) -> Result<(&'static str, i64)> {
    Ok(match ttl {
        TtlChange::Keep => {
            let text = "an expiry is set or cleared, not kept";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        TtlChange::Clear => ("PERSIST", 0),
        TtlChange::For(left) if left.is_zero() => ("PEXPIRE", 0),
        TtlChange::For(left) => ("PEXPIRE", command::milliseconds(left)?),
        TtlChange::At(at) => ("PEXPIREAT", at.max(0)),
    })
}
