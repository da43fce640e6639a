//! Mainstay's front doors: what clients connect to.
//! It must not know how an operation is routed or guarded; it hands it to the storage.

pub mod admission;
pub mod resp;
