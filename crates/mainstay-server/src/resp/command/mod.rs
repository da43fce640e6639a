//! The commands: one table, one file per family; each reads its arguments into an `Op`, or answers by itself.
//! It must not know sockets, nor how commands are run side by side.

use bytes::Bytes;
use mainstay::{Answer, Clock, Op};

pub(super) mod args;
mod data;
pub(super) mod encode;
mod local;
mod locks;
pub(super) mod script;
pub(super) mod sequence;
mod table;

pub(super) use local::Context;
use script::Script;
use sequence::Sequence;
pub(super) use table::{Handler, Spec, TABLE, find};

use super::{cursor::Cursors, error::Failure, reply::Output};

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
    /// More than one; runs alone.
    Sequence(Box<Sequence>),
    /// A script; runs beside what touches other keys.
    Script(Box<Script>),
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

/// Whether a command's name gives away that this is HTTP: a browser made to talk to the wrong port.
pub(super) fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}
