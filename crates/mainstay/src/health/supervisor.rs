//! The one task that connects a node, probes it, reconnects it for ever, and declares what it found.
//! It must not know calls or routes; what calls found reaches it as a wish to look.

use std::{sync::Arc, time::Duration};

use super::{score::Passive, state::Change};
use crate::{
    backend::{ProbeDepth, ProbeReport},
    clock::{Deadline, Instant},
    error::{Error, ErrorKind, Result},
    event::{Details, EventError, EventKind},
    guard::{
        Wants, backoff,
        classify::{self, ProbeOutcome},
    },
    node::{Node, Vitals},
    status::Health,
};

/// Probes that calls ask for are at least this far apart.
const SPACING: Duration = Duration::from_millis(50);
/// A backend may overrun its deadline by this before its future is dropped.
const GRACE: Duration = Duration::from_millis(100);
/// Time for one run of the readmission hook.
const READMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Tends the node. Never ends.
pub(crate) async fn supervise(node: Arc<Node>) {
    loop {
        let connected = node.vitals().lifecycle.is_connected();
        if connected { watch(&node).await } else { reconnect(&node).await }
    }
}

/// Runs the readmission hook if it is due. False: it failed, and the node must not serve yet.
pub(super) async fn readmit(node: &Node) -> bool {
    let Some(hook) = node.readmit().filter(|_| !node.guard().is_readable()) else { return true };
    let spoiled = node.guard().spoiled();
    let keys = match tokio::time::timeout(READMIT_TIMEOUT, hook()).await {
        Ok(Ok(keys)) => keys,
        Ok(Err(error)) => {
            node.guard().note_failure(&error);
            return false;
        }
        Err(_) => {
            let error = Error::new(ErrorKind::Timeout, "the readmission did not end in time");
            node.guard().note_failure(&error);
            return false;
        }
    };
    node.guard().set_readmitted(spoiled);
    if keys > 0 {
        node.publish(EventKind::Readmission { keys }, "made true again before serving");
    }
    true
}

/// One connection attempt, when it is due.
async fn reconnect(node: &Node) {
    wait_for_attempt(node).await;
    node.vitals().lifecycle.begin(node.clock().now());
    let deadline = node.clock().deadline_in(node.timing().connect_timeout);
    let connected = match injected(node, deadline).await {
        Ok(()) => within(deadline, node.backend().connect(deadline)).await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(()) => on_connected(node).await,
        Err(error) => on_refused(node, &error),
    }
    node.end_first_attempt();
}

async fn wait_for_attempt(node: &Node) {
    loop {
        let due = node.vitals().lifecycle.next_attempt();
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(due) => return,
            wants = node.guard().wake().wanted() => {
                // What calls have found is known already: there is no connection.
                if wants.retry {
                    node.vitals().lifecycle.hurry(node.clock().now());
                }
            }
        }
    }
}

async fn on_connected(node: &Node) {
    let attempt = node.vitals().lifecycle.succeeded();
    // Wishes from before are about the connection before.
    let _ = node.guard().wake().take();
    node.publish(EventKind::Connection { connected: true, attempt }, "");
    on_good(node, ProbeOutcome::Good).await;
    schedule(node);
}

fn on_refused(node: &Node, error: &Error) {
    let unit = node.entropy().unit();
    let now = node.clock().now();
    let failed = node.vitals().lifecycle.failed(now, error.kind(), unit);
    let details = || Details {
        error: Some(EventError::from(error)),
        retry_in: node.next_look(now),
        ..Details::default()
    };
    if failed.publish {
        let kind = EventKind::Connection { connected: false, attempt: failed.attempt };
        node.publish_with(kind, error.message(), details());
    }
    if failed.stuck {
        let reason = format!("begun anew, last \"{}\"", error.message());
        node.publish_with(EventKind::StuckReset { attempts: failed.attempt }, reason, details());
    }
    on_bad(node, error);
    if let Some(wait) = failed.isolate {
        node.guard().isolate(wait);
    }
}

/// Waits until a probe is due or asked for, and probes.
async fn watch(node: &Node) {
    let due = node.vitals().next_probe;
    let wants = tokio::select! {
        biased;
        wants = node.guard().wake().wanted() => {
            space_out(node).await;
            wants
        }
        () = tokio::time::sleep_until(due) => Wants::default(),
    };
    if wants.reconnect && node.vitals().lifecycle.may_renew(node.clock().now()) {
        let text = "gave up the connection: timeouts in a row, or the wrong node";
        lose(node);
        on_bad(node, &Error::new(ErrorKind::Disconnected, text));
        return;
    }
    probe(node).await;
    schedule(node);
}

async fn space_out(node: &Node) {
    let probed = node.vitals().probed;
    if let Some(at) = probed {
        tokio::time::sleep_until(at + SPACING).await;
    }
}

async fn probe(node: &Node) {
    let depth = choose_depth(node);
    let deadline = node.clock().deadline_in(node.timing().health.timeout);
    let probed = match injected(node, deadline).await {
        Ok(()) => within(deadline, node.backend().probe(depth, deadline)).await,
        Err(error) => Err(error),
    };
    node.vitals().probed = Some(node.clock().now());
    match probed {
        Ok(report) => {
            if report.reconnected {
                node.guard().spoil();
            }
            note_report(&mut node.vitals(), report);
            on_good(node, ProbeOutcome::Good).await;
        }
        Err(error) => match classify::probe_outcome(error.kind()) {
            ProbeOutcome::Good => on_good(node, ProbeOutcome::Good).await,
            ProbeOutcome::Partial => {
                node.vitals().problem = Some(error.message().to_owned());
                node.guard().note_failure(&error);
                on_good(node, ProbeOutcome::Partial).await;
            }
            ProbeOutcome::Bad => {
                if classify::loses_connection(error.kind()) {
                    lose(node);
                }
                on_bad(node, &error);
            }
        },
    }
}

/// Every few probes one writes; so does each that may end an outage, and each while something is known to be wrong.
fn choose_depth(node: &Node) -> ProbeDepth {
    let every = u64::from(node.timing().health.write_every);
    let now = node.clock().now();
    let settling = node.guard().scores(now).settling;
    let mut vitals = node.vitals();
    vitals.probes += 1;
    let suspected = vitals.problem.is_some() || settling || vitals.health.would_rise(now);
    match every {
        0 => ProbeDepth::Ping,
        every if suspected || vitals.probes.is_multiple_of(every) => ProbeDepth::WriteRead,
        _ => ProbeDepth::Ping,
    }
}

fn note_report(vitals: &mut Vitals, report: ProbeReport) {
    vitals.lifecycle.proved();
    if !report.facts.is_empty() {
        vitals.facts = report.facts;
    }
    // With a known problem every probe is deep, unless deep probes are off.
    vitals.problem = None;
}

/// It answers: closes the breaker when it is time, after the readmission hook. One reading of the clock decides whether it
/// rises: with two, a backend could be declared up whose breaker is still held open.
async fn on_good(node: &Node, outcome: ProbeOutcome) {
    let now = node.clock().now();
    let (down, rises) = {
        let vitals = node.vitals();
        (vitals.health.health() == Health::Down, vitals.health.would_rise(now))
    };
    let good = outcome == ProbeOutcome::Good;
    let closes = good && node.guard().would_close_on_probe(now);
    let closed = node.guard().scores(now).closed;
    let due = rises || (!down && (closes || closed));
    if due && !node.is_drained() && !readmit(node).await {
        return;
    }
    if good {
        node.guard().on_probe_success();
    }
    if rises {
        node.guard().release();
    }
    judge(node, outcome, now);
    // Whoever passed the node by while the hook ran has spoiled it again; now that calls pass, nobody does any more.
    if due && !node.is_drained() && node.guard().scores(node.clock().now()).closed {
        readmit(node).await;
    }
}

/// It does not answer, or not well.
fn on_bad(node: &Node, error: &Error) {
    node.guard().note_failure(error);
    node.guard().on_probe_failure();
    judge(node, ProbeOutcome::Bad, node.clock().now());
}

/// `now`: when the probe ended.
fn judge(node: &Node, outcome: ProbeOutcome, now: Instant) {
    let scores = node.guard().scores(now);
    let change = {
        let mut vitals = node.vitals();
        let passive = Passive {
            error_rate: scores.error_rate,
            latency: scores.latency,
            slow_over: scores.slow_over,
            breaker_closed: scores.closed,
            problem: vitals.problem.clone(),
        };
        vitals.health.on_probe(now, outcome, &passive)
    };
    if let Some(change) = change {
        declare(node, change);
    }
}

fn declare(node: &Node, change: Change) {
    if change.to == Health::Down {
        node.guard().hold();
    }
    node.set_health(change.to);
    let (from, to) = (change.from.as_str(), change.to.as_str());
    let reason = match change.to {
        Health::Down => node.guard().with_last_failure(change.reason),
        Health::Up | Health::Degraded => change.reason,
    };
    let details = match change.to {
        Health::Up => Details::default(),
        Health::Degraded | Health::Down => Details {
            error: node.guard().last_error(node.clock().now()),
            retry_in: Some(until_next_look(node)),
            ..Details::default()
        },
    };
    node.publish_with(EventKind::Health { from, to }, reason, details);
}

/// The next probe of a connection that stands is scheduled after the verdict: soon, as it is a bad one.
fn until_next_look(node: &Node) -> Duration {
    let timing = node.timing();
    let config = &timing.health;
    if node.vitals().lifecycle.is_connected() {
        return config.confirm_interval.min(config.interval);
    }
    node.next_look(node.clock().now()).unwrap_or_default()
}

fn lose(node: &Node) {
    // Who answers next may be another server, or the same with older data: the hook finds out before its copies count.
    node.guard().spoil();
    let unit = node.entropy().unit();
    node.vitals().lifecycle.lost(node.clock().now(), unit);
}

/// The next probe: soon while the verdict is open, else at the interval.
fn schedule(node: &Node) {
    let now = node.clock().now();
    let unit = node.entropy().unit();
    let settling = node.guard().scores(now).settling;
    let unreadable = !node.guard().is_readable() && !node.is_drained();
    let timing = node.timing();
    let config = &timing.health;
    let mut vitals = node.vitals();
    let open = vitals.health.is_open() || settling || unreadable;
    vitals.next_probe = next_probe(now, config.confirm_interval, config.interval, open, unit);
}

fn next_probe(
    now: Instant,
    confirm: Duration,
    interval: Duration,
    open: bool,
    unit: f64,
) -> Instant {
    now + if open { confirm.min(interval) } else { backoff::spread(interval, 0.1, unit) }
}

/// A drill that breaks the backend for every call breaks it for the supervisor too.
async fn injected(node: &Node, deadline: Deadline) -> Result<()> {
    match node.guard().injected_on_probe() {
        Some(fault) => fault.act(deadline).await,
        None => Ok(()),
    }
}

/// A backend that forgets its deadline must not stop the supervisor.
async fn within<T>(deadline: Deadline, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout_at(deadline.instant() + GRACE, work).await {
        Ok(ended) => ended,
        Err(_) => Err(Error::new(ErrorKind::Timeout, "no answer in time")),
    }
}
