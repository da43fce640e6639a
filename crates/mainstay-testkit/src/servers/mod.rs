//! Throw-away servers for tests and drills: real engines on free loopback ports, gone when dropped.
//! Knows nothing of Mainstay's types: what runs here is an engine, not the library.
//!
//! Every server lives in its own directory and its own process group, is ready when `start` returns, and dies with
//! its value. When the test process itself is killed, the servers follow it (`setpriv --pdeathsig`), and the next
//! process that starts a server removes the directories left behind.
#![expect(
    clippy::disallowed_methods,
    reason = "servers live in real time: waiting for them needs the real clock"
)]

mod binary;
mod command;
pub(crate) mod daemon;
mod error;
mod mariadb;
mod pgbouncer;
pub(crate) mod port;
mod postgres;
mod redis;
mod template;
mod user;
pub(crate) mod workdir;

pub use error::ServerError;
pub(crate) use error::io_error;
pub use mariadb::{MariaDb, MariaDbOptions};
pub use pgbouncer::PgBouncer;
pub use postgres::{Postgres, PostgresOptions};
pub use redis::{Persist, Redis, RedisCluster, RedisOptions, Sentinel, SentinelOptions};

/// Whether the programs of a server are on this machine, by the name of the binary: `redis-server`, `postgres`,
/// `mariadbd`, `pgbouncer`. A drill asks before it promises a real engine.
pub fn installed(binary: &str) -> bool {
    binary::find(binary).is_ok()
}
