//! One guarded call, from top to bottom.
//! It must not know why it is made, nor try again.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::time::Sleep;

use super::{
    classify::{self, Verdict},
    core::Ending,
    inflight::Alarms,
    inject::FaultKind,
    permit::Permit,
};
use crate::{
    clock::{Deadline, Instant},
    error::{Effect, Error, ErrorKind, Result},
    node::Node,
    op::{Op, OpClass, OpLabel},
    reply::Reply,
    trace,
};
use futures_util::future::{BoxFuture, Either};

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
    call_until_late(node, op, deadline, None).await
}

/// The same, and its task is woken once when the call has been in flight for longer than `late`.
///
/// # Errors
/// As `call`.
pub(crate) fn call_until_late<'a>(
    node: &'a Node,
    op: &'a Op,
    deadline: Deadline,
    late: Option<Duration>,
) -> impl Future<Output = Result<Reply>> + Send + 'a {
    match trace::call(node.name(), node.peer(), op) {
        None => Either::Left(guarded(node, op, deadline, late)),
        Some(span) => Either::Right(trace::within(span, guarded(node, op, deadline, late))),
    }
}

async fn guarded(
    node: &Node,
    op: &Op,
    deadline: Deadline,
    late: Option<Duration>,
) -> Result<Reply> {
    node.admit().inspect_err(trace::refused)?;
    let guard = node.guard();
    let clock = guard.clock();
    let entered = match op.keeps_true() {
        true => guard.bulkhead.enter_first(clock, deadline).await,
        false => guard.bulkhead.enter(clock, deadline).await,
    };
    let _place = entered.inspect_err(trace::refused).map_err(|error| error.at(node.name()))?;
    let now = clock.now();
    if deadline.passed(now) {
        return Err(Error::new(ErrorKind::DeadlineExceeded, "the deadline passed before the call")
            .at(node.name()));
    }
    let limit = deadline.within(now, guard.timeout());
    let alarms = Alarms { late: late.map(|late| now + late), limit: Some(limit.instant()) };
    let label = OpLabel::of(op);
    let begun = poll_fn(|task| Poll::Ready(guard.begin(label, now, alarms, task.waker()))).await;
    let begun = begun.map_err(|error| node.with_hint(error, now)).inspect_err(trace::refused);
    let mut permit = begun?;
    let injected = guard.injected.on_call(op, now, || guard.entropy.unit());
    let kept_back = injected.is_some_and(FaultKind::keeps_back);
    let mut answer = attempt(node, op, limit, injected);
    let mut own: Option<Pin<Box<Sleep>>> = None;
    let ended = poll_fn(|task| {
        if let Poll::Ready(answer) = answer.as_mut().poll(task) {
            return Poll::Ready(Ended::Answered(answer));
        }
        permit.wakes(task.waker());
        if permit.is_cut() {
            return Poll::Ready(Ended::CutOff);
        }
        if permit.is_over() {
            return Poll::Ready(Ended::TimedOut);
        }
        if guard.is_watched() {
            return Poll::Pending;
        }
        // The storage is being closed, or its tasks were never started.
        let timer = || Box::pin(tokio::time::sleep_until(limit.instant()));
        own.get_or_insert_with(timer).as_mut().poll(task).map(|()| Ended::TimedOut)
    });
    let ended = ended.await;
    settle(permit, ended, node, op, deadline).map_err(|error| match kept_back {
        // What was never sent has done nothing.
        true => error.with_effect(Effect::None),
        false => error,
    })
}

/// The call itself, or what a drill makes of it.
fn attempt<'a>(
    node: &'a Node,
    op: &'a Op,
    limit: Deadline,
    injected: Option<FaultKind>,
) -> BoxFuture<'a, Result<Reply>> {
    match injected {
        None => node.backend().execute(op, limit),
        Some(fault) => Box::pin(async move {
            fault.act(limit).await?;
            node.backend().execute(op, limit).await
        }),
    }
}

/// Performs one operation past bulkhead and breaker, for the readmission hook and for whoever must reach a backend
/// before it is declared up. Nothing is counted.
///
/// # Errors
/// The backend's own; `Timeout` when it did not answer by the deadline, or in the time of one attempt.
pub async fn call_unguarded(node: &Node, op: &Op, deadline: Deadline) -> Result<Reply> {
    let guard = node.guard();
    let limit = deadline.within(guard.clock().now(), guard.timeout());
    let attempt = attempt(node, op, limit, guard.injected_on_probe());
    let answer = tokio::time::timeout_at(limit.instant(), attempt).await;
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
            permit.settle(&Ending::SUCCESS, now);
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
    if deadline.is_due(now) && age < node.guard().timeout() {
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
    let timed_out = Ending { timed_out: true, ..ending(Verdict::Failure, Some(&error)) };
    permit.settle(&timed_out, now);
    error
}

fn ending(verdict: Verdict, error: Option<&Error>) -> Ending<'_> {
    Ending { verdict, error, timed_out: false }
}

fn timeout(node: &Node, op: &Op) -> Error {
    let text = format!("no answer in {}ms", node.guard().timeout().as_millis());
    with_effect(Error::new(ErrorKind::Timeout, text), op)
}

fn with_effect(error: Error, op: &Op) -> Error {
    match op.class() {
        OpClass::Read => error,
        OpClass::LastWriterWins | OpClass::Strict => error.with_effect(Effect::Unknown),
    }
}
