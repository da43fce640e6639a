//! A storage layer that keeps working, and keeps telling the truth, when Redis or the database does not.
//!
//! One API over Redis, PostgreSQL, MySQL/MariaDB, SQLite and memory, with a circuit breaker and a bulkhead per backend,
//! health checks, reconnection, hedged reads, and routes that say what they promise.
//!
//! ```no_run
//! use std::time::Duration;
//! use mainstay::{Config, SetOptions, Storage, TtlChange, config::BackendConfig};
//!
//! # async fn example() -> mainstay::Result<()> {
//! let mut config = Config::default();
//! config.backends.insert("redis".into(), BackendConfig::at("redis://127.0.0.1:6379"));
//! config.backends.insert("db".into(), BackendConfig::at("postgres://app@127.0.0.1/app"));
//! let storage = Storage::open(config).await?; // succeeds also while Redis or the database is down
//!
//! let options = SetOptions { ttl: TtlChange::For(Duration::from_secs(1800)), ..SetOptions::default() };
//! storage.set_with("session:1", "ada", options).await?; // committed in PostgreSQL, absent in Redis
//! if let Some(entry) = storage.get("session:1").await? {
//!     println!("{:?} from {}, stale: {}", entry.value, entry.source, entry.stale);
//! }
//! println!("{}", storage.status().sentence);
//! storage.close(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! The default route follows from what is configured: a durable backend is the *record*, a Redis before it is its
//! *cache*; a Redis alone is a *failover route* with memory behind it; nothing at all is a SQLite file. Routes by key
//! prefix are in [`config::RouteConfig`].
//!
//! Every operation is a value, [`Op`]; the verbs of [`Storage`] are typed calls over [`Storage::execute`]. An [`Error`]
//! is a kind, an effect (whether a failed write may have been applied) and a place. A backend of one's own implements
//! [`backend::Backend`] and joins through [`Storage::builder`].
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs)]

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod __fuzz;
#[doc(hidden)]
pub mod __private;
pub mod backend;
mod cache;
pub mod clock;
pub mod codec;
pub mod config;
pub mod entropy;
pub mod entry;
pub mod error;
pub mod event;
mod exec;
pub mod guard;
pub mod hash;
pub mod health;
mod live;
mod load;
pub mod lock;
mod merging;
pub mod node;
pub mod observe;
pub mod op;
#[cfg(doctest)]
mod pages;
pub mod reply;
mod route;
mod sharded;
pub mod status;
pub mod storage;
mod sync;
pub mod task;
pub mod trace;

pub use clock::{Clock, Deadline, Instant};
pub use config::Config;
pub use entropy::Entropy;
pub use entry::{Ack, Entry, Freshness, Key, Record, Ttl, Version, Worth};
pub use error::{Effect, Error, ErrorKind, Result};
pub use event::{Actor, Event, EventKind, Events};
pub use guard::inject::{Fault, FaultKind};
pub use load::LoadOptions;
pub use lock::{
    Campaign, Guarantee, Leadership, LockGuard, LockMode, LockOptions, Locks, Released,
};
pub use mainstay_macros::cached;
pub use observe::{HistoryEntry, PastError};
pub use op::{Change, Condition, ExpireCondition, Op, OpClass, RawOp, RawValue, TtlChange};
pub use reply::{Outcome, Page, Reply, Written};
pub use status::{BreakerCommand, Status};
pub use storage::{
    Answer, Builder, CallOptions, Decision, Injection, JournalConflict, JournalContents, Merged,
    Session, SetOptions, Snapshot, Storage, inspect_journal,
};
pub use task::Tasks;
