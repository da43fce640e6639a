//! A backend in this process behind a gate: a file has no network that could be broken.
//! It must not know the backend that it stands before, but for the trait.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use mainstay::{
    Deadline, Effect, Error, ErrorKind, Op, OpClass, Reply, Result,
    backend::{Backend, Capabilities, Feed, ProbeDepth, ProbeReport},
};
use tokio::sync::watch;

/// What happens at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barred {
    /// Nothing is applied, and that is said.
    Refused,
    /// Nothing is applied, and nothing is said until the caller's time is over.
    Hangs,
    /// Everything takes so much longer.
    Late(Duration),
}

/// Another backend behind it.
#[derive(Debug)]
pub(super) struct Gate {
    inner: Arc<dyn Backend>,
    barred: watch::Sender<Option<Barred>>,
}

impl Gate {
    pub(super) fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, barred: watch::Sender::new(None) }
    }

    pub(super) fn set(&self, barred: Option<Barred>) {
        self.barred.send_replace(barred);
    }

    /// Returns when a call may pass.
    async fn pass(&self, deadline: Deadline, write: bool) -> Result<()> {
        let barred = *self.barred.borrow();
        match barred {
            None => Ok(()),
            Some(Barred::Refused) => {
                Err(Error::new(ErrorKind::Disconnected, "the drill has taken the file away"))
            }
            Some(Barred::Late(time)) => {
                let slept = tokio::time::sleep(time);
                let late = |_| Self::late(false);
                tokio::time::timeout_at(deadline.instant(), slept).await.map_err(late)
            }
            Some(Barred::Hangs) => {
                let mut watched = self.barred.subscribe();
                let lifted = watched.wait_for(|barred| *barred != Some(Barred::Hangs));
                let waited = tokio::time::timeout_at(deadline.instant(), lifted).await;
                // Whether a request was sent before an answer failed to come is not known to its sender.
                waited.map(drop).map_err(|_| Self::late(write))
            }
        }
    }

    fn late(write: bool) -> Error {
        let effect = if write { Effect::Unknown } else { Effect::None };
        Error::new(ErrorKind::Timeout, "no answer in time").with_effect(effect)
    }
}

impl Backend for Gate {
    fn engine(&self) -> &'static str {
        self.inner.engine()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.pass(deadline, false).await?;
            self.inner.connect(deadline).await
        })
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move {
            self.pass(deadline, op.class() != OpClass::Read).await?;
            self.inner.execute(op, deadline).await
        })
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async move {
            self.pass(deadline, false).await?;
            self.inner.probe(depth, deadline).await
        })
    }

    fn purge(&self, limit: usize, deadline: Deadline) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move {
            self.pass(deadline, false).await?;
            self.inner.purge(limit, deadline).await
        })
    }

    fn follow(&self, prefix: Bytes, deadline: Deadline) -> BoxFuture<'_, Result<Box<dyn Feed>>> {
        self.inner.follow(prefix, deadline)
    }

    fn listen<'a>(
        &'a self,
        channel: &'a str,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Feed>>> {
        self.inner.listen(channel, deadline)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay::{Clock, backend::memory::Memory, config::MemoryConfig};

    fn gate() -> (Gate, Clock) {
        let clock = Clock::system();
        let memory = Memory::new(&MemoryConfig::default(), 1 << 20, clock.clone());
        (Gate::new(Arc::new(memory)), clock)
    }

    #[tokio::test]
    async fn what_is_refused_is_said_to_have_had_no_effect() {
        let (gate, clock) = gate();
        let soon = || clock.deadline_in(Duration::from_millis(30));
        gate.pass(soon(), true).await.unwrap();
        gate.set(Some(Barred::Refused));
        let error = gate.pass(soon(), true).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::None));
        gate.set(None);
        gate.pass(soon(), true).await.unwrap();
    }

    #[tokio::test]
    async fn what_hangs_goes_on_when_it_is_lifted_and_ends_at_its_deadline() {
        let (gate, clock) = gate();
        gate.set(Some(Barred::Hangs));
        let error =
            gate.pass(clock.deadline_in(Duration::from_millis(20)), true).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        let late = clock.deadline_in(Duration::from_secs(60));
        let (passed, ()) = tokio::join!(gate.pass(late, true), async {
            tokio::task::yield_now().await;
            gate.set(None);
        });
        passed.unwrap();
    }

    #[tokio::test]
    async fn what_is_late_passes_unless_its_time_is_over() {
        let (gate, clock) = gate();
        gate.set(Some(Barred::Late(Duration::from_millis(5))));
        gate.pass(clock.deadline_in(Duration::from_secs(60)), false).await.unwrap();
        gate.set(Some(Barred::Late(Duration::from_secs(60))));
        let error =
            gate.pass(clock.deadline_in(Duration::from_millis(5)), false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}
