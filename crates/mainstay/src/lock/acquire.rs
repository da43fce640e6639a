//! From a name to a lock: the local queue, then attempts until it is granted or the wait is over.
//! It must not know how a mode grants.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    Claim, Core, LockGuard, LockOptions,
    hints::{Ear, Hints},
    lease::Lease,
    modes::{Attempt, Request},
    wait::{self, Turn},
};
use crate::{
    clock::Deadline,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    guard::classify::is_outage,
    op::LockOp,
};

/// The longest name, in bytes: granters put something before it.
const NAME_MAX: usize = 1024;

/// What a wait gave.
pub(super) enum Got {
    /// The token, the lease, and the turn, which a guard keeps.
    Lock { claim: Claim, lease: Lease, ttl: Duration, turn: Turn },
    /// Somebody else has it still.
    Held { left: Duration, note: String },
}

/// The lock under a guard; `None`: somebody else has it still after the wait.
///
/// # Errors
/// As of `Storage::lock_with`.
pub(super) async fn lock(
    core: &Arc<Core>,
    name: &Key,
    options: &LockOptions,
) -> Result<Option<LockGuard>> {
    match get(core, name, options).await? {
        Got::Lock { claim, lease, ttl, turn } => {
            turn.hold();
            Ok(Some(LockGuard::new(core, claim, lease, ttl, options.renew, turn)?))
        }
        Got::Held { .. } => Ok(None),
    }
}

/// Waits for the turn and the lock.
///
/// # Errors
/// `InvalidArgument`, `Unsupported`; those of the granters, once there is no more time to wait for better.
pub(super) async fn get(core: &Arc<Core>, name: &Key, options: &LockOptions) -> Result<Got> {
    let (ttl, note) = check(core, name, options)?;
    let parts = &core.parts;
    if parts.tasks.is_closing() {
        return Err(Error::new(ErrorKind::Closed, "the storage is closed"));
    }
    let wait = options.wait.unwrap_or(parts.wait_max.get()).min(Duration::from_secs(86_400));
    let until = parts.clock.deadline_in(wait);
    let _waiting = Waiting::new(core);
    let Some(turn) = core.queues.enter(name, until).await? else {
        return Ok(Got::Held { left: Duration::ZERO, note: note.clone() });
    };
    let (mut looks, mut woken) = (0, false);
    let mut ear: Option<Ear> = None;
    loop {
        let request = Request {
            name: name.clone(),
            holder: parts.entropy.nonce(),
            ttl,
            note: note.clone(),
            waiter: core.hints.waiter(wait, until.left(parts.clock.now())),
        };
        let (left, outcome) = match attempt(core, request).await {
            Ok((claim, Attempt::Granted(_, lease))) => {
                core.counts.granted.fetch_add(1, Relaxed);
                if let Some(ear) = &ear {
                    ear.served(woken);
                }
                return Ok(Got::Lock { claim, lease, ttl, turn });
            }
            Ok((_, Attempt::Held { left, note } | Attempt::Split { left, note })) => {
                core.counts.contended.fetch_add(1, Relaxed);
                (left, Ok(Got::Held { left, note }))
            }
            Err(error) if is_outage(error.kind()) || error.kind() == ErrorKind::Conflict => {
                (Duration::from_secs(1), Err(error))
            }
            Err(error) => return Err(error),
        };
        let rest = until.left(parts.clock.now());
        if rest.is_zero() {
            return outcome;
        }
        let ear = ear.get_or_insert_with(|| Hints::ear(core, name));
        let told = ear.hears();
        let pause = wait::pause(looks, left, told, parts.entropy.unit());
        if !told && pause >= rest {
            return outcome;
        }
        woken = tokio::time::timeout(pause.min(rest), ear.woken()).await.is_ok();
        if !woken && pause >= rest {
            return outcome;
        }
        looks += 1;
    }
}

/// One attempt under a fresh number. Whatever it may have left behind is released: when it fails, and when the caller
/// stops waiting for it.
async fn attempt(core: &Arc<Core>, request: Request) -> Result<(Claim, Attempt)> {
    let claim = Claim { name: request.name.clone(), holder: request.holder, token: 0 };
    let mut pending = Pending { core, claim: Some(claim), ttl: request.ttl };
    let deadline = attempt_deadline(core, request.ttl);
    let attempt = core.mode()?.attempt(&core.parts, &request, deadline).await;
    let now = super::lease::Moment::now(&core.parts.clock);
    match attempt {
        Ok(Attempt::Granted(token, lease)) if lease.is_held(now) => {
            let claim = pending.claim.take();
            let claim = claim.ok_or_else(|| Error::new(ErrorKind::Internal, "claimed twice"))?;
            Ok((Claim { token, ..claim }, Attempt::Granted(token, lease)))
        }
        // It came too late to be believed.
        Ok(Attempt::Granted(..)) => {
            Err(Error::new(ErrorKind::Timeout, "the lock was granted too late to be believed"))
        }
        Ok(split @ Attempt::Split { .. }) => Ok((Claim::none(&request.name), split)),
        Ok(held @ Attempt::Held { .. }) => {
            let claim = pending.claim.take();
            Ok((claim.unwrap_or_else(|| Claim::none(&request.name)), held))
        }
        Err(error) if error.effect() == Effect::None => {
            pending.claim = None;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// No attempt may take longer than the lease that it asks for.
fn attempt_deadline(core: &Core, ttl: Duration) -> Deadline {
    core.parts.clock.deadline_in(core.parts.deadline.get().min(ttl))
}

/// A number under which a lock may have been granted.
struct Pending<'a> {
    core: &'a Arc<Core>,
    claim: Option<Claim>,
    ttl: Duration,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.core.releaser.queue(claim, self.core.parts.clock.now() + self.ttl);
        }
    }
}

struct Waiting<'a>(&'a Core);

impl<'a> Waiting<'a> {
    fn new(core: &'a Core) -> Self {
        core.counts.waiting.fetch_add(1, Relaxed);
        Self(core)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.counts.waiting.fetch_sub(1, Relaxed);
    }
}

/// The lease and the note, checked.
pub(super) fn check(core: &Core, name: &Key, options: &LockOptions) -> Result<(Duration, String)> {
    let invalid = |problem: String| Err(Error::new(ErrorKind::InvalidArgument, problem));
    let guarantee = core.mode()?.guarantee();
    if let Some(wanted) = options.require
        && !guarantee.satisfies(wanted)
    {
        let (has, wants) = (guarantee.as_str(), wanted.as_str());
        let message = format!(
            "locks here are `{has}`, and `{wants}` is required: see `[locks]` and docs/locks.md"
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let length = name.as_bytes().len();
    if length == 0 || length > NAME_MAX {
        return invalid(format!("a lock's name is 1 to {NAME_MAX} bytes long, not {length}"));
    }
    let ttl_max = core.parts.config.ttl_max;
    let ttl = options.ttl.unwrap_or(LockOptions::TTL.min(ttl_max));
    if ttl < LockOptions::TTL_MIN || ttl > ttl_max {
        return invalid(format!(
            "a lease lasts 100 ms to `locks.ttl_max`, which is {} ms; not {} ms",
            ttl_max.as_millis(),
            ttl.as_millis()
        ));
    }
    let note = options.note.clone();
    let note = note.unwrap_or_else(|| format!("process {}", std::process::id()));
    if note.len() > LockOp::NOTE_MAX {
        return invalid(format!("a note is at most {} bytes long", LockOp::NOTE_MAX));
    }
    Ok((ttl, note))
}
