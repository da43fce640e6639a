//! CONFIG: what clients and redis-benchmark ask for; nothing can be set here.
//! It must not know the file that the configuration came from.

use super::{Context, expect, help, subcommand, unknown_subcommand};
use crate::resp::{command::Parsed, error::Failure, glob, session::Shared};

const HELP: [&str; 7] = [
    "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "HELP",
    "    Print this help.",
];

/// CONFIG subcommand ...
pub(in crate::resp::command) fn config(context: &mut Context<'_>) -> Parsed<()> {
    let name = subcommand(context.args);
    match name.as_ref().map_or(&b""[..], |name| name.as_bytes()) {
        b"get" => get(context),
        b"set" => set(context),
        b"resetstat" => {
            expect(context.args, 2..=2, "config|resetstat")?;
            context.shared.counters.commands.reset();
            context.shared.counters.rejected.reset();
            context.out.ok();
            Ok(())
        }
        b"rewrite" => Err(Failure::fixed("ERR The server is running without a config file")),
        b"help" => {
            help(context.out, &HELP);
            Ok(())
        }
        _ => Err(unknown_subcommand(context.args, "CONFIG")),
    }
}

fn get(context: &mut Context<'_>) -> Parsed<()> {
    expect(context.args, 3..=usize::MAX, "config|get")?;
    let mut found = values(context.shared);
    found.retain(|(name, _)| {
        context.args[2..]
            .iter()
            .any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    });
    context.out.map(found.len());
    for (name, value) in found {
        context.out.bulk(name.as_bytes());
        context.out.bulk(value.as_bytes());
    }
    Ok(())
}

fn set(context: &mut Context<'_>) -> Parsed<()> {
    if context.args.len() < 4 || !context.args.len().is_multiple_of(2) {
        return Err(Failure::arity("config|set"));
    }
    let name = &context.args[2];
    let shown = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
    let known = values(context.shared).iter().any(|(known, _)| shown.eq_ignore_ascii_case(known));
    Err(Failure::new(if known {
        format!(
            "ERR CONFIG SET failed (possibly related to argument '{shown}') - can't set immutable config"
        )
    } else {
        format!("ERR Unknown option or number of arguments for CONFIG SET - '{shown}'")
    }))
}

fn values(shared: &Shared) -> Vec<(&'static str, String)> {
    let config = shared.config();
    let seconds = config.idle_timeout.map_or(0, |timeout| timeout.as_secs());
    vec![
        ("appendfsync", "everysec".to_owned()),
        ("appendonly", "no".to_owned()),
        ("bind", shared.local.ip().to_string()),
        ("cluster-enabled", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", config.connections_max.to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("notify-keyspace-events", String::new()),
        ("port", shared.local.port().to_string()),
        ("proto-max-bulk-len", config.bulk_max.to_string()),
        ("save", String::new()),
        ("tcp-keepalive", "0".to_owned()),
        ("timeout", seconds.to_string()),
    ]
}
