//! ACL: who a connection is, and who there is; users are changed in the configuration.
//! It must not show a secret, nor its hash.

use std::fmt::Write as _;

use super::{Context, expect, help, subcommand, unknown_subcommand};
use crate::{
    access::{DEFAULT, Door, Role, User},
    resp::{
        command::{Parsed, TABLE},
        error::Failure,
    },
};

const HELP: [&str; 13] = [
    "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories.",
    "GETUSER <username>",
    "    Get the user's details, but for passwords and their hashes.",
    "LIST",
    "    Show users details in config file format, but for passwords and their hashes.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
    "HELP",
    "    Print this help. Users stand in the configuration: [users.NAME].",
];

/// ACL subcommand ...
pub(in crate::resp::command) fn acl(context: &mut Context<'_>) -> Parsed<()> {
    let name = subcommand(context.args);
    match name.as_ref().map_or(&b""[..], |name| name.as_bytes()) {
        b"whoami" => whoami(context),
        b"users" => users(context),
        b"list" => list(context),
        b"getuser" => getuser(context),
        b"cat" => cat(context),
        b"help" => {
            help(context.out, &HELP);
            Ok(())
        }
        b"setuser" | b"deluser" | b"load" | b"save" => Err(Failure::fixed(
            "ERR users stand in the configuration: [users.NAME]; change them there",
        )),
        b"log" | b"genpass" | b"dryrun" => {
            Err(Failure::fixed("ERR this ACL subcommand is not supported"))
        }
        _ => Err(unknown_subcommand(context.args, "ACL")),
    }
}

fn whoami(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 2..=2, "acl|whoami")?;
    let name = context.session.user().map_or(DEFAULT, |user| user.name());
    context.out.bulk(name.as_bytes());
    Ok(())
}

fn users(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 2..=2, "acl|users")?;
    let users = context.shared.guard.access.users();
    let names: Vec<&str> = users.iter().map(|user| user.name()).collect();
    context.out.array(names.len());
    names.into_iter().for_each(|name| context.out.bulk(name.as_bytes()));
    Ok(())
}

fn list(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 2..=2, "acl|list")?;
    let users = context.shared.guard.access.users();
    let lines: Vec<String> = users.iter().map(|user| line(user)).collect();
    context.out.array(lines.len());
    lines.iter().for_each(|line| context.out.bulk(line.as_bytes()));
    Ok(())
}

/// As a line of Redis's ACL file, without what proves a user.
fn line(user: &User) -> String {
    let pass = if user.is_open_at(Door::Resp) { " nopass" } else { "" };
    format!("user {} on{pass} {} resetchannels {}", user.name(), patterns(user), commands(user))
}

/// `~app:*`, each prefix as a pattern.
fn patterns(user: &User) -> String {
    let Some(prefixes) = user.prefixes() else { return "~*".to_owned() };
    let mut text = String::new();
    for prefix in prefixes {
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{gap}~{}*", String::from_utf8_lossy(prefix));
    }
    text
}

fn commands(user: &User) -> &'static str {
    match user.role() {
        Role::Read => "-@all +@read +@connection",
        Role::Write => "-@all +@read +@write +@connection",
        Role::Admin => "+@all",
    }
}

fn getuser(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 3..=3, "acl|getuser")?;
    let users = context.shared.guard.access.users();
    let out = &mut context.out;
    let Some(user) = users.find(&context.args[2]) else {
        out.null();
        return Ok(());
    };
    out.map(6);
    out.bulk(b"flags");
    let flags: &[&str] = if user.is_open_at(Door::Resp) { &["on", "nopass"] } else { &["on"] };
    out.set(flags.len());
    flags.iter().for_each(|flag| out.simple(flag));
    out.bulk(b"passwords");
    out.array(0);
    out.bulk(b"commands");
    out.bulk(commands(user).as_bytes());
    out.bulk(b"keys");
    out.bulk(patterns(user).as_bytes());
    out.bulk(b"channels");
    out.bulk(b"");
    out.bulk(b"selectors");
    out.array(0);
    Ok(())
}

fn cat(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 2..=3, "acl|cat")?;
    let mut names: Vec<String> = match context.args.get(2) {
        None => {
            let all = TABLE.iter().flat_map(|spec| spec.categories());
            all.map(|category| category[1..].to_owned()).collect()
        }
        Some(wanted) => {
            let wanted = String::from_utf8_lossy(wanted).to_ascii_lowercase();
            let belongs = |category: String| category[1..] == wanted;
            let found = TABLE.iter().filter(|spec| spec.categories().any(belongs));
            found.map(|spec| spec.name.to_owned()).collect()
        }
    };
    if names.is_empty() {
        let shown = String::from_utf8_lossy(&context.args[2]).chars().take(128).collect::<String>();
        return Err(Failure::new(format!("ERR Unknown category '{shown}'")));
    }
    names.sort_unstable();
    names.dedup();
    context.out.array(names.len());
    names.iter().for_each(|name| context.out.bulk(name.as_bytes()));
    Ok(())
}
