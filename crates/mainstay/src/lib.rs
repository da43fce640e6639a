//! A storage layer that keeps working, and keeps telling the truth, when Redis or the database does not.
#![warn(missing_docs)]

pub mod backend;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod entry;
pub mod error;
pub mod event;
pub mod guard;
pub mod health;
pub mod node;
pub mod op;
pub mod reply;
pub mod status;
pub mod storage;
pub mod task;

pub use clock::{Clock, Deadline, Instant};
pub use config::Config;
pub use entropy::Entropy;
pub use entry::{Entry, Key, Record, Ttl, Version};
pub use error::{Effect, Error, ErrorKind, Result};
pub use event::{Event, EventKind, Events};
pub use op::{Condition, ExpireCondition, Op, OpClass, TtlChange};
pub use reply::{Outcome, Page, Reply, Written};
pub use storage::{Answer, BreakerCommand, Builder, CallOptions, Storage};
pub use task::Tasks;
