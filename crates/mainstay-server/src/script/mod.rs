//! Lua scripts as Redis runs them: a sandbox, the conversions, a cache of texts, and the well-known ones by their SHA-1.
//! It must not know the storage, nor the protocol: what a script calls is a `Host`.

mod cache;
mod convert;
mod functions;
mod interpreter;
mod known;
mod packing;
mod pool;
mod program;
mod value;

pub(crate) use cache::Scripts;
pub(crate) use interpreter::{Host, Inputs};
pub(crate) use pool::{Pool, Stopped};
pub(crate) use program::Program;
pub(crate) use value::Value;

#[cfg(test)]
mod tests;
