//! Throw-away servers, faults and the conformance suite for Mainstay backends.
//!
//! - [`servers`], [`proxy`]: those of `mainstay-servers`.
//! - [`fault`]: a backend that fails to order.
//! - [`chaos`]: real processes under faults, recorded and judged.
//! - [`conformance`]: the suite that every backend passes.
//! - [`exploration`]: what visiting every state of a model has found.
//! - [`history`]: what happened in a run, and the checkers that judge it.
//! - [`load`]: a closed-loop load over RESP that checks what it reads.
//! - [`locks`]: how a lock stays one lock, as models that are explored in every state.
//! - [`model`]: the smallest backend that does.
//! - [`protocol`]: how caches are kept true, as a model that is explored in every state.
//! - [`sim`]: the whole library, several processes of it, in a simulated world.
#![warn(missing_docs)]

pub use mainstay_servers::{proxy, servers};

pub mod chaos;
pub mod conformance;
pub mod exploration;
pub mod fault;
pub mod history;
pub mod load;
pub mod locks;
pub mod model;
pub mod protocol;
#[cfg(feature = "sim")]
pub mod sim;
