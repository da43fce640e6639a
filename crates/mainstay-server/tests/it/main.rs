//! The front doors: RESP over sockets; HTTP against a storage without a socket, and over a real one.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests may spawn and sleep")]

mod http;
mod limits;
mod resp;
mod strangers;
mod support;
mod tls;
