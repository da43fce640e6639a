//! Faults injected on a storage that serves: one at a time, bounded, lifted with the value that stands for it.
//! It must not know what a fault does to a call.

use std::sync::{Arc, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Storage;
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    event::Actor,
    guard::inject::{Fault, Injected},
    node::Node,
};

/// A fault in force. Dropping this lifts it; it also ends by itself when its time is over.
#[must_use = "the fault is lifted when this is dropped"]
#[derive(Debug)]
pub struct Injection {
    node: Arc<Node>,
    injected: Arc<Injected>,
    clock: Clock,
}

impl Injection {
    /// The backend.
    pub fn backend(&self) -> &Arc<str> {
        self.node.name()
    }

    /// Whether it still meets calls.
    pub fn lasts(&self) -> bool {
        self.injected.lasts(self.clock.now())
    }

    /// Lifts it, and says why.
    pub fn lift(self, reason: &str) {
        self.node.lift(&self.injected, reason, &self.injected.actor);
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        self.node.lift(&self.injected, "no longer wanted", &self.injected.actor);
    }
}

impl Storage {
    /// Breaks a backend for some of its calls, inside this process: the backend itself is not touched. Calls that the fault
    /// meets count as the backend's own failures; they fail before they are sent, and so without effect.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown backend, for memory, or for a fault that is out of range; `Conflict` while another
    /// one is in force; `Closed`.
    pub fn inject(
        &self,
        backend: &str,
        fault: Fault,
        reason: &str,
        actor: &Actor,
    ) -> Result<Injection> {
        fault.validate()?;
        let (road, node) = (&self.0.road, Arc::clone(self.node(backend)?));
        if road.tasks.is_closing() {
            return Err(Error::new(ErrorKind::Closed, "the storage is closed"));
        }
        if node.is_local() {
            let text = format!("{backend} is part of this process: there is nothing before it");
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let _turn = self.0.injecting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = road.clock.now();
        if let Some(other) = road.nodes.iter().find(|node| node.guard().injected(now).is_some()) {
            let text =
                format!("a fault is in force before {}; there is one at a time", other.name());
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        let injected = Arc::new(Injected {
            until: now + fault.lasts,
            fault,
            reason: reason.to_owned(),
            actor: actor.clone(),
            lifted: CancellationToken::new(),
        });
        node.inject(&injected);
        road.tasks.spawn(end_in_time(Arc::clone(&node), Arc::clone(&injected)));
        Ok(Injection { node, injected, clock: road.clock.clone() })
    }
}

/// Also where no call comes, it is over when its time is.
async fn end_in_time(node: Arc<Node>, injected: Arc<Injected>) {
    tokio::select! {
        () = injected.lifted.cancelled() => {}
        () = tokio::time::sleep_until(injected.until) => {
            node.lift(&injected, "its time is over", &Actor::SYSTEM);
        }
    }
}

#[cfg(test)]
mod tests;
