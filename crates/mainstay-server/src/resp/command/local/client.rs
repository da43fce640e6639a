//! CLIENT: what a connection says about itself, and the list of all.
//! It must not know how a client is closed (`client_kill`).

use bytes::Bytes;

use super::{Context, client_kill, expect, help, subcommand, unknown_subcommand};
use crate::resp::{
    command::{
        Parsed,
        args::{integer, is},
    },
    error::Failure,
    session::Replies,
};

const HELP: [&str; 22] = [
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are: ADDR, LADDR, ID, MAXAGE, SKIPME, TYPE, USER.",
    "LIST [options ...]",
    "    Return information about client connections. Options: TYPE normal, ID id [id ...].",
    "NO-EVICT (ON|OFF), NO-TOUCH (ON|OFF)",
    "    Accepted, without effect.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETINFO (LIB-NAME|LIB-VER) <value>, SETNAME <name>",
    "    Say who the current connection is.",
    "TRACKING OFF",
    "    Invalidation messages are not supported.",
    "HELP",
];

/// CLIENT subcommand ...
pub(in crate::resp::command) fn client(context: &mut Context<'_>) -> Parsed<()> {
    let name = subcommand(context.args);
    match name.as_ref().map_or(&b""[..], |name| name.as_bytes()) {
        b"id" => id(context),
        b"getname" => getname(context),
        b"setname" => setname(context),
        b"setinfo" => setinfo(context),
        b"info" => info(context),
        b"list" => list(context),
        b"kill" => client_kill::kill(context),
        b"reply" => reply(context),
        b"no-evict" => switch(context, "client|no-evict"),
        b"no-touch" => switch(context, "client|no-touch"),
        b"tracking" => tracking(context),
        b"trackinginfo" => trackinginfo(context),
        b"getredir" => {
            context.out.integer(-1);
            Ok(())
        }
        b"unblock" => {
            context.out.integer(0);
            Ok(())
        }
        b"help" => {
            help(context.out, &HELP);
            Ok(())
        }
        b"caching" | b"pause" | b"unpause" => {
            Err(Failure::fixed("ERR this CLIENT subcommand is not supported"))
        }
        _ => Err(unknown_subcommand(context.args, "CLIENT")),
    }
}

fn id(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 2..=2, "client|id")?;
    context.out.integer(i64::try_from(context.session.client.id).unwrap_or(i64::MAX));
    Ok(())
}

fn getname(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 2..=2, "client|getname")?;
    let name = context.session.client.facts().name;
    context.out.optional((!name.is_empty()).then(|| Bytes::from(name)));
    Ok(())
}

fn setname(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 3..=3, "client|setname")?;
    let name = checked_name(&context.args[2])?;
    context.session.client.update(|facts| facts.name = name);
    context.out.ok();
    Ok(())
}

/// A client's name: printable, without blanks, as it stands in lines that are split at blanks.
pub(super) fn checked_name(arg: &[u8]) -> Parsed<String> {
    plain(arg).ok_or(Failure::fixed(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

fn plain(arg: &[u8]) -> Option<String> {
    const LEN_MAX: usize = 1024;
    let fits = arg.len() <= LEN_MAX && arg.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(arg).into_owned())
}

fn setinfo(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 4..=4, "client|setinfo")?;
    let (option, value) = (&context.args[2], &context.args[3]);
    let name = if is(option, "lib-name") {
        "lib-name"
    } else if is(option, "lib-ver") {
        "lib-ver"
    } else {
        let shown = String::from_utf8_lossy(&option[..option.len().min(128)]);
        return Err(Failure::new(format!("ERR Unrecognized option '{shown}'")));
    };
    let value = plain(value).ok_or_else(|| {
        Failure::new(format!("ERR {name} cannot contain spaces, newlines or special characters."))
    })?;
    context.session.client.update(|facts| match name {
        "lib-name" => facts.library = value,
        _ => facts.library_version = value,
    });
    context.out.ok();
    Ok(())
}

fn info(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 2..=2, "client|info")?;
    let line = context.session.client.describe(context.shared.clock().now());
    context.out.verbatim(&(line + "\n"));
    Ok(())
}

fn list(context: &mut Context<'_>) -> Parsed<()> {
    let mut clients = context.shared.clients.all();
    match &context.args[2..] {
        [] => {}
        [option, kind] if is(option, "type") => {
            if !client_kill::is_normal(kind)? {
                clients.clear();
            }
        }
        [option, ids @ ..] if is(option, "id") && !ids.is_empty() => {
            let mut wanted = Vec::new();
            for id in ids {
                let id = integer(id).ok().and_then(|id| u64::try_from(id).ok());
                wanted.push(id.ok_or(Failure::fixed("ERR Invalid client ID"))?);
            }
            clients.retain(|client| wanted.contains(&client.id));
        }
        _ => return Err(Failure::SYNTAX),
    }
    let now = context.shared.clock().now();
    let mut lines = String::new();
    for client in clients {
        lines.push_str(&client.describe(now));
        lines.push('\n');
    }
    context.out.verbatim(&lines);
    Ok(())
}

fn reply(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 3..=3, "client|reply")?;
    let mode = &context.args[2];
    if is(mode, "on") {
        context.session.replies = Replies::On;
        context.out.set_muted(false);
        context.out.ok();
    } else if is(mode, "off") {
        context.session.replies = Replies::Off;
    } else if is(mode, "skip") {
        if context.session.replies == Replies::On {
            context.session.replies = Replies::SkipNext;
        }
    } else {
        return Err(Failure::SYNTAX);
    }
    Ok(())
}

fn switch(context: &mut Context<'_>, name: &str) -> Parsed<()> {
    expect(context.args, 3..=3, name)?;
    if !is(&context.args[2], "on") && !is(&context.args[2], "off") {
        return Err(Failure::SYNTAX);
    }
    context.out.ok();
    Ok(())
}

fn tracking(context: &mut Context<'_>) -> Parsed<()> {
    if context.args.len() < 3 {
        return Err(Failure::arity("client|tracking"));
    }
    if !is(&context.args[2], "off") {
        return Err(Failure::fixed(
            "ERR CLIENT TRACKING is not supported: no invalidation messages are sent",
        ));
    }
    context.out.ok();
    Ok(())
}

fn trackinginfo(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 2..=2, "client|trackinginfo")?;
    let out = &mut context.out;
    out.map(3);
    out.bulk(b"flags");
    out.set(1);
    out.bulk(b"off");
    out.bulk(b"redirect");
    out.integer(-1);
    out.bulk(b"prefixes");
    out.array(0);
    Ok(())
}
