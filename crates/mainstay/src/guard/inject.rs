//! A fault that is injected before the calls of a backend: what it does, which calls it meets, until when.
//! It must not know who wants it, nor read a clock or draw lots: time and chance are arguments.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Deadline, Instant},
    config::text::format_duration,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    event::Actor,
    op::{CopyOp, Op, RecordOp},
};

/// A fault lasts no longer.
pub const LASTS_MAX: Duration = Duration::from_secs(600);
/// A slow one delays no longer.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// What the keys of copies begin with: `mainstay:ID.GENERATION:`, then the user's key.
const COPIES: &[u8] = b"mainstay:";

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It fails at once, as if the connection were refused.
    Refuse,
    /// It gets no answer until its time is over.
    Hang,
    /// It is made, but so much later.
    Slow(Duration),
    /// It fails at once with this.
    Error(ErrorKind),
}

/// A fault of one backend. It never reaches the backend: the calls that it meets fail before they are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What becomes of a call.
    pub what: FaultKind,
    /// The share of the calls that it meets, above 0 and at most 1. At 1, and without a prefix, also probes and attempts
    /// to connect fail.
    pub share: f64,
    /// Only calls on keys that begin so; `None`: all.
    pub prefix: Option<Key>,
    /// It ends by itself after this, at most `LASTS_MAX`.
    pub lasts: Duration,
}

/// A fault in force, and on whose account.
#[derive(Debug)]
pub(crate) struct Injected {
    pub(crate) fault: Fault,
    pub(crate) until: Instant,
    pub(crate) reason: String,
    pub(crate) actor: Actor,
    /// It is lifted.
    pub(crate) lifted: CancellationToken,
}

/// The place for one, which costs a load while there is none.
#[derive(Debug, Default)]
pub(super) struct Place {
    taken: AtomicBool,
    injected: Mutex<Option<Arc<Injected>>>,
}

impl Fault {
    /// Every call fails as if the connection were refused, for so long.
    pub fn outage(lasts: Duration) -> Self {
        Self { what: FaultKind::Refuse, share: 1.0, prefix: None, lasts }
    }

    /// Whether it meets every call, and so probes too.
    pub fn is_whole(&self) -> bool {
        self.share >= 1.0 && self.prefix.is_none()
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// `InvalidArgument` with the value that is out of range.
    pub fn validate(&self) -> Result<()> {
        let problem = if !(self.share > 0.0 && self.share <= 1.0) {
            "share: is above 0 and at most 1"
        } else if self.lasts.is_zero() || self.lasts > LASTS_MAX {
            "a fault lasts more than 0 and at most 10m"
        } else if matches!(self.what, FaultKind::Slow(time) if time.is_zero() || time > DELAY_MAX) {
            "a delay is above 0 and at most 1m"
        } else if matches!(self.what, FaultKind::Error(kind) if !may_be_injected(kind)) {
            "an injected error is disconnected, not_ready, overloaded or forbidden"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::InvalidArgument, problem))
    }

    /// What becomes of this call; `unit` is drawn only where it matters.
    fn meets(&self, op: &Op, unit: impl FnOnce() -> f64) -> Option<FaultKind> {
        let named = match &self.prefix {
            None => true,
            Some(prefix) => any_key(op, &|key| begins(key, prefix.as_bytes())),
        };
        (named && (self.share >= 1.0 || unit() < self.share)).then_some(self.what)
    }
}

/// What ends by itself once the fault is over; what a person must mend does not.
fn may_be_injected(kind: ErrorKind) -> bool {
    use ErrorKind::{Disconnected, Forbidden, NotReady, Overloaded};
    matches!(kind, Disconnected | NotReady | Overloaded | Forbidden)
}

fn begins(key: &Key, prefix: &[u8]) -> bool {
    let key = key.as_bytes();
    let copy = key.strip_prefix(COPIES).and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b':')?;
        rest.get(end + 1..)
    });
    key.starts_with(prefix) || copy.is_some_and(|key| key.starts_with(prefix))
}

/// Whether it holds of any key of a user that this call is about.
fn any_key(op: &Op, holds: &dyn Fn(&Key) -> bool) -> bool {
    match op {
        Op::Copy(
            CopyOp::Mark { keys, .. }
            | CopyOp::Unmark { keys, .. }
            | CopyOp::Token { keys, .. }
            | CopyOp::Drain { keys },
        ) => keys.iter().any(holds),
        Op::Copy(CopyOp::Publish { key, .. }) => holds(key),
        Op::Copy(CopyOp::Fill { entries, .. }) => entries.iter().any(|(key, _)| holds(key)),
        Op::Record(RecordOp::Commit { write, .. } | RecordOp::Apply { write, .. }) => {
            any_key(write, holds)
        }
        op => {
            let mut any = false;
            op.for_each_key(|key| any |= holds(key));
            any
        }
    }
}

impl FaultKind {
    /// Whether the call is never sent.
    pub(super) fn keeps_back(self) -> bool {
        !matches!(self, Self::Slow(_))
    }

    /// Does it: an error, or when the call may be made. It is known of a call that failed here that it had no effect.
    pub(crate) async fn act(self, limit: Deadline) -> Result<()> {
        let late = |ended: bool| match ended {
            true => Ok(()),
            false => Err(injected(ErrorKind::Timeout, "no answer in time")),
        };
        match self {
            Self::Refuse => Err(injected(ErrorKind::Disconnected, "connection refused")),
            Self::Error(kind) => Err(injected(kind, kind.as_str())),
            Self::Hang => {
                tokio::time::sleep_until(limit.instant()).await;
                late(false)
            }
            Self::Slow(time) => {
                let delay = tokio::time::sleep(time);
                late(tokio::time::timeout_at(limit.instant(), delay).await.is_ok())
            }
        }
    }
}

fn injected(kind: ErrorKind, text: &str) -> Error {
    Error::new(kind, format!("{text}, injected by a drill")).with_effect(Effect::None)
}

impl Injected {
    /// Whether it is in force.
    pub(crate) fn lasts(&self, now: Instant) -> bool {
        now < self.until && !self.lifted.is_cancelled()
    }
}

impl Place {
    /// The one in force.
    pub(super) fn get(&self, now: Instant) -> Option<Arc<Injected>> {
        if !self.taken.load(Ordering::Relaxed) {
            return None;
        }
        self.lock().clone().filter(|injected| injected.lasts(now))
    }

    /// What becomes of this call.
    pub(super) fn on_call(
        &self,
        op: &Op,
        now: Instant,
        unit: impl FnOnce() -> f64,
    ) -> Option<FaultKind> {
        self.get(now)?.fault.meets(op, unit)
    }

    /// What becomes of a probe, an attempt to connect, and whatever else passes the breaker by.
    pub(super) fn on_probe(&self, now: Instant) -> Option<FaultKind> {
        let injected = self.get(now)?;
        injected.fault.is_whole().then_some(injected.fault.what)
    }

    pub(super) fn put(&self, injected: Arc<Injected>) {
        *self.lock() = Some(injected);
        self.taken.store(true, Ordering::Relaxed);
    }

    /// Takes this one out. False: it was not there any more.
    pub(super) fn take(&self, injected: &Arc<Injected>) -> bool {
        let mut place = self.lock();
        if !place.as_ref().is_some_and(|there| Arc::ptr_eq(there, injected)) {
            return false;
        }
        *place = None;
        self.taken.store(false, Ordering::Relaxed);
        injected.lifted.cancel();
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Injected>>> {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What Mainstay does before the backend, as in `refuses every call`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = match self.share {
            share if share >= 1.0 => "every call".to_owned(),
            share => format!("{} % of the calls", (share * 1e4).round() / 1e2),
        };
        let keys = match &self.prefix {
            Some(prefix) => format!(" on keys `{}…`", String::from_utf8_lossy(prefix.as_bytes())),
            None => String::new(),
        };
        match self.what {
            FaultKind::Refuse => write!(f, "refuses {calls}{keys}"),
            FaultKind::Hang => write!(f, "leaves {calls}{keys} unanswered"),
            FaultKind::Slow(time) => write!(f, "delays {calls}{keys} by {}", format_duration(time)),
            FaultKind::Error(kind) => write!(f, "fails {calls}{keys} with `{}`", kind.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
