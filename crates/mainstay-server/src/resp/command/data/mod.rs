//! Commands about keys and values: arguments in, a job out.
//! It must not know sessions or the server.

pub(super) mod counters;
pub(super) mod expiry;
pub(super) mod invalidate;
pub(super) mod keys;
pub(super) mod scan;
pub(super) mod strings;
pub(super) mod write;
