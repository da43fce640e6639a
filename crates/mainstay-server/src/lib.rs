//! Mainstay's front doors: RESP and HTTP. They translate; policy lives in the library.
//! They must not know how an operation is routed or guarded; they hand it to the storage.
#![warn(missing_docs)]

pub mod address;
mod admission;
pub mod http;
pub mod resp;
mod script;
