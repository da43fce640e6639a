//! What front doors need to pass commands through: which keys, and connections of their own.
//! It must not know commands.

use std::sync::Arc;

use super::Storage;
use crate::{
    backend::Line,
    clock::Deadline,
    entry::Key,
    error::{Error, Result},
    exec::raw,
    op::RawOp,
};

impl Storage {
    /// Whether there is a route whose keys are passed through.
    pub fn has_passthrough(&self) -> bool {
        self.0.road.table.routes().iter().any(|route| route.raw.is_some())
    }

    /// The backend to which all commands on this key are passed through, by its route.
    pub fn passthrough_of(&self, key: &Key) -> Option<&Arc<str>> {
        let road = &self.0.road;
        road.table.of(key).raw.map(|id| road.nodes[id].name())
    }

    /// Whether a command may be passed through, by its keys.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that is kept elsewhere, or is Mainstay's own.
    pub fn may_pass(&self, op: &RawOp) -> Result<()> {
        raw::check(&self.0.road, op)
    }

    /// A connection to a backend for one user at a time, asked for through the backend's guard.
    ///
    /// # Errors
    /// `Unavailable` with the backend's reason; `Unsupported` for an engine that has none to give.
    pub async fn line(
        &self,
        backend: &str,
        resp3: bool,
        deadline: Deadline,
    ) -> Result<Box<dyn Line>> {
        raw::line(&self.0.road, backend, resp3, deadline).await
    }

    /// One round trip to a backend through its guard.
    ///
    /// # Errors
    /// `Unavailable` with the backend's reason.
    pub async fn greet(&self, backend: &str, deadline: Deadline) -> Result<()> {
        raw::admitted(&self.0.road, backend, deadline).await
    }

    /// Why a backend takes no calls now; `None`: it does.
    pub fn refusal(&self, backend: &str) -> Option<Error> {
        raw::refusal(&self.0.road, backend)
    }
}
