//! Who grants, in each mode: one attempt, one renewal, one release.
//! It must not know guards, nor who waits.

use std::{sync::Arc, time::Duration};

use super::{
    Claim, Core, Guarantee, LockMode, Parts,
    lease::{Lease, Moment},
};
use crate::{
    clock::Deadline,
    entry::Key,
    error::Result,
    guard,
    op::{LockOp, Op, Waiter},
    reply::{Locked, Reply},
};

pub(crate) mod failover;
pub(crate) mod quorum;
pub(crate) mod single;

use failover::Failover;
use quorum::Quorum;
use single::Single;

/// Who grants.
#[derive(Debug)]
pub(crate) enum Mode {
    /// One backend.
    Single(Single),
    /// A majority.
    Quorum(Quorum),
    /// One of two, as the second says.
    Failover(Failover),
}

/// One attempt at a lock, under a number that was never used before.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) name: Key,
    pub(crate) holder: u128,
    pub(crate) ttl: Duration,
    pub(crate) note: String,
    /// Who waits, if it is held.
    pub(crate) waiter: Option<Waiter>,
}

/// What an attempt gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attempt {
    /// The token, and until when it may be believed.
    Granted(u64, Lease),
    /// Somebody else has it.
    Held { left: Duration, note: String },
    /// Nobody has it by this attempt, but some of the granters may have granted it: it is to be released.
    Split { left: Duration, note: String },
}

/// What a renewal gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Renewal {
    /// A lease from when it was asked for.
    Renewed(Lease),
    /// Somebody else may have the lock.
    Gone,
}

impl Mode {
    /// Its word.
    pub(crate) fn word(&self) -> LockMode {
        match self {
            Mode::Single(single) => single.word(),
            Mode::Quorum(_) => LockMode::Quorum,
            Mode::Failover(_) => LockMode::Failover,
        }
    }

    /// What its locks are worth.
    pub(crate) fn guarantee(&self) -> Guarantee {
        match self {
            Mode::Single(single) => single.guarantee(),
            Mode::Quorum(_) | Mode::Failover(_) => Guarantee::Fenced,
        }
    }

    /// Starts what it needs in the background.
    pub(crate) fn start(&self, core: &Arc<Core>) {
        match self {
            Mode::Single(_) => {}
            Mode::Quorum(quorum) => quorum.start(core),
            Mode::Failover(failover) => failover.start(core),
        }
    }

    /// Tries once. After an error, and when the future is dropped, the caller releases the holder.
    pub(crate) async fn attempt(
        &self,
        parts: &Parts,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Attempt> {
        match self {
            Mode::Single(single) => single.attempt(parts, request, deadline).await,
            Mode::Quorum(quorum) => quorum.attempt(parts, request, deadline).await,
            Mode::Failover(failover) => failover.attempt(parts, request, deadline).await,
        }
    }

    /// Renews once.
    pub(crate) async fn renew(
        &self,
        parts: &Parts,
        claim: &Claim,
        ttl: Duration,
        deadline: Deadline,
    ) -> Result<Renewal> {
        match self {
            Mode::Single(single) => single.renew(parts, claim, ttl, deadline).await,
            Mode::Quorum(quorum) => quorum.renew(parts, claim, ttl, deadline).await,
            Mode::Failover(failover) => failover.renew(parts, claim, ttl, deadline).await,
        }
    }

    /// Releases once, on every backend that may have granted it; whether it was held until then.
    pub(crate) async fn release(
        &self,
        parts: &Parts,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<bool> {
        match self {
            Mode::Single(single) => single.release(parts, claim, deadline).await,
            Mode::Quorum(quorum) => quorum.release(parts, claim, deadline).await,
            Mode::Failover(failover) => failover.release(parts, claim, deadline).await,
        }
    }

    /// Which backends may tell of a release, and under which names they know this lock. A quorum keeps no waiters.
    pub(crate) fn tells_of(&self, name: &Key) -> (Vec<usize>, Vec<Key>) {
        match self {
            Mode::Single(single) if single.word() == LockMode::Local => (Vec::new(), Vec::new()),
            Mode::Single(single) => (vec![single.node()], vec![name.clone()]),
            Mode::Quorum(_) => (Vec::new(), Vec::new()),
            Mode::Failover(failover) => (failover.nodes().to_vec(), failover.names(name)),
        }
    }

    /// The backends that grant.
    pub(crate) fn backends(&self, parts: &Parts) -> Vec<Arc<str>> {
        let ids = match self {
            Mode::Single(single) => vec![single.node()],
            Mode::Quorum(quorum) => quorum.members().to_vec(),
            Mode::Failover(failover) => failover.nodes().to_vec(),
        };
        ids.into_iter().map(|id| Arc::clone(parts.nodes[id].name())).collect()
    }

    /// The backend whose locks people are shown.
    pub(crate) fn shown_by(&self, parts: &Parts) -> usize {
        let available = |id: &usize| parts.nodes[*id].view(parts.clock.now()).is_available();
        match self {
            Mode::Single(single) => single.node(),
            Mode::Quorum(quorum) => {
                let members = quorum.members();
                members.iter().copied().find(available).unwrap_or(members[0])
            }
            Mode::Failover(failover) => failover.shown_by(parts),
        }
    }

    /// Who grants just now, and its epoch.
    pub(crate) fn authority(&self, parts: &Parts) -> Option<(Arc<str>, u64)> {
        match self {
            Mode::Single(_) | Mode::Quorum(_) => None,
            Mode::Failover(failover) => failover.authority(parts),
        }
    }
}

impl Parts {
    /// One guarded call.
    pub(crate) async fn send(&self, node: usize, op: LockOp, deadline: Deadline) -> Result<Reply> {
        guard::call(&self.nodes[node], &Op::Lock(op), deadline).await
    }

    /// One guarded call for a lease: the answer, and when it was asked for. The granter's clock is compared with ours.
    pub(crate) async fn ask(
        &self,
        node: usize,
        op: LockOp,
        deadline: Deadline,
    ) -> Result<(Locked, Moment)> {
        self.ask_from(Moment::now(&self.clock), node, op, deadline).await
    }

    /// The same, counted from a moment before it.
    pub(crate) async fn ask_from(
        &self,
        sent: Moment,
        node: usize,
        op: LockOp,
        deadline: Deadline,
    ) -> Result<(Locked, Moment)> {
        let locked = self.send(node, op, deadline).await?.into_locked()?;
        if let Locked::Granted { now_us, .. } = locked {
            let mut drift = lock(&self.drifts[node]);
            drift.note(sent.instant, self.clock.now(), now_us);
        }
        Ok((locked, sent))
    }

    /// A lease of this granter that was asked for at `sent`.
    pub(crate) fn lease(&self, node: usize, sent: Moment, ttl: Duration) -> Lease {
        Lease::new(sent, ttl, lock(&self.drifts[node]).rate())
    }
}

/// Poison says nothing here: what is guarded is whole after each change.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
