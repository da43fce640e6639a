//! The seam: what an engine must do to serve behind the guard, and what it says about itself.
//! An adapter must not know routes, guards, events or other backends; it sees op, reply, error, entry, clock, config.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::{clock::Deadline, error::Result, op::Op, reply::Reply};

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

    /// Releases the connections. Later calls fail with `OutOfUse`.
    fn close(&self) -> BoxFuture<'_, ()>;
}
