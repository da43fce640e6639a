//! The RESP front door: what unmodified Redis clients meet.
//! It must not know how an operation is routed or guarded; it hands it to the storage.

pub mod glob;
pub mod parse;
pub mod reply;
