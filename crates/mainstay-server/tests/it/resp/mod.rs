//! The RESP front door.

mod commands;
mod connections;
mod handshake;
mod pipelining;
mod scripts;
mod support;
