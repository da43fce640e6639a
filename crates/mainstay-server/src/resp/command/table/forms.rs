//! The forms that commands come in, and the groups that they belong to.
//! It must not know any one command.

use super::{Handler, Kind, Movable, Spec};
use crate::resp::command::{Context, Job, Parsed, Request};

pub(super) const NO_KEYS: (i64, i64, i64) = (0, 0, 0);
pub(super) const ONE: (i64, i64, i64) = (1, 1, 1);
pub(super) const TWO: (i64, i64, i64) = (1, 2, 1);
pub(super) const ALL: (i64, i64, i64) = (1, -1, 1);
pub(super) const PAIRS: (i64, i64, i64) = (1, -1, 2);

pub(super) type Data = fn(&Request<'_>) -> Parsed<Job>;
pub(super) type Local = fn(&mut Context<'_>) -> Parsed<()>;
pub(super) type Turn = fn(&mut Context<'_>) -> Parsed<Option<Job>>;
pub(super) type Keys = (i64, i64, i64);

pub(super) const fn data(
    name: &'static str,
    arity: i64,
    keys: Keys,
    (group, kind): (&'static str, Kind),
    handler: Data,
    summary: &'static str,
) -> Spec {
    Spec {
        name,
        arity,
        keys,
        movable: Movable::No,
        kind,
        group,
        summary,
        handler: Handler::Data(handler),
    }
}

pub(super) const fn local(
    name: &'static str,
    arity: i64,
    (group, kind): (&'static str, Kind),
    handler: Local,
    summary: &'static str,
) -> Spec {
    Spec {
        name,
        arity,
        keys: NO_KEYS,
        movable: Movable::No,
        kind,
        group,
        summary,
        handler: Handler::Local(handler),
    }
}

/// One on as many keys as its second argument says.
pub(super) const fn eval(
    name: &'static str,
    (group, kind): (&'static str, Kind),
    handler: Data,
    summary: &'static str,
) -> Spec {
    let (keys, movable) = (NO_KEYS, Movable::Count(2));
    Spec { name, arity: -3, keys, movable, kind, group, summary, handler: Handler::Data(handler) }
}

pub(super) const fn turn(
    name: &'static str,
    arity: i64,
    handler: Turn,
    summary: &'static str,
) -> Spec {
    let keys = if arity < 0 { ALL } else { NO_KEYS };
    let (group, kind) = ("transactions", Kind::Connection);
    Spec {
        name,
        arity,
        keys,
        movable: Movable::No,
        kind,
        group,
        summary,
        handler: Handler::Turn(handler),
    }
}

pub(super) const fn listen(
    name: &'static str,
    arity: i64,
    handler: Turn,
    summary: &'static str,
) -> Spec {
    let (group, kind, movable) = ("pubsub", Kind::Connection, Movable::No);
    let handler = Handler::Turn(handler);
    Spec { name, arity, keys: NO_KEYS, movable, kind, group, summary, handler }
}

pub(super) const fn open(
    name: &'static str,
    arity: i64,
    handler: Local,
    summary: &'static str,
) -> Spec {
    Spec {
        name,
        arity,
        keys: NO_KEYS,
        movable: Movable::No,
        kind: Kind::Connection,
        group: "connection",
        summary,
        handler: Handler::Open(handler),
    }
}

pub(super) const STRING_READ: (&str, Kind) = ("string", Kind::Read);
pub(super) const STRING_WRITE: (&str, Kind) = ("string", Kind::Write);
pub(super) const HASH_READ: (&str, Kind) = ("hash", Kind::Read);
pub(super) const HASH_WRITE: (&str, Kind) = ("hash", Kind::Write);
pub(super) const KEY_READ: (&str, Kind) = ("generic", Kind::Read);
pub(super) const KEY_WRITE: (&str, Kind) = ("generic", Kind::Write);
pub(super) const CONNECTION: (&str, Kind) = ("connection", Kind::Connection);
pub(super) const SERVER: (&str, Kind) = ("server", Kind::Connection);
pub(super) const CLUSTER: (&str, Kind) = ("cluster", Kind::Connection);
pub(super) const ADMIN: (&str, Kind) = ("server", Kind::Admin);
pub(super) const LOCK: (&str, Kind) = ("lock", Kind::Write);
pub(super) const PUBSUB: (&str, Kind) = ("pubsub", Kind::Connection);
pub(super) const SCRIPT: (&str, Kind) = ("scripting", Kind::Write);
pub(super) const SCRIPT_READ: (&str, Kind) = ("scripting", Kind::Read);
pub(super) const FLUSH: (&str, Kind) = ("server", Kind::Write);
