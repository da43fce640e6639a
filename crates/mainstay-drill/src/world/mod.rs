//! What is broken and how: the seam between a drill and the systems that it breaks.
//! It must not know phases, load or reports.
//!
//! [`Throwaway`] starts servers of its own and breaks those. The world of `live` injects faults inside a running
//! Mainstay, on a share of its traffic.

mod gate;
mod place;
mod server;
mod stand_in;
mod throwaway;

pub use throwaway::{Custom, Database, Options, Throwaway};

use std::future::Future;

use mainstay_servers::servers::ServerError;
use serde::{Deserialize, Serialize};

use crate::scenario::Fault;

/// Why a world could not do what a drill asked for.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A fault that this backend cannot have, or a target that is not there.
    #[error("{0}")]
    Unsuitable(String),
    /// The storage.
    #[error("{0}")]
    Storage(#[from] mainstay::Error),
}

/// What stands behind a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandsBehind {
    /// The backend.
    pub backend: String,
    /// The engine's word in the configuration's sense: `redis`, `postgres`, `mysql`, `sqlite`.
    pub engine: String,
    /// What it is, for people: `redis-server`, `SQLite, a file`.
    pub what: String,
    /// Whether it is the real engine, as a process of its own.
    pub real: bool,
}

/// Systems that can be broken and healed.
pub trait World: Send {
    /// What stands behind each backend.
    fn places(&self) -> Vec<StandsBehind>;

    /// The backends that a scenario's word means: `redis`, `db`, `all`, or a name.
    ///
    /// # Errors
    /// `Unsuitable` when there is none.
    fn targets(&self, word: &str) -> Result<Vec<String>, WorldError> {
        let places = self.places();
        let matches = |place: &&StandsBehind| match word {
            "all" => true,
            "redis" => place.engine == "redis",
            "db" => place.engine != "redis",
            name => place.backend == name,
        };
        let found: Vec<String> =
            places.iter().filter(matches).map(|place| place.backend.clone()).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let names: Vec<&str> = places.iter().map(|place| &*place.backend).collect();
        let text =
            format!("no backend is meant by the target `{word}`; there are {}", names.join(", "));
        Err(WorldError::Unsuitable(text))
    }

    /// Makes ready for this fault while nothing is broken yet.
    fn prepare(
        &mut self,
        targets: &[String],
        fault: &Fault,
    ) -> impl Future<Output = Result<(), WorldError>> + Send;

    /// Breaks these backends.
    fn inject(
        &mut self,
        targets: &[String],
        fault: &Fault,
    ) -> impl Future<Output = Result<(), WorldError>> + Send;

    /// Heals them; each can serve when this returns.
    fn heal(
        &mut self,
        targets: &[String],
        fault: &Fault,
    ) -> impl Future<Output = Result<(), WorldError>> + Send;

    /// A server that has ended though nobody broke it.
    fn ended(&mut self) -> Option<String>;
}
