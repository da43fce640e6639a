//! COMMAND: the table, as clients and redis-cli read it.
//! It must not know what the commands do.

use super::{Context, expect, subcommand, unknown_subcommand};
use crate::resp::{
    command::{FOREIGN, Parsed, Spec, TABLE, args::is},
    error::Failure,
    glob,
    reply::Output,
    session::Shared,
};

/// COMMAND [subcommand ...]
pub(in crate::resp::command) fn command(context: &mut Context<'_>) -> Parsed<()> {
    if context.args.len() == 1 {
        let all = all(context.shared);
        context.out.array(all.len());
        all.into_iter().for_each(|spec| describe(spec, context.out));
        return Ok(());
    }
    let name = subcommand(context.args);
    match name.as_ref().map_or(&b""[..], |name| name.as_bytes()) {
        b"count" => {
            expect(context.args, 2..=2, "command|count")?;
            let count = all(context.shared).len();
            context.out.integer(i64::try_from(count).unwrap_or(0));
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

/// Every command that is taken here, by name.
fn all(shared: &Shared) -> Vec<&'static Spec> {
    let foreign = FOREIGN.iter().filter(|_| shared.passing.is_on());
    let mut all: Vec<&Spec> = TABLE.iter().chain(foreign).copied().collect();
    all.sort_unstable_by_key(|spec| spec.name);
    all
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
        let all = all(context.shared);
        context.out.array(all.len());
        all.into_iter().for_each(|spec| describe(spec, context.out));
        return;
    }
    context.out.array(names.len());
    for name in names {
        match context.shared.passing.spec(name) {
            Some(spec) => describe(spec, context.out),
            None => context.out.null(),
        }
    }
}

fn docs(context: &mut Context<'_>) {
    let names = &context.args[2..];
    let specs: Vec<&Spec> = if names.is_empty() {
        all(context.shared)
    } else {
        names.iter().filter_map(|name| context.shared.passing.spec(name)).collect()
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
        [] => all(context.shared).into_iter().map(|spec| spec.name).collect(),
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
            let all = all(context.shared).into_iter();
            all.filter(|spec| wanted(spec)).map(|spec| spec.name).collect()
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
    let spec = context
        .shared
        .passing
        .spec(&command[0])
        .ok_or(Failure::fixed("ERR Invalid command specified"))?;
    if !spec.takes(command.len()) {
        return Err(Failure::fixed("ERR Invalid number of arguments specified for command"));
    }
    let keys = spec.keys_in(command);
    if keys.is_empty() {
        return Err(Failure::fixed("ERR The command has no key arguments"));
    }
    context.out.array(keys.len());
    keys.into_iter().for_each(|key| context.out.bulk(key));
    Ok(())
}
