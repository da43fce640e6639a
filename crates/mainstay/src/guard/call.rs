//! One guarded call, from top to bottom.
//! It must not know why it is made, nor try again.

use std::{pin::pin, time::Duration};

use super::{
    classify::{self, Verdict},
    core::Ending,
    permit::Permit,
};
use crate::{
    clock::{Deadline, Instant},
    error::{Effect, Error, ErrorKind, Result},
    node::Node,
    op::{Op, OpClass},
    reply::Reply,
};

/// An adapter's timer may fire this much early.
const TIMER_SLACK: Duration = Duration::from_millis(1);

/// How an attempt ended.
enum Ended {
    Answered(Result<Reply>),
    /// The attempt's time is over.
    TimedOut,
    /// The breaker opened on it.
    CutOff,
}

/// Performs one operation on one backend: bulkhead, breaker, timeout, settling. Dropping the future settles it too.
///
/// # Errors
/// The backend's own; `Timeout` when it did not answer in time, or when the breaker opened on calls in flight;
/// `DeadlineExceeded` when the caller's deadline came first; without effect `Shed` (bulkhead), `OutOfUse` (drained, or
/// not connected yet), `BreakerOpen`, `Forbidden` and `Corrupt` (breaker).
pub async fn call(node: &Node, op: &Op, deadline: Deadline) -> Result<Reply> {
    node.admit()?;
    let guard = node.guard();
    let clock = guard.clock();
    let entered = match op.keeps_true() {
        true => guard.bulkhead.enter_first(clock, deadline).await,
        false => guard.bulkhead.enter(clock, deadline).await,
    };
    let _place = entered.map_err(|error| error.at(node.name()))?;
    let now = clock.now();
    if deadline.passed(now) {
        return Err(Error::new(ErrorKind::DeadlineExceeded, "the deadline passed before the call")
            .at(node.name()));
    }
    // Listens before the permit is given, so that no opening falls between the two.
    let opened = pin!(guard.opened.notified());
    let permit = guard.begin(now).map_err(|error| node.with_hint(error, now))?;
    let limit = deadline.within(now, guard.timeout);
    let ended = tokio::select! {
        biased;
        answer = node.backend().execute(op, limit) => Ended::Answered(answer),
        () = opened => Ended::CutOff,
        () = overdue(node, limit) => Ended::TimedOut,
    };
    settle(permit, ended, node, op, deadline)
}

/// Ends at the limit; never for a backend that keeps deadlines itself: one timer a call is enough.
async fn overdue(node: &Node, limit: Deadline) {
    if node.capabilities().keeps_deadlines {
        std::future::pending().await
    } else {
        tokio::time::sleep_until(limit.instant()).await;
    }
}

/// Performs one operation past bulkhead and breaker, for the readmission hook and for whoever must reach a backend
/// before it is declared up. Nothing is counted.
///
/// # Errors
/// The backend's own; `Timeout` when it did not answer by the deadline, or in the time of one attempt.
pub async fn call_unguarded(node: &Node, op: &Op, deadline: Deadline) -> Result<Reply> {
    let guard = node.guard();
    let limit = deadline.within(guard.clock().now(), guard.timeout);
    let answer = tokio::time::timeout_at(limit.instant(), node.backend().execute(op, limit)).await;
    let answer = answer.unwrap_or_else(|_| Err(timeout(node, op)));
    answer.map_err(|error| error.at(node.name()))
}

fn settle(
    permit: Permit<'_>,
    ended: Ended,
    node: &Node,
    op: &Op,
    deadline: Deadline,
) -> Result<Reply> {
    let now = node.guard().clock().now();
    let error = match ended {
        Ended::Answered(Ok(reply)) => {
            permit.settle(&ending(Verdict::Success, None), now);
            return Ok(reply);
        }
        Ended::CutOff => {
            let text = "given up: breaker opened while the call was in flight";
            let error = with_effect(Error::new(ErrorKind::Timeout, text), op).at(node.name());
            // The breaker has judged already; its epoch is past.
            permit.settle(&ending(Verdict::Abandoned, None), now);
            return Err(error);
        }
        Ended::TimedOut => timeout(node, op),
        Ended::Answered(Err(error)) => error,
    };
    let error = match error.kind() {
        ErrorKind::Timeout | ErrorKind::DeadlineExceeded => {
            return Err(settle_late(permit, error, node, deadline, now));
        }
        _ => error.at(node.name()),
    };
    let verdict = match op {
        Op::Query(_) => classify::verdict_of_query(error.kind()),
        _ => classify::verdict(error.kind()),
    };
    permit.settle(&ending(verdict, Some(&error)), now);
    Err(error)
}

/// No answer in time: whose time was it? An adapter sees one deadline only and cannot tell.
fn settle_late(
    permit: Permit<'_>,
    error: Error,
    node: &Node,
    deadline: Deadline,
    now: Instant,
) -> Error {
    let effect = error.effect();
    let age = permit.age(now);
    if deadline.left(now) <= TIMER_SLACK && age < node.guard().timeout {
        let text = format!("no answer by the caller's deadline, after {}ms", age.as_millis());
        let error = Error::new(ErrorKind::DeadlineExceeded, text).with_effect(effect);
        let slow = age >= node.guard().lock().breaker.slow_over();
        let verdict = if slow { Verdict::Overload } else { Verdict::Abandoned };
        permit.settle(&ending(verdict, Some(&error)), now);
        return error.at(node.name());
    }
    let error = match error.kind() {
        ErrorKind::Timeout => error,
        _ => Error::new(ErrorKind::Timeout, error.message()).with_effect(effect),
    };
    let error = error.at(node.name());
    let timed_out = Ending { verdict: Verdict::Failure, error: Some(&error), timed_out: true };
    permit.settle(&timed_out, now);
    error
}

fn ending(verdict: Verdict, error: Option<&Error>) -> Ending<'_> {
    Ending { verdict, error, timed_out: false }
}

fn timeout(node: &Node, op: &Op) -> Error {
    let text = format!("no answer in {}ms", node.guard().timeout.as_millis());
    with_effect(Error::new(ErrorKind::Timeout, text), op)
}

fn with_effect(error: Error, op: &Op) -> Error {
    match op.class() {
        OpClass::Read => error,
        OpClass::LastWriterWins | OpClass::Strict => error.with_effect(Effect::Unknown),
    }
}
