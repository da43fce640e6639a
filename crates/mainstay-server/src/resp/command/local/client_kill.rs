//! CLIENT KILL: which connections to close.
//! It must not know how a connection closes; it sends a signal.

use std::sync::Arc;

use bytes::Bytes;

use super::Context;
use crate::access::Users;
use crate::resp::{
    client::Client,
    command::{
        Parsed,
        args::{integer, is},
    },
    error::Failure,
    wake::KILL,
};

/// CLIENT KILL ip:port, or CLIENT KILL option value ...
pub(super) fn kill(context: &mut Context<'_>) -> Parsed<()> {
    match &context.args[2..] {
        [] => Err(Failure::arity("client|kill")),
        [address] => {
            let address = String::from_utf8_lossy(address).into_owned();
            let wanted = |client: &Client| client.peer.to_string() == address;
            if close(context, wanted) == 0 {
                return Err(Failure::fixed("ERR No such client"));
            }
            context.out.ok();
            Ok(())
        }
        options => {
            let (filter, skip_me) = filter(options, &context.shared.guard.access.users())?;
            let (own, now) = (context.session.client.id, context.shared.clock().now());
            let closed = close(context, |client| {
                !(skip_me && client.id == own)
                    && filter.iter().all(|test| match test {
                        Test::Id(id) => client.id == *id,
                        Test::Peer(address) => client.peer.to_string() == *address,
                        Test::Local(address) => client.local.to_string() == *address,
                        Test::Age(seconds) => client.age_seconds(now) >= *seconds,
                        Test::User(name) => client.facts().user_name().as_bytes() == &name[..],
                        Test::Never => false,
                    })
            });
            context.out.integer(closed);
            Ok(())
        }
    }
}

enum Test {
    Id(u64),
    Peer(String),
    Local(String),
    Age(u64),
    User(Bytes),
    Never,
}

fn filter(options: &[Bytes], users: &Users) -> Parsed<(Vec<Test>, bool)> {
    let (mut tests, mut skip_me) = (Vec::new(), true);
    let (pairs, left_over) = options.as_chunks::<2>();
    if !left_over.is_empty() {
        return Err(Failure::SYNTAX);
    }
    for [option, value] in pairs {
        let text = || String::from_utf8_lossy(value).into_owned();
        if is(option, "id") {
            let id = integer(value).ok().and_then(|id| u64::try_from(id).ok());
            let id = id.filter(|id| *id > 0);
            tests.push(Test::Id(
                id.ok_or(Failure::fixed("ERR client-id should be greater than 0"))?,
            ));
        } else if is(option, "addr") {
            tests.push(Test::Peer(text()));
        } else if is(option, "laddr") {
            tests.push(Test::Local(text()));
        } else if is(option, "maxage") {
            let age = u64::try_from(integer(value)?).map_err(|_| Failure::SYNTAX)?;
            tests.push(Test::Age(age));
        } else if is(option, "type") {
            if !is_normal(value)? {
                tests.push(Test::Never);
            }
        } else if is(option, "user") {
            if users.find(value).is_none() {
                return Err(Failure::new(format!("ERR No such user '{}'", text())));
            }
            tests.push(Test::User(value.clone()));
        } else if is(option, "skipme") && (is(value, "yes") || is(value, "no")) {
            skip_me = is(value, "yes");
        } else {
            return Err(Failure::SYNTAX);
        }
    }
    Ok((tests, skip_me))
}

/// Whether this type of client is the only one that there is here.
pub(super) fn is_normal(kind: &[u8]) -> Parsed<bool> {
    if is(kind, "normal") {
        return Ok(true);
    }
    if ["master", "replica", "slave", "pubsub"].iter().any(|other| is(kind, other)) {
        return Ok(false);
    }
    let shown = String::from_utf8_lossy(&kind[..kind.len().min(128)]);
    Err(Failure::new(format!("ERR Unknown client type '{shown}'")))
}

/// Closes everyone who is wanted; the connection that asks gets its answer first.
fn close(context: &mut Context<'_>, wanted: impl Fn(&Client) -> bool) -> i64 {
    let mut closed = 0;
    for client in context.shared.clients.all().into_iter().filter(|client| wanted(client)) {
        if Arc::ptr_eq(&client, &context.session.client) {
            context.session.closing = true;
        } else {
            client.wake.signal(KILL);
        }
        closed += 1;
    }
    closed
}
