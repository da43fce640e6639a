//! Commands that the front door answers by itself: the connection, the server, the table of commands, Mainstay's own.
//! It must not know how keys are read or written.

use bytes::Bytes;

use crate::resp::{
    command::{Parsed, args::Name},
    error::Failure,
    reply::Output,
    session::{Session, Shared},
};

pub(super) mod acl;
pub(super) mod client;
pub(super) mod client_kill;
pub(super) mod config;
pub(super) mod handshake;
pub(in crate::resp) mod info;
pub(super) mod introspect;
pub(super) mod own;
pub(super) mod server;

/// What such a command works on.
pub(in crate::resp) struct Context<'a> {
    pub(in crate::resp) shared: &'a Shared,
    pub(in crate::resp) session: &'a mut Session,
    pub(in crate::resp) out: &'a mut Output,
    /// The command's name first.
    pub(in crate::resp) args: &'a [Bytes],
}

/// The subcommand's name in lower case.
fn subcommand(args: &[Bytes]) -> Option<Name> {
    args.get(1).and_then(|arg| Name::of(arg))
}

/// Redis's words for a subcommand that does not exist.
fn unknown_subcommand(args: &[Bytes], container: &str) -> Failure {
    let name = args.get(1).map_or(&[][..], |arg| arg);
    let shown = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
    Failure::new(format!("ERR unknown subcommand '{shown}'. Try {container} HELP."))
}

/// Checks how many arguments a subcommand has, the container's and its own name included.
fn expect(args: &[Bytes], counts: std::ops::RangeInclusive<usize>, name: &str) -> Parsed<()> {
    if counts.contains(&args.len()) { Ok(()) } else { Err(Failure::arity(name)) }
}

/// The lines of a HELP, as statuses.
fn help(out: &mut Output, lines: &[&str]) {
    out.array(lines.len());
    for line in lines {
        out.simple(line);
    }
}
