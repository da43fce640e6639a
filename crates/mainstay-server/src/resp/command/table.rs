//! The table of commands: name, arity, keys, kind, and the function that takes it from there.
//! It must not know sessions or sockets.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Context, Job, Parsed, Request,
    args::{Name, integer},
};
use crate::{access::Role, reference::CommandRow};

mod foreign;
mod forms;
mod options;
mod rows;

pub(in crate::resp) use foreign::FOREIGN;

use options::{follows_patterns, stored_at, stream_options};
pub(in crate::resp) use rows::TABLE;
use rows::{GET, SET};

/// One command.
#[derive(Debug)]
pub(in crate::resp) struct Spec {
    /// In lower case.
    pub(in crate::resp) name: &'static str,
    /// Arguments, the name included; negative: at least so many.
    pub(super) arity: i64,
    /// First key, last key (negative: from the end), step; 0: no keys.
    pub(super) keys: (i64, i64, i64),
    /// Further keys, whose places follow from the arguments.
    pub(super) movable: Movable,
    kind: Kind,
    pub(super) group: &'static str,
    pub(super) summary: &'static str,
    pub(in crate::resp) handler: Handler,
}

/// Who takes it from there.
#[derive(Clone, Copy, Debug)]
pub(in crate::resp) enum Handler {
    /// Reads the arguments into a job for the storage.
    Data(fn(&Request<'_>) -> Parsed<Job>),
    /// Answers at once.
    Local(fn(&mut Context<'_>) -> Parsed<()>),
    /// The same, and also before AUTH.
    Open(fn(&mut Context<'_>) -> Parsed<()>),
    /// In its turn, with the state of its connection: answers at once, or asks the storage. Never kept back by MULTI.
    Turn(fn(&mut Context<'_>) -> Parsed<Option<Job>>),
    /// Redis, where it is passed through.
    Pass(Wait),
}

/// Keys whose places follow from the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Movable {
    No,
    /// So many as the argument in this place says, right behind it.
    Count(usize),
    /// The first half of what follows the word STREAMS.
    Streams,
    /// Those behind the options STORE and STOREDIST.
    Store,
}

/// How long a command may wait in the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resp) enum Wait {
    Never,
    /// As its first argument says, in seconds; 0: for ever.
    First,
    /// As its last argument says, in seconds; 0: for ever.
    Last,
    /// As the option BLOCK says, in milliseconds, if there is one; 0: for ever.
    Block,
}

impl Wait {
    /// How long a call of it may wait: not at all, for ever (`Some(None)`), or for some time.
    pub(in crate::resp) fn of(self, args: &[Bytes]) -> Option<Option<Duration>> {
        let (text, seconds) = match self {
            Self::Never => return None,
            Self::Block if stream_options(args).block.is_none() => return None,
            Self::First => (args.get(1), true),
            Self::Last => (args.last(), true),
            Self::Block => (stream_options(args).block, false),
        };
        let number = text.and_then(|text| std::str::from_utf8(text).ok()?.parse::<f64>().ok());
        // What is no time is refused by Redis at once.
        let number = number.filter(|number| *number >= 0.0).unwrap_or(1.0);
        let time = Duration::try_from_secs_f64(if seconds { number } else { number / 1000.0 });
        Some(time.ok().filter(|time| !time.is_zero()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Connection,
    Admin,
}

impl Spec {
    /// Whether a command may have this many arguments, its name included.
    pub(in crate::resp) fn takes(&self, count: usize) -> bool {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if self.arity < 0 { count >= -self.arity } else { count == self.arity }
    }

    /// Whether MULTI does not keep it back.
    pub(in crate::resp) fn is_immediate(&self) -> bool {
        matches!(self.name, "multi" | "exec" | "discard" | "quit" | "reset")
    }

    /// Whether it is one of Mainstay's own.
    pub(in crate::resp) fn is_mainstays(&self) -> bool {
        self.name.starts_with("mainstay.")
    }

    /// Whether a subscriber may send it in RESP2.
    pub(in crate::resp) fn is_for_subscribers(&self) -> bool {
        self.name.ends_with("subscribe") || matches!(self.name, "ping" | "quit" | "reset")
    }

    /// Whether it changes nothing.
    pub(in crate::resp) fn is_read(&self) -> bool {
        self.kind == Kind::Read
    }

    /// Whether it is for administrators.
    pub(in crate::resp) fn is_admin(&self) -> bool {
        self.kind == Kind::Admin
    }

    /// The keys that a call of it names.
    pub(in crate::resp) fn keys_in<'a>(&self, words: &'a [Bytes]) -> Vec<&'a Bytes> {
        let (first, last, step) = self.keys;
        let count = i64::try_from(words.len()).unwrap_or(i64::MAX);
        let last = if last < 0 { count + last } else { last };
        let index = |at: i64| usize::try_from(at).unwrap_or(0);
        let places = (index(first)..=index(last)).step_by(index(step).max(1));
        let fixed = places.filter(|at| *at > 0).filter_map(|at| words.get(at));
        fixed.chain(self.moved(words)).collect()
    }

    fn moved<'a>(&self, words: &'a [Bytes]) -> Vec<&'a Bytes> {
        let found = match self.movable {
            Movable::No => None,
            Movable::Count(place) => words
                .get(place)
                .and_then(|count| usize::try_from(integer(count).ok()?).ok())
                .and_then(|count| words.get(place + 1..)?.get(..count)),
            Movable::Streams => {
                let rest = stream_options(words).streams;
                rest.get(..rest.len() / 2)
            }
            Movable::Store => {
                let options = usize::try_from(self.arity.abs()).unwrap_or(0);
                return stored_at(words.get(options..).unwrap_or_default());
            }
        };
        found.unwrap_or_default().iter().collect()
    }

    /// Whether a call of it may reach keys in Redis that it does not name as such.
    pub(super) fn may_reach_more(&self, words: &[Bytes]) -> bool {
        let of_scripts = self.group == "scripting";
        let unknown =
            std::ptr::eq(self, &foreign::OF_MODULE) || std::ptr::eq(self, &foreign::NAMED);
        let sorts = matches!(self.name, "sort" | "sort_ro");
        of_scripts || unknown || sorts && follows_patterns(words.get(2..).unwrap_or_default())
    }

    /// The least role that may give it; `None`: everyone who is in.
    pub(super) fn needs(&self) -> Option<Role> {
        match self.kind {
            Kind::Read => Some(Role::Read),
            Kind::Write => Some(Role::Write),
            Kind::Connection => None,
            Kind::Admin => Some(Role::Admin),
        }
    }

    /// Redis's words for its kind.
    pub(super) fn flags(&self) -> impl Iterator<Item = &'static str> {
        let kind = match self.kind {
            Kind::Read => "readonly",
            Kind::Write => "write",
            Kind::Connection => "fast",
            Kind::Admin => "admin",
        };
        let open = matches!(self.handler, Handler::Open(_)).then_some("no_auth");
        std::iter::once(kind).chain(open)
    }

    /// Redis's categories.
    pub(super) fn categories(&self) -> impl Iterator<Item = String> {
        let kind = match self.kind {
            Kind::Read => "@read",
            Kind::Write => "@write",
            Kind::Connection => "@fast",
            Kind::Admin => "@admin",
        };
        let group = match self.group {
            "generic" => "keyspace",
            other => other,
        };
        [kind.to_owned(), format!("@{group}")].into_iter()
    }
}

/// Every command, for the reference.
pub(crate) fn command_rows() -> Vec<CommandRow> {
    let row = |spec: &&'static Spec| CommandRow {
        name: spec.name.to_ascii_uppercase(),
        arity: spec.arity,
        group: spec.group,
        flags: spec.flags().collect::<Vec<_>>().join(" "),
        summary: spec.summary,
    };
    TABLE.iter().map(row).collect()
}

/// Finds a command by its name in any case.
pub(in crate::resp) fn find(name: &[u8]) -> Option<&'static Spec> {
    // The two that make up most of the traffic.
    if name.eq_ignore_ascii_case(b"get") {
        return Some(&GET);
    }
    if name.eq_ignore_ascii_case(b"set") {
        return Some(&SET);
    }
    let name = Name::of(name)?;
    let found = TABLE.binary_search_by(|spec| spec.name.as_bytes().cmp(name.as_bytes()));
    found.ok().and_then(|nth| TABLE.get(nth)).copied()
}

/// Finds a command that may be passed through, by its name in lower case. `named`: whether the configuration names it.
pub(in crate::resp) fn find_foreign(
    name: &[u8],
    named: impl FnOnce() -> bool,
) -> Option<&'static Spec> {
    let found = FOREIGN.binary_search_by(|spec| spec.name.as_bytes().cmp(name));
    match found.ok().and_then(|nth| FOREIGN.get(nth)) {
        Some(spec) => Some(spec),
        None if name.contains(&b'.') && !name.starts_with(b"mainstay.") => {
            Some(&foreign::OF_MODULE)
        }
        None if named() => Some(&foreign::NAMED),
        None => None,
    }
}
