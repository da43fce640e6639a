//! What a node says about itself to people.
//! It must not know who shows it.

use std::{sync::Arc, time::Duration};

use super::Node;
use crate::{
    clock::Instant,
    error::Error,
    status::{
        BackendStatus, BreakerState, BreakerStatus, CallCounts, LatencySnapshot, ReconnectStatus,
    },
};

impl Node {
    /// Everything about it.
    pub fn status(&self, now: Instant) -> BackendStatus {
        let next_in = self.next_look(now);
        let (health, since, reconnect, facts) = {
            let vitals = self.vitals();
            let (health, lifecycle) = (&vitals.health, &vitals.lifecycle);
            (health.health(), health.since(), lifecycle.status(), vitals.facts.clone())
        };
        let mut status = BackendStatus {
            name: Arc::clone(&self.name),
            engine: self.backend.engine(),
            health,
            health_since: now.saturating_duration_since(since),
            drained: self.is_drained(),
            drained_for: self.drained_for(now),
            injected: self.injected(now),
            breaker: empty_breaker(),
            reconnect: ReconnectStatus { next_in, ..reconnect },
            last_error: None,
            inflight: 0,
            inflight_max: 0,
            queued: 0,
            calls: CallCounts::default(),
            latency_p50: None,
            latency_p99: None,
            requests: Vec::new(),
            transitions: Vec::new(),
            // Filled in by who watches all backends.
            flapping: false,
            switches: 0,
            recoveries: LatencySnapshot::default(),
            facts,
        };
        self.guard.fill_status(&mut status, now);
        status
    }

    /// A refusal that cannot say when to try again says when the supervisor looks next.
    pub(crate) fn with_hint(&self, error: Error, now: Instant) -> Error {
        match (error.retry_hint(), self.next_look(now)) {
            (None, Some(next)) => error.retry_after(next),
            (Some(_), _) | (None, None) => error,
        }
    }

    /// Time to the next probe or attempt; `None` for a backend of this process.
    pub(crate) fn next_look(&self, now: Instant) -> Option<Duration> {
        if self.is_local() {
            return None;
        }
        let vitals = self.vitals();
        let lifecycle = &vitals.lifecycle;
        let due =
            if lifecycle.is_connected() { vitals.next_probe } else { lifecycle.next_attempt() };
        Some(due.saturating_duration_since(now))
    }
}

/// Filled in by the guard.
fn empty_breaker() -> BreakerStatus {
    BreakerStatus {
        state: BreakerState::Closed,
        forced: false,
        reason: String::new(),
        since: Duration::ZERO,
        retry_in: None,
        forced_for: None,
        failures: 0,
        calls: 0,
    }
}
