//! The RESP front door over sockets.
#![expect(clippy::disallowed_methods, reason = "tests may spawn and sleep")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

mod commands;
mod connections;
mod handshake;
mod pipelining;
mod support;
