//! Mainstay's front doors: RESP and HTTP.
//! They translate; policy lives in the library.
#![warn(missing_docs)]

pub mod http;
