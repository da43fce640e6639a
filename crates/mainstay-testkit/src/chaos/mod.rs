//! The chaos suite: real Mainstay processes before one Redis and one record, clients that record all they see, and a
//! nemesis that breaks one or two things at a time. It must not judge: the checkers of [`crate::history`] do.
//!
//! Each process reaches each server through a proxy of its own, so that one process can be cut off from a server that the
//! others reach. All choices follow from the seed; the interleaving is the machine's.

mod age;
mod client;
mod fault;
mod http;
mod label;
mod nemesis;
mod options;
mod outcome;
mod perform;
mod process;
mod record;
mod render;
mod rest;
mod run;
mod summary;
mod time;
mod workload;
mod world;

pub use fault::Fault;
pub use options::{Options, RecordKind};
pub use outcome::{Cost, Outcome, Round};
pub use run::run;
pub use summary::Summary;
