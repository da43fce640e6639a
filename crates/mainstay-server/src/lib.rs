//! mainstay-server

pub mod resp;
