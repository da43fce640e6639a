//! Whether a backend serves: probes, passive scores, the connection's life, and the tasks that tend one node.
//! It must not know routes, nor what calls are for.

mod housekeeper;
pub mod lifecycle;
pub mod score;
pub mod state;
mod supervisor;

pub(crate) use housekeeper::{keep_local, keep_tidy};
pub(crate) use supervisor::supervise;

#[cfg(test)]
mod tests;
