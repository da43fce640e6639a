//! Every throw-away server and the proxy, and every backend through the conformance suite, on the real engines.
//! Knows nothing of routes and front doors.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests may spawn and sleep, and servers take real time"
)]

mod conformance;
mod loads;
mod locks;
mod memory;
mod mysql;
mod near;
mod postgres;
mod proxy;
mod queries;
mod records;
mod redis;
mod servers;
mod sql;
mod sqlite;
mod tls;
mod together;
