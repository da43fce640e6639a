//! Throw-away servers, a TCP proxy with faults, and the smallest client: what drills and tests break.
//! It must not know Mainstay's types: what runs here is an engine, not the library.
//!
//! - [`servers`]: real engines on free loopback ports, gone when dropped.
//! - [`proxy`]: a TCP proxy whose faults can be changed while connections run through it.
//! - [`resp`]: one connection that speaks RESP2.
#![warn(missing_docs)]

pub mod proxy;
pub mod resp;
pub mod servers;
