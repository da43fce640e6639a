//! The RESP front door.

mod commands;
mod connections;
mod handshake;
mod hashes;
mod multi;
mod pipelining;
mod scripts;
pub(crate) mod support;
mod users;
