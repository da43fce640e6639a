//! The handle through which many tasks write one history.
//! It must not judge, and it reads no clock: times are arguments.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::call::{Call, Outcome, Version};
use super::op::{ClientId, Fate, Micros, Moment, Op, OpId, SessionId};
use super::trace::{Copied, Mark, MarkKind, Outage, Recorded, Trace};

/// How many texts about mistakes of the harness are kept.
const MISTAKES_MAX: usize = 20;

/// The events of one run. Clones write to the same history.
#[derive(Clone, Debug)]
pub struct History {
    inner: Arc<Mutex<Inner>>,
}

/// The history holds as many calls as it may: the call must not be made, for its effects would be unexplained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history is full")]
pub struct Full;

#[derive(Debug)]
struct Inner {
    calls_max: usize,
    events: u64,
    keys: BTreeSet<Arc<str>>,
    trace: Trace,
}

impl History {
    /// A history that holds at most `calls_max` calls, and as many marks, outages and final states of each kind.
    #[must_use]
    pub fn bounded(calls_max: usize) -> Self {
        let inner = Inner { calls_max, events: 0, keys: BTreeSet::new(), trace: Trace::default() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Records that `client` is about to send `call`.
    ///
    /// # Errors
    /// [`Full`]: the call must not be made. The report counts how often this was said.
    pub fn invoke(
        &self,
        client: ClientId,
        session: SessionId,
        key: &str,
        call: Call,
        t: Micros,
    ) -> Result<OpId, Full> {
        let mut inner = self.lock();
        let Some(id) = inner.next_id() else {
            inner.trace.refused += 1;
            return Err(Full);
        };
        let (key, invoked) = (inner.key(key), inner.moment(t));
        let fate = Fate::Open;
        inner.trace.ops.push(Op { id, client, session, key, call, invoked, fate });
        Ok(id)
    }

    /// Records an answer.
    pub fn ok(&self, id: OpId, outcome: Outcome, t: Micros) {
        self.lock().end(id, t, |at| Fate::Ok(outcome, at));
    }

    /// Records that the call was certainly not executed and never will be.
    pub fn fail(&self, id: OpId, t: Micros) {
        self.lock().end(id, t, Fate::Failed);
    }

    /// Records that the call may have been executed, or be executed later.
    pub fn unknown(&self, id: OpId, t: Micros) {
        self.lock().end(id, t, Fate::Unknown);
    }

    /// Records what the harness did to the world.
    pub fn mark(&self, kind: MarkKind, t: Micros) {
        let mut inner = self.lock();
        let at = inner.moment(t);
        inner.keep(|trace| &mut trace.marks, Mark { kind, at });
    }

    /// Records that nothing between `client` and the record got through from `from` to `to`.
    pub fn record_unreachable(&self, client: ClientId, from: Micros, to: Micros) {
        self.lock().keep(|trace| &mut trace.outages, Outage { client, from, to });
    }

    /// Records what the record holds for `key` after everything came to rest; the last note for a key counts.
    pub fn final_record(&self, key: &str, value: Option<u64>, version: Option<Version>, t: Micros) {
        let mut inner = self.lock();
        let (key, at) = (inner.key(key), inner.moment(t));
        inner.keep(|trace| &mut trace.records, Recorded { key, value, version, at });
    }

    /// Records what `cache` holds for `key` after everything came to rest: a version, or nothing.
    pub fn final_copy(&self, cache: &str, key: &str, version: Option<Version>) {
        let mut inner = self.lock();
        let (cache, key) = (inner.key(cache), inner.key(key));
        inner.keep(|trace| &mut trace.copies, Copied { cache, key, version });
    }

    /// Everything recorded so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.lock().trace.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next_id(&self) -> Option<OpId> {
        let calls = self.trace.ops.len();
        if calls < self.calls_max { u32::try_from(calls).ok().map(OpId) } else { None }
    }

    fn moment(&mut self, t: Micros) -> Moment {
        self.events += 1;
        Moment { t, event: self.events }
    }

    fn key(&mut self, name: &str) -> Arc<str> {
        if let Some(key) = self.keys.get(name) {
            return Arc::clone(key);
        }
        let key: Arc<str> = name.into();
        self.keys.insert(Arc::clone(&key));
        key
    }

    fn end(&mut self, id: OpId, t: Micros, fate: impl FnOnce(Moment) -> Fate) {
        let fate = fate(self.moment(t));
        let mistake = match self.trace.ops.get_mut(id.0 as usize) {
            None => Some("was never begun".to_owned()),
            Some(op) if op.fate != Fate::Open => Some("was ended twice".to_owned()),
            Some(op) => {
                op.fate = fate;
                mistake_in(op)
            }
        };
        if let Some(text) = mistake {
            self.trace.mistakes_seen += 1;
            if self.trace.mistakes.len() < MISTAKES_MAX {
                self.trace.mistakes.push((id, text));
            }
        }
    }

    fn keep<T>(&mut self, of: impl FnOnce(&mut Trace) -> &mut Vec<T>, note: T) {
        let notes_max = self.calls_max;
        let notes = of(&mut self.trace);
        if notes.len() < notes_max {
            notes.push(note);
        } else {
            self.trace.refused += 1;
        }
    }
}

fn mistake_in(op: &mut Op) -> Option<String> {
    if op.ended().is_some_and(|at| at < op.invoked) {
        return Some("ended before it began".to_owned());
    }
    match op.fate {
        Fate::Ok(outcome, _) if !op.call.fits(&outcome) => {
            op.fate = Fate::Open;
            Some(format!("{} cannot be answered with {outcome}", op.call))
        }
        Fate::Ok(..) | Fate::Open | Fate::Failed(_) | Fate::Unknown(_) => None,
    }
}
