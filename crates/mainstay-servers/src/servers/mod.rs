//! Throw-away servers for tests and drills: real engines on free loopback ports, gone when dropped.
//! Knows nothing of Mainstay's types: what runs here is an engine, not the library.
//!
//! Every server lives in its own directory and its own process group, is ready when `start` returns, and dies with
//! its value. When this process itself is killed, the servers follow it (`setpriv --pdeathsig`, or a shell that watches a
//! pipe), and the next process that starts a server removes the directories left behind.
#![expect(
    clippy::disallowed_methods,
    reason = "servers live in real time: waiting for them needs the real clock"
)]

mod binary;
mod certificates;
mod command;
pub mod daemon;
mod error;
mod mariadb;
mod pgbouncer;
pub mod port;
mod postgres;
mod redis;
mod template;
mod user;
pub mod workdir;

pub use certificates::Certificates;
pub use error::{ServerError, io_error};
pub use mariadb::{MariaDb, MariaDbOptions};
pub use pgbouncer::PgBouncer;
pub use postgres::{Postgres, PostgresOptions};
pub use redis::{Persist, Redis, RedisCluster, RedisOptions, Sentinel, SentinelOptions};
pub use user::User;

/// Whether the programs of a server are on this machine, by the name of the binary: `redis-server`, `postgres`,
/// `mariadbd`, `pgbouncer`. A drill asks before it promises a real engine.
pub fn installed(binary: &str) -> bool {
    binary::find(binary).is_ok()
}
