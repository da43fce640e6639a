//! The server as one Redis node: TIME, ROLE, WAIT, and what it is not, a cluster.
//! It must not know backends.

use super::{Context, subcommand, unknown_subcommand};
use crate::resp::{
    command::{Parsed, args::integer},
    error::Failure,
};

/// TIME
pub(in crate::resp::command) fn time(context: &mut Context<'_>) -> Parsed<()> {
    let us = context.shared.clock().unix_us();
    context.out.array(2);
    context.out.bulk((us / 1_000_000).to_string().as_bytes());
    context.out.bulk((us % 1_000_000).to_string().as_bytes());
    Ok(())
}

/// ROLE
pub(in crate::resp::command) fn role(context: &mut Context<'_>) -> Parsed<()> {
    context.out.array(3);
    context.out.bulk(b"master");
    context.out.integer(0);
    context.out.array(0);
    Ok(())
}

/// WAIT replicas timeout: there are none.
pub(in crate::resp::command) fn wait(context: &mut Context<'_>) -> Parsed<()> {
    integer(&context.args[1])?;
    integer(&context.args[2])?;
    context.out.integer(0);
    Ok(())
}

/// READONLY, READWRITE
pub(in crate::resp::command) fn no_cluster(_: &mut Context<'_>) -> Parsed<()> {
    Err(Failure::fixed("ERR This instance has cluster support disabled"))
}

/// CLUSTER subcommand ...
pub(in crate::resp::command) fn cluster(context: &mut Context<'_>) -> Parsed<()> {
    const KNOWN: [&[u8]; 14] = [
        b"info",
        b"nodes",
        b"slots",
        b"shards",
        b"myid",
        b"keyslot",
        b"countkeysinslot",
        b"getkeysinslot",
        b"links",
        b"replicas",
        b"slaves",
        b"meet",
        b"reset",
        b"failover",
    ];
    let name = subcommand(context.args);
    let name = name.as_ref().map_or(&b""[..], |name| name.as_bytes());
    if KNOWN.contains(&name) {
        return no_cluster(context);
    }
    Err(unknown_subcommand(context.args, "CLUSTER"))
}
