//! The seam: what an engine must do to serve behind the guard, and what it says about itself.
//! An adapter must not know routes, guards, events or other backends; it sees op, reply, error, entry, clock, config.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    clock::{Clock, Deadline, Instant},
    config::BackendConfig,
    entry::Key,
    error::{Error, ErrorKind, Result},
    op::{Op, RawValue},
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
    /// The connection that was asked was cut, and another answered: it may lead to another server.
    pub reconnected: bool,
}

/// So much or less is not worth a word.
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
const SKEW_MIN_MS: i64 = 500;

/// By how much a server's clock is ahead of this process's, for its facts; empty while they agree, or where it does not say.
/// It was read at some moment since it was asked for: how long the answer took is no difference.
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
pub(crate) fn skew(server_unix_ms: Option<i64>, asked_unix_ms: i64, clock: &Clock) -> String {
    let Some(server) = server_unix_ms else { return String::new() };
    let ahead = server.saturating_sub(clock.unix_ms()).max(0);
    let behind = asked_unix_ms.saturating_sub(server).max(0);
    let ahead = ahead.saturating_sub(behind);
    if ahead.abs() <= SKEW_MIN_MS { String::new() } else { ahead.to_string() }
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

/// A connection of its own. What was sent and not answered when it is dropped may still be performed.
pub trait Line: Send + fmt::Debug {
    /// Sends commands in one go; a reply for each. An error of the command is a value.
    ///
    /// # Errors
    /// The connection broke, or the server cannot serve: it is of no more use.
    fn send(&mut self, commands: Vec<Vec<Bytes>>) -> BoxFuture<'_, Result<Vec<RawValue>>>;

    /// The next message that came unasked: its kind, and what it says. Cancel safe.
    ///
    /// # Errors
    /// `Disconnected`, or `Overloaded` (more than could be buffered): messages may have been lost.
    fn pushed(&mut self) -> BoxFuture<'_, Result<Vec<RawValue>>>;
}

/// One configured engine. The only dyn seam of the library.
///
/// Contract:
/// - `execute` before the first successful `connect`, or after the client was lost for good, fails at once with
///   `OutOfUse` or `Disconnected` and `Effect::None`; it never starts to reconnect by itself for longer than a pool
///   needs to replace a connection. One loop in `health` reconnects, visibly.
/// - An error of a write says `Effect::None` only when the write was certainly not applied.
/// - `execute` may be dropped at any time, and is when its deadline has passed: the guard keeps the time for all calls. A
///   connection on which a call got no answer is given up where its later answer could be taken for another's.
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

    /// A connection of its own for one user at a time, in this version of the protocol: for commands that block, and for
    /// those that belong together.
    fn line(&self, _resp3: bool, _deadline: Deadline) -> BoxFuture<'_, Result<Box<dyn Line>>> {
        let error =
            Error::new(ErrorKind::Unsupported, "this engine takes no commands of Redis's own");
        Box::pin(async { Err(error) })
    }

    /// Takes over what may change while it is open: the longest value in bytes, and of its configuration what needs no
    /// other client. Calls under way and connections that stand may go on as they began.
    fn reconfigure(&self, _config: &BackendConfig, _value_max: usize) {}

    /// Releases the connections. Later calls fail with `OutOfUse`.
    fn close(&self) -> BoxFuture<'_, ()>;
}

#[cfg(all(test, any(feature = "redis", feature = "postgres", feature = "mysql")))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_was_never_the_time_between_question_and_answer_is_skew() {
        let clock = Clock::starting_at(1_000_000);
        let asked = clock.unix_ms();
        let said = |server| skew(Some(server), asked, &clock);
        // Answered at once.
        for server in [asked, asked + 500, asked - 500] {
            assert_eq!(said(server), "", "{}", server - asked);
        }
        assert_eq!((said(asked + 501).as_str(), said(asked - 501).as_str()), ("501", "-501"));

        // It took two seconds, before the server read its clock or after.
        tokio::time::advance(Duration::from_secs(2)).await;
        let answered = clock.unix_ms();
        assert_eq!(answered - asked, 2_000);
        for server in [asked, asked + 700, answered, answered + 500, asked - 500] {
            assert_eq!(said(server), "", "{}", server - asked);
        }
        assert_eq!((said(answered + 600).as_str(), said(asked - 600).as_str()), ("600", "-600"));
        assert_eq!(said(asked + 7_200_000), "7198000");
        assert_eq!(skew(None, asked, &clock), "");
    }
}
