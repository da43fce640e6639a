//! One configuration out of flags, environment, file and defaults, and where each value came from.
//! It must not open anything but the files it is told of.

mod check;
pub(crate) mod docs;
mod env;
mod error;
mod file;
mod load;
mod model;
mod origin;
mod secret;
mod shape;
mod suggest;
mod tree;

pub(crate) use error::Problems;
pub(crate) use file::Environment;
pub(crate) use load::{Flag, Loaded, SEARCHED, Sources, load};
pub(crate) use model::{LogConfig, LogFormat, Settings, schema};

/// What `config init` writes.
pub(crate) const TEMPLATE: &str = include_str!("template.toml");

#[cfg(test)]
mod tests;
