//! The seam: what an engine must do to serve behind the guard, and what it says about itself.
//! An adapter must not know routes, guards, events or other backends; it sees op, reply, error, entry, clock, config.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    clock::{Deadline, Instant},
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::Op,
    reply::Reply,
};

mod inbox;
pub mod memory;
pub mod open;
#[cfg(feature = "redis")]
pub mod redis;
pub mod semantics;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub mod sql;

/// Who sees what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// This process.
    Process,
    /// The processes of this host that open the same file.
    Host,
    /// Every process.
    Shared,
}

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing.
    Volatile,
    /// A crash of the engine.
    Crash,
}

/// What an engine can do; constant for the life of the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Who sees what is written.
    pub scope: Scope,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Whether records carry versions and `Condition::VersionIs` is understood.
    pub versions: bool,
    /// Whether many-key writes are all or nothing.
    pub atomic_many: bool,
    /// Whether `Op::Copy` is understood: it can be the cache of a record route.
    pub copies: bool,
    /// Whether `Op::Record` is understood: it can be a record with a cache before it.
    pub control: bool,
    /// Whether `Op::Lock` is understood: it can grant locks.
    pub locks: bool,
    /// The longest value in bytes.
    pub value_max: usize,
    /// Whether `execute` always ends by its deadline, so that the guard needs no timer of its own for a call.
    pub keeps_deadlines: bool,
}

/// How deep a probe looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeDepth {
    /// One cheap round trip.
    Ping,
    /// Writes something of its own, outside the users' keys, and reads it back.
    WriteRead,
}

/// What a probe learned, as name and value, for people: server version, role, run id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeReport {
    /// Short names and values, without secrets.
    pub facts: Vec<(&'static str, String)>,
}

/// What a feed tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// These keys may have changed.
    Changed(Vec<Key>),
    /// Any key may have changed (the server was emptied, or forgot what it followed).
    All,
    /// Every change that the server made before this moment has been told.
    UpTo(Instant),
}

/// The changes of one prefix, in the order in which the server made them. It asks for a sign of life by itself, several
/// times a second.
pub trait Feed: Send + fmt::Debug {
    /// The next piece of news. Cancel safe.
    ///
    /// # Errors
    /// `Disconnected`, `Timeout` or `Overloaded` (more changes than could be buffered): changes may have been lost, and
    /// the feed is of no more use.
    fn next(&mut self) -> BoxFuture<'_, Result<Told>>;
}

/// One configured engine. The only dyn seam of the library.
///
/// Contract:
/// - `execute` before the first successful `connect`, or after the client was lost for good, fails at once with
///   `OutOfUse` or `Disconnected` and `Effect::None`; it never starts to reconnect by itself for longer than a pool
///   needs to replace a connection. One loop in `health` reconnects, visibly.
/// - An error of a write says `Effect::None` only when the write was certainly not applied.
/// - `execute` never takes much longer than its deadline, and gives up the connection that timed out: it is never used
///   for another call. Dropping the future is allowed at any time.
/// - Expired records are never returned.
/// - Errors carry the text of the server, one line, without secrets; the name of the backend is added by the guard.
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// The engine's word: `redis`, `postgres`, `mysql`, `sqlite`, `memory`.
    fn engine(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Builds the client anew (resolving names again), puts it in the place of the old one, creates or migrates the
    /// schema where there is one, and returns when one round trip has succeeded.
    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>>;

    /// Performs one operation.
    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>>;

    /// Asks whether the engine can serve.
    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>>;

    /// Removes up to `limit` expired records and old tombstones; returns how many were removed.
    fn purge(&self, _limit: usize, _deadline: Deadline) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async { Ok(0) })
    }

    /// Follows the changes of the keys under a prefix, from now on, over a connection of its own. Only an engine with
    /// `Capabilities::copies` may have this.
    fn follow(&self, _prefix: Bytes, _deadline: Deadline) -> BoxFuture<'_, Result<Box<dyn Feed>>> {
        let error = Error::new(ErrorKind::Unsupported, "this engine tells nobody of changes");
        Box::pin(async { Err(error) })
    }

    /// What the application says over a channel of the engine, from now on, over a connection of its own: each message as
    /// a key, an empty one as `Told::All`.
    fn listen<'a>(
        &'a self,
        _channel: &'a str,
        _deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Feed>>> {
        let error = Error::new(ErrorKind::Unsupported, "this engine has no channels to listen to");
        Box::pin(async { Err(error) })
    }

    /// Releases the connections. Later calls fail with `OutOfUse`.
    fn close(&self) -> BoxFuture<'_, ()>;
}
