//! Throw-away servers, faults and the conformance suite for Mainstay backends.
//!
//! - [`servers`]: real engines on free ports, gone when dropped.
//! - [`proxy`]: a TCP proxy whose faults can be changed while connections run through it.
#![warn(missing_docs)]

pub mod proxy;
pub mod servers;
