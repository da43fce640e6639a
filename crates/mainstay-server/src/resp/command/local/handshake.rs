//! How a connection begins and ends: HELLO, AUTH, PING, ECHO, SELECT, RESET, QUIT.
//! It must not know the list of clients.

use bytes::Bytes;

use super::Context;
use crate::access::Door;
use crate::resp::{
    command::{
        Parsed,
        args::{integer, is},
        local::client::checked_name,
        local::info::REDIS_VERSION,
        multi::Multi,
    },
    error::Failure,
    reply::Protocol,
    session::Replies,
};

/// HELLO [version [AUTH user password] [SETNAME name]]
pub(in crate::resp::command) fn hello(context: &mut Context<'_>) -> Parsed<()> {
    let mut protocol = context.out.protocol();
    let mut options = Options::default();
    if let Some(version) = context.args.get(1) {
        protocol = version_of(version)?;
        options = Options::read(&context.args[2..])?;
    }
    if let Some((user, password)) = &options.credentials {
        authenticate(context, user, password)?;
    }
    if context.session.user().is_none() {
        return Err(Failure::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
             the same time",
        ));
    }
    if let Some(name) = options.name {
        context.session.client.update(|facts| facts.name = name);
    }
    context.out.set_protocol(protocol);
    context.session.client.update(|facts| facts.protocol = protocol);
    greet(context);
    Ok(())
}

fn version_of(arg: &[u8]) -> Parsed<Protocol> {
    match integer(arg) {
        Ok(2) => Ok(Protocol::Resp2),
        Ok(3) => Ok(Protocol::Resp3),
        Ok(_) => Err(Failure::fixed("NOPROTO unsupported protocol version")),
        Err(_) => Err(Failure::fixed("ERR Protocol version is not an integer or out of range")),
    }
}

#[derive(Default)]
struct Options {
    credentials: Option<(Bytes, Bytes)>,
    name: Option<String>,
}

impl Options {
    fn read(mut rest: &[Bytes]) -> Parsed<Self> {
        let mut options = Self::default();
        loop {
            rest = match rest {
                [] => return Ok(options),
                [word, user, password, rest @ ..] if is(word, "auth") => {
                    options.credentials = Some((user.clone(), password.clone()));
                    rest
                }
                [word, name, rest @ ..] if is(word, "setname") => {
                    options.name = Some(checked_name(name)?);
                    rest
                }
                [word, ..] => {
                    let shown = String::from_utf8_lossy(&word[..word.len().min(128)]);
                    return Err(Failure::new(format!(
                        "ERR Syntax error in HELLO option '{shown}'"
                    )));
                }
            };
        }
    }
}

fn greet(context: &mut Context<'_>) {
    let (protocol, id) = (context.out.protocol(), context.session.client.id);
    let out = &mut context.out;
    out.map(7);
    out.bulk(b"server");
    out.bulk(b"redis");
    out.bulk(b"version");
    out.bulk(REDIS_VERSION.as_bytes());
    out.bulk(b"proto");
    out.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
    out.bulk(b"id");
    out.integer(i64::try_from(id).unwrap_or(i64::MAX));
    out.bulk(b"mode");
    out.bulk(b"standalone");
    out.bulk(b"role");
    out.bulk(b"master");
    out.bulk(b"modules");
    out.array(0);
}

/// AUTH [user] password
pub(in crate::resp::command) fn auth(context: &mut Context<'_>) -> Parsed<()> {
    match context.args {
        [_, _] if context.shared.anonymous().is_some() => {
            return Err(Failure::fixed(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        [_, password] => authenticate(context, b"default", password)?,
        [_, user, password] => authenticate(context, user, password)?,
        _ => return Err(Failure::SYNTAX),
    }
    context.out.ok();
    Ok(())
}

fn authenticate(context: &mut Context<'_>, name: &[u8], password: &[u8]) -> Parsed<()> {
    let access = &context.shared.guard.access;
    let Some(user) = access.by_password(name, password) else {
        let peer = context.session.client.peer;
        access.refuse_credentials(Door::Resp, Some(peer), context.shared.clock());
        return Err(Failure::fixed(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ));
    };
    context.session.become_user(Some(user));
    Ok(())
}

/// PING [message]
pub(in crate::resp::command) fn ping(context: &mut Context<'_>) -> Parsed<()> {
    let listens = context.session.subscribed.is_some() && context.out.protocol() == Protocol::Resp2;
    match context.args {
        [_] | [_, _] if listens => {
            context.out.array(2);
            context.out.bulk(b"pong");
            context.out.bulk(context.args.get(1).map_or(&b""[..], |text| text));
        }
        [_] => context.out.simple("PONG"),
        [_, message] => context.out.bulk_shared(message.clone()),
        _ => return Err(Failure::arity("ping")),
    }
    Ok(())
}

/// ECHO message
pub(in crate::resp::command) fn echo(context: &mut Context<'_>) -> Parsed<()> {
    context.out.bulk_shared(context.args[1].clone());
    Ok(())
}

/// SELECT 0
pub(in crate::resp::command) fn select(context: &mut Context<'_>) -> Parsed<()> {
    if integer(&context.args[1])? != 0 {
        return Err(Failure::DATABASE);
    }
    context.out.ok();
    Ok(())
}

/// RESET
pub(in crate::resp::command) fn reset(context: &mut Context<'_>) -> Parsed<()> {
    context.out.set_protocol(Protocol::Resp2);
    context.session.replies = Replies::On;
    context.session.multi = Multi::default();
    context.session.subscribed = None;
    context.out.set_muted(false);
    context.session.become_user(context.shared.anonymous());
    context.session.client.update(|facts| {
        facts.name.clear();
        facts.protocol = Protocol::Resp2;
    });
    context.out.simple("RESET");
    Ok(())
}

/// QUIT
pub(in crate::resp::command) fn quit(context: &mut Context<'_>) -> Parsed<()> {
    context.session.closing = true;
    context.out.ok();
    Ok(())
}
