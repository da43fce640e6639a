//! The commands, one file each.
//! They must not know each other.

pub(crate) mod breaker;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod del;
pub(crate) mod docs;
pub(crate) mod drain;
pub(crate) mod drill;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod locks;
pub(crate) mod man;
pub(crate) mod serve;
pub(crate) mod set;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod warm;
