//! Connections of their own, for commands that block and for those that belong together: few, lent to one at a time.
//! It must not know what is sent over them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use mainstay::{Deadline, Storage, backend::Line};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::resp::error::Failure;

/// Connections that wait for their next user, at most.
const IDLE_MAX: usize = 16;

/// A connection that has been idle answers at once, or is of no more use.
const PATIENCE: Duration = Duration::from_millis(250);

/// The connections.
#[derive(Debug)]
pub(in crate::resp) struct Lines {
    places: Arc<Semaphore>,
    max: usize,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    backend: Arc<str>,
    resp3: bool,
    line: Box<dyn Line>,
}

/// A connection that is lent. Dropped, it is closed; `Lines::give` keeps it for the next.
#[derive(Debug)]
pub(in crate::resp) struct Lease {
    pub(in crate::resp) backend: Arc<str>,
    pub(in crate::resp) line: Box<dyn Line>,
    resp3: bool,
    _place: OwnedSemaphorePermit,
}

impl Lines {
    pub(in crate::resp) fn new(max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max)), max, idle: Mutex::default() }
    }

    /// Lends a connection, after the guard of the backend has let a first command pass.
    ///
    /// # Errors
    /// All are lent; those of the backend.
    pub(in crate::resp) async fn take(
        &self,
        storage: &Storage,
        backend: &Arc<str>,
        resp3: bool,
        deadline: Deadline,
    ) -> Result<Lease, Failure> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| {
            let text = format!(
                "UNAVAILABLE {backend} all {} connections for commands that block and for transactions are taken \
                 (resp.passthrough_connections_max); retry_after_ms=1000",
                self.max
            );
            Failure::new(text)
        })?;
        let lease = |line| Lease { backend: Arc::clone(backend), line, resp3, _place: place };
        if let Some(mut line) = self.pop(backend, resp3) {
            storage.greet(backend, deadline).await?;
            let ping = vec![vec![Bytes::from_static(b"PING")]];
            if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, line.send(ping)).await {
                return Ok(lease(line));
            }
        }
        Ok(lease(storage.line(backend, resp3, deadline).await?))
    }

    fn pop(&self, backend: &Arc<str>, resp3: bool) -> Option<Box<dyn Line>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle.iter().rposition(|one| one.backend == *backend && one.resp3 == resp3)?;
        Some(idle.swap_remove(found).line)
    }

    /// Takes a connection back on which nothing is on its way, and which watches nothing.
    pub(in crate::resp) fn give(&self, lease: Lease) {
        let Lease { backend, line, resp3, _place } = lease;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(Idle { backend, resp3, line });
        }
    }
}
