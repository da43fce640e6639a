//! The first backend (Redis) grants while the second (a database) says so; the authority moves with an epoch and a wait.
//! It must not decide anything by itself: `hand_over` does.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{Attempt, Parts, Renewal, Request, lock};
use crate::{
    clock::Deadline,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    lock::{Claim, Core, lease::Moment},
    op::{Counting, Ground, LockOp},
    reply::Locked,
};

mod hand_over;
mod keeper;

use hand_over::{View, epoch_of, token};

/// The two backends, and what the second one last said.
#[derive(Debug)]
pub(crate) struct Failover {
    fast: usize,
    arbiter: usize,
    view: Mutex<Option<Arc<View>>>,
    /// One asks at a time.
    asking: tokio::sync::Mutex<()>,
}

impl Failover {
    pub(crate) fn new(fast: usize, arbiter: usize) -> Self {
        Self { fast, arbiter, view: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    pub(crate) fn nodes(&self) -> [usize; 2] {
        [self.fast, self.arbiter]
    }

    pub(crate) fn start(&self, core: &Arc<Core>) {
        core.parts.tasks.spawn(keeper::keep(Arc::downgrade(core)));
    }

    pub(crate) fn shown_by(&self, parts: &Parts) -> usize {
        match lock(&self.view).as_ref() {
            Some(view) if self.is_fast(parts, view) => self.fast,
            _ => self.arbiter,
        }
    }

    pub(crate) fn authority(&self, parts: &Parts) -> Option<(Arc<str>, u64)> {
        let view = lock(&self.view).clone()?;
        let id = if self.is_fast(parts, &view) { self.fast } else { self.arbiter };
        Some((Arc::clone(parts.nodes[id].name()), view.authority.epoch))
    }

    pub(crate) async fn attempt(
        &self,
        parts: &Parts,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Attempt> {
        let view = self.view(parts, deadline).await?;
        let seat = &view.authority.seat;
        if request.ttl > seat.ttl_max {
            let most = seat.ttl_max.as_millis();
            let message = format!("a lease lasts at most {most} ms: so the database has it");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let closed = view.closed_for(parts.clock.now());
        if !closed.is_zero() {
            let note = "nobody: leases of the authority before may last yet".to_owned();
            return Ok(Attempt::Held { left: closed, note });
        }
        let (node, name, ground) = self.place(parts, &view, &request.name);
        let op = LockOp::Acquire {
            name,
            holder: request.holder,
            ttl: request.ttl,
            counting: Counting::Here,
            note: request.note.clone(),
            ground,
            waiter: request.waiter,
        };
        match self.ask(parts, &view, node, op, deadline).await? {
            (Locked::Granted { token: counter, .. }, sent) => {
                let lease = parts.lease(node, sent, request.ttl);
                Ok(Attempt::Granted(token(view.authority.epoch, counter), lease))
            }
            (Locked::Held { left, note, .. }, _) => Ok(Attempt::Held { left, note }),
            (Locked::Gone | Locked::Fenced(_) | Locked::Refused, _) => {
                self.distrust(&view);
                Err(Error::new(ErrorKind::NotReady, "the authority over locks is moving"))
            }
        }
    }

    /// A lease of an epoch before is not renewed, and lasts to its end: whoever grants now waits for that.
    pub(crate) async fn renew(
        &self,
        parts: &Parts,
        claim: &Claim,
        ttl: Duration,
        deadline: Deadline,
    ) -> Result<Renewal> {
        let view = self.view(parts, deadline).await?;
        if epoch_of(claim.token) != view.authority.epoch {
            let message = "the authority over locks has moved: this lease cannot be renewed";
            return Err(Error::new(ErrorKind::NotReady, message));
        }
        let ttl = ttl.min(view.authority.seat.ttl_max);
        let (node, name, ground) = self.place(parts, &view, &claim.name);
        let op = LockOp::Renew { name, holder: claim.holder, ttl, ground };
        match self.ask(parts, &view, node, op, deadline).await? {
            (Locked::Granted { .. }, sent) => Ok(Renewal::Renewed(parts.lease(node, sent, ttl))),
            (Locked::Refused, _) => {
                self.distrust(&view);
                Err(Error::new(ErrorKind::NotReady, "the authority over locks is moving"))
            }
            _ => Ok(Renewal::Gone),
        }
    }

    /// On both, under the epochs that it may have been granted in.
    pub(crate) async fn release(
        &self,
        parts: &Parts,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<bool> {
        let known = lock(&self.view).as_ref().map_or(0, |view| view.authority.epoch);
        let epochs = match epoch_of(claim.token) {
            0 => vec![known, known.saturating_sub(1)],
            epoch => vec![epoch],
        };
        let (mut held, mut failed) = (false, None);
        for epoch in epochs.into_iter().filter(|epoch| *epoch > 0) {
            let places =
                [(self.fast, fast_name(&claim.name, epoch)), (self.arbiter, claim.name.clone())];
            let asked = places.map(|(node, name)| {
                let op = LockOp::Release { name, holder: claim.holder };
                parts.ask(node, op, deadline)
            });
            for answer in futures_util::future::join_all(asked).await {
                match answer {
                    Ok((Locked::Granted { .. }, _)) => held = true,
                    Ok(_) => {}
                    Err(error) => failed = Some(error),
                }
            }
        }
        match failed {
            Some(error) if !held => Err(error.with_effect(Effect::Unknown)),
            _ => Ok(held),
        }
    }

    /// The names under which either backend may have a lock.
    pub(crate) fn names(&self, name: &Key) -> Vec<Key> {
        let view = lock(&self.view).clone();
        let fast = view.map(|view| fast_name(name, view.authority.epoch));
        std::iter::once(name.clone()).chain(fast).collect()
    }

    /// Where a lock stands under this view, under which name, and what must hold there.
    fn place(&self, parts: &Parts, view: &View, name: &Key) -> (usize, Key, Ground) {
        let authority = &view.authority;
        if self.is_fast(parts, view) {
            let ground = Ground::Server(authority.seat.identity.clone());
            (self.fast, fast_name(name, authority.epoch), ground)
        } else {
            (self.arbiter, name.clone(), Ground::Epoch(authority.epoch))
        }
    }

    fn is_fast(&self, parts: &Parts, view: &View) -> bool {
        view.authority.seat.backend == **parts.nodes[self.fast].name()
    }

    /// Sends something to the authority, at a moment at which the view is believed.
    async fn ask(
        &self,
        parts: &Parts,
        view: &View,
        node: usize,
        op: LockOp,
        deadline: Deadline,
    ) -> Result<(Locked, Moment)> {
        // One reading for both: a stall between two would have the lease outlast the wait of a move.
        let sent = Moment::now(&parts.clock);
        if !view.is_believed(sent) {
            return Err(Error::new(ErrorKind::NotReady, "who grants locks is not known any more"));
        }
        parts.ask_from(sent, node, op, deadline).await
    }

    /// What the arbiter says; asked again when the last answer is old.
    async fn view(&self, parts: &Parts, deadline: Deadline) -> Result<Arc<View>> {
        let usable = || {
            let view = lock(&self.view).clone()?;
            let fresh = !view.is_old(parts.clock.now());
            (fresh && view.is_believed(Moment::now(&parts.clock))).then_some(view)
        };
        if let Some(view) = usable() {
            return Ok(view);
        }
        let asking = tokio::time::timeout_at(deadline.instant(), self.asking.lock()).await;
        let _asking = asking.map_err(|_| {
            Error::new(ErrorKind::DeadlineExceeded, "who grants locks was not known in time")
        })?;
        if let Some(view) = usable() {
            return Ok(view);
        }
        match self.look(parts, deadline).await {
            Ok(view) if view.authority.epoch > 0 => Ok(view),
            Ok(_) => Err(Error::new(ErrorKind::NotReady, "nobody grants locks yet")),
            Err(error) => {
                let view = lock(&self.view).clone();
                view.filter(|view| view.is_believed(Moment::now(&parts.clock))).ok_or(error)
            }
        }
    }

    /// Asks the arbiter.
    async fn look(&self, parts: &Parts, deadline: Deadline) -> Result<Arc<View>> {
        let sent = Moment::now(&parts.clock);
        let reply = parts.send(self.arbiter, LockOp::Authority, deadline).await?;
        let heard = parts.clock.now();
        let authority = *reply.into_authority()?;
        let drift = {
            let mut drift = lock(&parts.drifts[self.arbiter]);
            drift.note(sent.instant, heard, authority.now_us);
            drift.rate()
        };
        let view = Arc::new(View::new(authority, sent, heard, drift));
        let mut known = lock(&self.view);
        let newer = known.as_ref().is_none_or(|old| old.authority.epoch <= view.authority.epoch);
        if newer {
            *known = Some(Arc::clone(&view));
        }
        Ok(view)
    }

    /// The authority itself says that the view is wrong.
    fn distrust(&self, wrong: &Arc<View>) {
        let mut known = lock(&self.view);
        if known.as_ref().is_some_and(|view| Arc::ptr_eq(view, wrong)) {
            *known = None;
        }
    }
}

/// The lock on the first backend: a straggler of an epoch touches nothing but its own.
fn fast_name(name: &Key, epoch: u64) -> Key {
    Key::new([name.as_bytes(), b"\0", &epoch.to_be_bytes()].concat())
}
