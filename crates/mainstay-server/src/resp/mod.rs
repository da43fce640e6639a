//! The RESP front door: what unmodified Redis clients meet.
//! It must not know how an operation is routed or guarded; it hands it to the storage.
//!
//! A connection is one task (`connection`): bytes become commands (`parse`), commands become jobs (`command`), jobs
//! run side by side where they touch different keys (`pipeline`), and their answers go out in order (`reply`).

mod channels;
mod client;
mod command;
mod config;
mod connection;
mod cursor;
mod error;
pub mod glob;
pub mod parse;
mod passing;
mod pipeline;
pub mod reply;
mod roster;
mod server;
mod session;
mod wake;

pub(crate) use command::command_rows;
pub(crate) use error::line as error_line;

pub use config::RespConfig;
pub use roster::{ClientRow, Roster};
pub use server::{RespServer, RespSettings};
