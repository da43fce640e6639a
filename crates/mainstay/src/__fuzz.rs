//! What the fuzz targets and the tests over their seeds call. No part of the interface.
//! It must not do anything by itself.

pub use crate::{load::fuzz::loaded, sync::journal::fuzz::journal};
