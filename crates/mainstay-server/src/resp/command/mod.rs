//! The commands: one table, one file per family; each reads its arguments into an `Op`, or answers by itself.
//! It must not know sockets, nor how commands are run side by side.

use bytes::Bytes;
use mainstay::{Answer, Clock, Key, Op, RawOp};

pub(super) mod args;
pub(super) mod channels;
mod data;
pub(super) mod encode;
pub(super) mod hash;
mod local;
mod locks;
pub(super) mod multi;
pub(super) mod part;
pub(super) mod permission;
pub(super) mod script;
pub(super) mod sequence;
mod table;

use hash::Call;
pub(super) use local::Context;
use multi::Transaction;
use part::Part;
use script::Script;
use sequence::Sequence;
pub(crate) use table::command_rows;
pub(super) use table::{FOREIGN, Handler, Spec, TABLE, find, find_foreign};

use super::{
    channels::Kind,
    cursor::Cursors,
    error::Failure,
    passing::{Blocking, Nulls, Together, Watching},
    reply::Output,
};

#[cfg(test)]
mod tests;

/// What a data command may look at while it reads its arguments.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    /// The command's name first.
    pub(super) args: &'a [Bytes],
    pub(super) clock: &'a Clock,
    pub(super) cursors: &'a Cursors,
    pub(super) allow_flush: bool,
}

/// Writes the answer to an operation.
pub(super) type Encode = fn(Answer, &Clock, &mut Output) -> mainstay::Result<()>;

/// What a data command asks of the storage.
#[derive(Debug)]
pub(super) enum Job {
    /// One operation; runs beside others.
    Op(Op, Encode),
    /// Reads of one key each that were sent one behind the other; run beside others.
    Run(Vec<(Key, Encode)>),
    /// More than one; runs alone.
    Sequence(Box<Sequence>),
    /// A script; runs beside what touches other keys.
    Script(Box<Script>),
    /// Something about a value that is read as a whole; runs beside others.
    Part(Key, Part),
    /// A command on a hash; runs beside what touches other keys.
    Hash(Box<Call>),
    /// EXEC; runs alone.
    Transaction(Box<Transaction>),
    /// WATCH; runs alone.
    Watch(Vec<Key>),
    /// A command that is passed through; runs beside what touches other keys.
    Pass(Box<(RawOp, Nulls)>),
    /// One that may wait in Redis; runs alone.
    Block(Box<Blocking>),
    /// PUBLISH and PUBSUB; run beside others.
    Channels(Box<channels::Ask>),
    /// SUBSCRIBE; runs alone.
    Subscribe(Kind, Vec<Bytes>),
    /// WATCH on keys that are passed through; runs alone.
    PassWatch(Box<Watching>),
    /// EXEC of commands that are passed through; runs alone.
    PassExec(Box<Together>),
}

impl Job {
    fn script(script: Script) -> Self {
        Self::Script(Box::new(script))
    }

    fn sequence(sequence: Sequence) -> Self {
        Self::Sequence(Box::new(sequence))
    }
}

/// What reading the arguments comes to.
pub(super) type Parsed<T> = Result<T, Failure>;

/// Redis's words for a command that it does not know.
pub(super) fn unknown(args: &[Bytes]) -> Failure {
    const SHOWN_MAX: usize = 128;
    let shown = |bytes: &[u8], max: usize| {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(max)]);
        text.replace(['\r', '\n', '\0'], " ")
    };
    let name = args.first().map_or_else(String::new, |name| shown(name, SHOWN_MAX));
    let mut rest = String::new();
    for arg in args.iter().skip(1) {
        if rest.len() >= SHOWN_MAX {
            break;
        }
        rest.push_str(&format!("'{}' ", shown(arg, SHOWN_MAX - rest.len())));
    }
    Failure::new(format!("ERR unknown command '{name}', with args beginning with: {rest}"))
}

/// Whether a command gives away that this is HTTP: a browser made to talk to the wrong port. As in Redis `POST` and
/// `Host:`, and the first line of any other request.
pub(super) fn is_http(args: &[Bytes]) -> bool {
    const VERBS: [&str; 9] =
        ["get", "head", "put", "delete", "options", "patch", "connect", "trace", "pri"];
    match args {
        [name, ..] if args::is(name, "post") || args::is(name, "host:") => true,
        [verb, _, version] => {
            version.starts_with(b"HTTP/") && VERBS.iter().any(|each| args::is(verb, each))
        }
        _ => false,
    }
}
