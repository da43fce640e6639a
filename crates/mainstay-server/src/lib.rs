//! Mainstay's front doors: RESP and HTTP. They translate; policy lives in the library.
//! They must not know how an operation is routed or guarded; they hand it to the storage.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs)]

pub mod access;
pub mod address;
mod admission;
mod guard;
pub mod http;
mod limits;
pub mod reference;
pub mod resp;
mod script;
pub mod tls;

pub use guard::Guard;
