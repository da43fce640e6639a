//! Each backend: its state, its breaker, its calls, its connection.
//! It must not know routes.

use std::fmt;

use mainstay::{
    backend::memory::Memory,
    status::{BreakerState, Health, Status},
};

use super::families::{Families, HEALTHS, backend, flag, number, with};

pub(super) fn write(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    states(families, status)?;
    breakers(families, status)?;
    bulkheads(families, status)?;
    calls(families, status)?;
    connections(families, status)?;
    recoveries(families, status)?;
    memories(families, status)
}

fn states(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let backends = &status.backends;
    let up = backends.iter().map(|b| (backend(b), flag(b.health != Health::Down)));
    families.gauge("mainstay_backend_up", "1 when the backend serves, be it degraded.", up)?;
    let health = backends.iter().flat_map(|b| {
        HEALTHS.map(|state| (with(b, "state", state.as_str()), flag(b.health == state)))
    });
    families.gauge("mainstay_health", "1 for the health of the backend.", health)?;
    let drained = backends.iter().map(|b| (backend(b), flag(b.drained)));
    families.gauge(
        "mainstay_backend_drained",
        "1 when an operator took it out of use.",
        drained,
    )?;
    let injected = backends.iter().map(|b| (backend(b), flag(b.injected.is_some())));
    let help = "1 while a drill injects a fault before the backend: it is no outage.";
    families.gauge("mainstay_drill_fault_injected", help, injected)
}

fn breakers(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let backends = &status.backends;
    let breaker = backends.iter().flat_map(|b| {
        BreakerState::ALL
            .map(|state| (with(b, "state", state.as_str()), flag(b.breaker.state == state)))
    });
    families.gauge(
        "mainstay_breaker_state",
        "1 for the state of the backend's breaker.",
        breaker,
    )?;
    let transitions = backends.iter().flat_map(|b| {
        b.transitions.iter().map(|t| {
            let labels =
                [("backend", &*b.name), ("from", t.from), ("to", t.to), ("reason", t.reason)];
            (labels, t.count)
        })
    });
    let help = "Changes of the backend's breaker, by why.";
    families.counter("mainstay_breaker_transitions", help, transitions)
}

fn bulkheads(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let backends = &status.backends;
    let inflight = backends.iter().map(|b| (backend(b), number(b.inflight)));
    families.gauge("mainstay_inflight", "Calls to the backend in flight.", inflight)?;
    let max = backends.iter().map(|b| (backend(b), number(b.inflight_max)));
    families.gauge("mainstay_inflight_max", "Calls to the backend that may be in flight.", max)?;
    let queued = backends.iter().map(|b| (backend(b), number(b.queued)));
    families.gauge("mainstay_queued", "Calls that wait for the backend's bulkhead.", queued)
}

fn calls(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let backends = &status.backends;
    let outcomes = backends.iter().flat_map(|b| {
        [
            ("success", b.calls.success),
            ("failure", b.calls.failure),
            ("abandoned", b.calls.abandoned),
            ("refused", b.calls.refused),
            ("shed", b.calls.shed),
        ]
        .map(|(outcome, count)| (with(b, "outcome", outcome), count))
    });
    families.counter("mainstay_backend_calls", "Calls to the backend by outcome.", outcomes)?;
    let slow = backends.iter().map(|b| (backend(b), b.calls.slow));
    families.counter("mainstay_slow_calls", "Calls over the breaker's slow threshold.", slow)?;
    let shed = backends.iter().map(|b| (backend(b), b.calls.shed));
    families.counter("mainstay_shed", "Calls refused by the backend's bulkhead.", shed)?;
    let durations = backends.iter().flat_map(|b| {
        b.requests.iter().map(|request| {
            let labels = [("backend", &*b.name), ("op", request.op), ("outcome", request.outcome)];
            (labels, &request.latency)
        })
    });
    let help = "Time of a call to the backend, by what it was asked and how that ended.";
    families.histogram("mainstay_backend_request_duration_seconds", help, durations)
}

fn connections(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let backends = &status.backends;
    let attempts = backends.iter().map(|b| (backend(b), b.reconnect.attempts_total));
    families.counter("mainstay_reconnect_attempts", "Attempts to connect.", attempts)?;
    let reconnects = backends.iter().map(|b| (backend(b), b.reconnect.reconnects_total));
    families.counter("mainstay_reconnects", "Reconnections that succeeded.", reconnects)?;
    let stuck = backends.iter().map(|b| (backend(b), b.reconnect.stuck_resets_total));
    families.counter("mainstay_stuck_resets", "Stuck reconnections that were begun anew.", stuck)
}

fn recoveries(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let backends = &status.backends;
    let durations = backends.iter().map(|b| (backend(b), &b.recoveries));
    let help = "Time from the first sign of life after an outage to full service.";
    families.histogram("mainstay_recovery_duration_seconds", help, durations)?;
    let flapping = backends.iter().map(|b| (backend(b), flag(b.flapping)));
    let help = "1 while the backend goes out of service and comes back too often.";
    families.gauge("mainstay_flapping", help, flapping)
}

/// The memory of this process as a backend, as the last probe found it.
fn memories(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let facts = |name| {
        status.backends.iter().filter_map(move |b| {
            let of_memory = b.facts.iter().find(|(fact, _)| *fact == name)?;
            Some((backend(b), of_memory.1.parse::<u64>().ok()?))
        })
    };
    let bytes = facts(Memory::FACT_BYTES).map(|(labels, bytes)| (labels, number(bytes)));
    families.gauge("mainstay_memory_bytes", "Bytes that a memory backend holds.", bytes)?;
    let help = "Values that a memory backend gave up because it was full.";
    families.counter("mainstay_memory_evictions", help, facts(Memory::FACT_EVICTED))
}
