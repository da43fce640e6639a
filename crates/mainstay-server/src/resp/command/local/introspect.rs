//! COMMAND: the table, as clients and redis-cli read it.
//! It must not know what the commands do.

use bytes::Bytes;

use super::{Context, expect, subcommand, unknown_subcommand};
use crate::resp::{
    command::{Parsed, Spec, TABLE, args::is, find, script},
    error::Failure,
    glob,
    reply::Output,
};

/// COMMAND [subcommand ...]
pub(in crate::resp::command) fn command(context: &mut Context<'_>) -> Parsed<()> {
    if context.args.len() == 1 {
        context.out.array(TABLE.len());
        TABLE.iter().for_each(|spec| describe(spec, context.out));
        return Ok(());
    }
    let name = subcommand(context.args);
    match name.as_ref().map_or(&b""[..], |name| name.as_bytes()) {
        b"count" => {
            expect(context.args, 2..=2, "command|count")?;
            context.out.integer(i64::try_from(TABLE.len()).unwrap_or(0));
            Ok(())
        }
        b"info" => {
            info(context);
            Ok(())
        }
        b"docs" => {
            docs(context);
            Ok(())
        }
        b"list" => list(context),
        b"getkeys" => getkeys(context),
        _ => Err(unknown_subcommand(context.args, "COMMAND")),
    }
}

fn describe(spec: &Spec, out: &mut Output) {
    let (first, last, step) = spec.keys;
    out.array(10);
    out.bulk(spec.name.as_bytes());
    out.integer(spec.arity);
    let flags: Vec<&str> = spec.flags().collect();
    out.set(flags.len());
    flags.into_iter().for_each(|flag| out.simple(flag));
    out.integer(first);
    out.integer(last);
    out.integer(step);
    let categories: Vec<String> = spec.categories().collect();
    out.set(categories.len());
    categories.iter().for_each(|category| out.simple(category));
    // Tips, key specifications, subcommands.
    out.array(0);
    out.array(0);
    out.array(0);
}

fn info(context: &mut Context<'_>) {
    let names = &context.args[2..];
    if names.is_empty() {
        context.out.array(TABLE.len());
        TABLE.iter().for_each(|spec| describe(spec, context.out));
        return;
    }
    context.out.array(names.len());
    for name in names {
        match find(name) {
            Some(spec) => describe(spec, context.out),
            None => context.out.null(),
        }
    }
}

fn docs(context: &mut Context<'_>) {
    let names = &context.args[2..];
    let specs: Vec<&Spec> = if names.is_empty() {
        TABLE.to_vec()
    } else {
        names.iter().filter_map(|name| find(name)).collect()
    };
    let out = &mut context.out;
    out.map(specs.len());
    for spec in specs {
        out.bulk(spec.name.as_bytes());
        out.map(3);
        out.bulk(b"summary");
        out.bulk(spec.summary.as_bytes());
        out.bulk(b"since");
        out.bulk(b"1.0.0");
        out.bulk(b"group");
        out.bulk(spec.group.as_bytes());
    }
}

fn list(context: &mut Context<'_>) -> Parsed<()> {
    let names: Vec<&str> = match &context.args[2..] {
        [] => TABLE.iter().map(|spec| spec.name).collect(),
        [filter, kind, value] if is(filter, "filterby") => {
            let wanted: Box<dyn Fn(&Spec) -> bool> = if is(kind, "pattern") {
                Box::new(|spec| glob::matches(value, spec.name.as_bytes()))
            } else if is(kind, "aclcat") {
                Box::new(|spec| spec.categories().any(|category| is(value, &category[1..])))
            } else if is(kind, "module") {
                Box::new(|_| false)
            } else {
                return Err(Failure::SYNTAX);
            };
            TABLE.iter().filter(|spec| wanted(spec)).map(|spec| spec.name).collect()
        }
        _ => return Err(Failure::SYNTAX),
    };
    context.out.array(names.len());
    names.into_iter().for_each(|name| context.out.bulk(name.as_bytes()));
    Ok(())
}

fn getkeys(context: &mut Context<'_>) -> Parsed<()> {
    if context.args.len() < 4 {
        return Err(Failure::arity("command|getkeys"));
    }
    let command = &context.args[2..];
    let spec = find(&command[0]).ok_or(Failure::fixed("ERR Invalid command specified"))?;
    if spec.name.starts_with("eval") {
        let keys = script::keys_of(command).filter(|keys| !keys.is_empty());
        let none = Failure::fixed("ERR The command has no key arguments");
        let keys = keys.ok_or(none)?;
        context.out.array(keys.len());
        keys.iter().for_each(|key| context.out.bulk(key));
        return Ok(());
    }
    if spec.keys.0 == 0 {
        return Err(Failure::fixed("ERR The command has no key arguments"));
    }
    if !spec.takes(command.len()) {
        return Err(Failure::fixed("ERR Invalid number of arguments specified for command"));
    }
    let keys = keys_of(spec, command);
    context.out.array(keys.len());
    keys.into_iter().for_each(|key| context.out.bulk(key));
    Ok(())
}

fn keys_of<'a>(spec: &Spec, command: &'a [Bytes]) -> Vec<&'a Bytes> {
    let (first, last, step) = spec.keys;
    let count = i64::try_from(command.len()).unwrap_or(i64::MAX);
    let last = if last < 0 { count + last } else { last };
    let index = |at: i64| usize::try_from(at).unwrap_or(0);
    (index(first)..=index(last))
        .step_by(index(step).max(1))
        .filter_map(|at| command.get(at))
        .collect()
}
