//! The table of commands: name, arity, keys, kind, and the function that takes it from there.
//! It must not know sessions or sockets.

use super::{Context, Job, Parsed, Request, args::Name};

mod rows;

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
