//! What the guard says to people: the status of its backend, the events of its breaker.
//! It must not decide anything.

use std::time::Duration;

use super::{
    Guard,
    core::{Core, LastFailure},
    trip::Transition,
};
use crate::{
    clock::Instant,
    event::{Actor, Details, EventError, EventKind},
    status::{BackendStatus, BreakerState, LastError, TransitionCount},
};

/// A failure from before has nothing to do with what happens now.
const FAILURE_AGE_MAX: Duration = Duration::from_secs(60);

/// A transition that is still to be published, and what was known when it happened.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) transition: Transition,
    details: Details,
    last: Option<String>,
}

impl Core {
    /// Counts a transition, and notes what is to be said of it.
    pub(super) fn report(&mut self, transition: Transition, actor: Actor, now: Instant) -> Report {
        let names = (transition.from.as_str(), transition.to.as_str(), transition.cause.as_str());
        *self.transitions.entry(names).or_default() += 1;
        let recent = |last: &&LastFailure| {
            now.saturating_duration_since(last.at) <= FAILURE_AGE_MAX
                && transition.cause.is_of_failures()
        };
        let error = self
            .last_failure
            .as_ref()
            .filter(recent)
            .map(|last| EventError { kind: last.kind.as_str(), message: last.message.clone() });
        let last = self.last_failure.as_ref().map(|last| last.message.clone());
        let retry_in = self.breaker.retry_in(now);
        let details = Details { cause: Some(transition.cause.as_str()), error, actor, retry_in };
        Report { transition, details, last }
    }

    fn transitions(&self) -> Vec<TransitionCount> {
        let all = self.transitions.iter();
        all.map(|(&(from, to, reason), &count)| TransitionCount { from, to, reason, count })
            .collect()
    }
}

impl Guard {
    /// Fills in what the guard knows.
    pub(crate) fn fill_status(&self, status: &mut BackendStatus, now: Instant) {
        let mut core = self.lock();
        status.breaker = core.breaker.status(now);
        if let Some(by) = core.forced_by.as_ref().filter(|_| status.breaker.forced) {
            status.breaker.reason = format!("{} (by {by})", status.breaker.reason);
        }
        status.calls = core.counts.clone();
        status.calls.shed = self.bulkhead.shed();
        status.last_error = core.last_failure.as_ref().map(|last| LastError {
            kind: last.kind.as_str(),
            message: last.message.clone(),
            age: now.saturating_duration_since(last.at),
        });
        status.latency_p50 = core.latency.quantile(now, 0.5);
        status.latency_p99 = core.latency.quantile(now, 0.99);
        status.requests = core.requests.snapshot();
        status.transitions = core.transitions();
        drop(core);
        status.inflight = self.bulkhead.inflight() as u64;
        status.inflight_max = self.bulkhead.limit() as u64;
        status.queued = self.bulkhead.queued() as u64;
    }

    /// The last failure of late, for events of others about this backend.
    pub(crate) fn last_error(&self, now: Instant) -> Option<EventError> {
        let last = self.peek().last_failure.clone();
        let last = last.filter(|l| now.saturating_duration_since(l.at) <= FAILURE_AGE_MAX)?;
        Some(EventError { kind: last.kind.as_str(), message: last.message })
    }

    pub(super) fn publish(&self, report: Report) {
        let Report { transition, details, last } = report;
        let (from, to) = (transition.from.as_str(), transition.to.as_str());
        let cause = transition.cause.to_string();
        let reason = match (transition.to, last) {
            (BreakerState::Open, Some(last)) => format!("{cause}, last \"{last}\""),
            _ => cause,
        };
        let kind = EventKind::Breaker { from, to };
        self.events.publish_with(Some(&self.name), kind, reason, details);
    }
}
