//! Every throw-away server and the proxy, on the real engines.
//! Knows nothing of Mainstay's own backends: their suites are in the library's tests.

mod conformance;
mod memory;
mod mysql;
mod postgres;
mod proxy;
mod redis;
mod servers;
mod sql;
mod sqlite;
