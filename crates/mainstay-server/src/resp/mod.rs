//! The RESP front door: what unmodified Redis clients meet.
//! It must not know how an operation is routed or guarded; it hands it to the storage.
//!
//! A connection is one task (`connection`): bytes become commands (`parse`), commands become jobs (`command`), jobs
//! run side by side where they touch different keys (`pipeline`), and their answers go out in order (`reply`).

mod client;
mod command;
mod config;
mod connection;
mod cursor;
mod error;
pub mod glob;
pub mod parse;
mod pipeline;
pub mod reply;
mod server;
mod session;
mod wake;

pub use config::RespConfig;
pub use server::RespServer;
