//! One configuration out of flags, environment, file and defaults, and where each value came from.
//! It must not open anything but the files it is told of.

mod check;
mod diff;
pub(crate) mod docs;
mod env;
mod error;
mod file;
mod import;
mod live;
mod load;
mod model;
mod origin;
mod runtime;
mod secret;
mod shape;
mod suggest;
mod traces;
mod tree;
mod variables;

pub(crate) use diff::{Change, diff, line, merged};
pub(crate) use error::{Problem, Problems};
pub(crate) use import::convert as import;
pub(crate) use live::Effect;
pub(crate) use load::{Flag, Loaded, SEARCHED, Sources, load};
pub(crate) use model::{LogConfig, LogFormat, Settings, schema};
pub(crate) use traces::TracesConfig;
pub(crate) use variables::Environment;

/// What `config init` writes.
pub(crate) const TEMPLATE: &str = include_str!("template.toml");

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
