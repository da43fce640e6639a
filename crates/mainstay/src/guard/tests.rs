//! Guarded calls on paused time, over a scripted backend.

use std::{sync::atomic::Ordering, task::Poll, time::Duration};

use futures_util::{future::join_all, poll};

use super::{
    Guard, call, call_unguarded,
    classify::Verdict,
    fake::{Mode, Stand},
};
use crate::{
    backend::Scope,
    clock::Clock,
    config::{BackendConfig, BreakerConfig},
    entropy::Entropy,
    entry::Key,
    error::{Effect, Error, ErrorKind},
    event::{Actor, EventKind, Events},
    op::{Condition, Op, TtlChange},
    status::{Availability, BreakerCommand, BreakerState},
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn get() -> Op {
    Op::Get { key: Key::from("k"), with_ttl: false }
}

fn set() -> Op {
    let (key, value) = (Key::from("k"), "v".into());
    let (ttl, condition) = (TtlChange::Clear, Condition::Always);
    Op::Set { key, value, ttl, condition, want_previous: false }
}

fn config() -> BackendConfig {
    BackendConfig::at("redis://127.0.0.1:1")
}

/// A node that serves without a connection and without probes, so that the breaker is on its own; its ticker runs.
fn alone(config: &BackendConfig) -> Stand {
    let stand = Stand::with_scope(config, Scope::Process);
    stand.node.start(&stand.tasks);
    stand
}

async fn fail(stand: &Stand, op: &Op) -> Error {
    call(&stand.node, op, stand.deadline()).await.expect_err("the call fails")
}

async fn serve(stand: &Stand) {
    call(&stand.node, &get(), stand.deadline()).await.expect("the call succeeds");
}

fn state(stand: &Stand) -> BreakerState {
    stand.status().breaker.state
}

/// A call that ends while the following of the latency is turned off, between the two looks of it.
#[test]
fn the_limit_of_before_does_not_come_back_when_it_is_turned_off() {
    let adaptive = BackendConfig { inflight_max: Some(25), adaptive_limit: true, ..config() };
    let clock = Clock::starting_at(7);
    let guard = Guard::new(
        "redis".into(),
        &adaptive,
        clock.clone(),
        Entropy::seeded(1),
        Events::new(clock.clone()),
    );
    let fixed = BackendConfig { adaptive_limit: false, timeout: Some(ms(77)), ..adaptive };
    let held = guard.adaptive.lock().unwrap();
    guard.bulkhead.set_limit(3);
    std::thread::scope(|scope| {
        let change = scope.spawn(|| guard.reconfigure(&fixed));
        while guard.timeout() != ms(77) {
            std::thread::yield_now();
        }
        // As long as the call holds the lock the limit is its own. (Never for long: nobody waits for what must not come.)
        for _ in 0..10_000 {
            if guard.bulkhead.limit() == 25 {
                break;
            }
            std::thread::yield_now();
        }
        guard.bulkhead.set_limit(3);
        drop(held);
        change.join().unwrap();
    });
    assert_eq!(guard.bulkhead.limit(), 25);
    // One that had looked before the change, and comes to the lock after it.
    guard.adapt(Verdict::Overload, ms(1), clock.now());
    assert_eq!(guard.bulkhead.limit(), 25);
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_shrinks_while_the_backend_is_overloaded() {
    let fixed = BackendConfig { inflight_max: Some(100), ..config() };
    let adaptive = BackendConfig { adaptive_limit: true, ..fixed.clone() };
    for (config, expected) in [(fixed, 100), (adaptive, 72)] {
        let stand = alone(&config);
        serve(&stand).await;
        stand.fake.set(&Mode::Fail(ErrorKind::Overloaded, "too many connections"));
        for _ in 0..3 {
            fail(&stand, &get()).await;
            tokio::time::sleep(ms(150)).await;
        }
        // A lower limit holds once the call that has shown it has given its place back.
        stand.fake.set(&Mode::Serve);
        serve(&stand).await;
        assert_eq!(stand.status().inflight_max, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_state_ends_by_itself_where_no_call_comes() {
    let stand = alone(&config());
    let minute = Duration::from_secs(60);
    for (command, after) in [
        (BreakerCommand::ForceOpen(minute), BreakerState::HalfOpen),
        (BreakerCommand::ForceClosed(minute), BreakerState::Closed),
    ] {
        stand.node.force(command, "maintenance", &Actor::PROGRAM);
        tokio::time::sleep(minute - ms(1)).await;
        assert!(stand.status().breaker.forced);
        tokio::time::sleep(ms(100)).await;
        assert_eq!((state(&stand), stand.status().breaker.forced), (after, false));
    }
}

#[tokio::test(start_paused = true)]
async fn failures_open_it_and_the_refusal_says_why() {
    let stand = alone(&config());
    stand.fake.kill();
    for _ in 0..5 {
        let error = fail(&stand, &get()).await;
        assert_eq!(error.to_string(), "redis: Connection refused");
    }
    let executed = stand.fake.executes.load(Ordering::SeqCst);
    let refused = fail(&stand, &set()).await;
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::BreakerOpen, Effect::None));
    let text = "redis: breaker open: 5 failures in a row, last \"Connection refused\"";
    assert_eq!(refused.to_string(), text);
    let retry = refused.retry_hint().expect("known");
    assert!(retry >= ms(4000) && retry <= ms(6000), "{retry:?}");
    assert_eq!(stand.fake.executes.load(Ordering::SeqCst), executed, "nothing was sent");
    let now = stand.clock.now();
    assert_eq!(stand.node.refusal(now).to_string(), text);
    let view = stand.node.view(now);
    assert_eq!(view.availability, Availability::Refuses(ErrorKind::BreakerOpen));
    let calls = stand.status().calls;
    assert_eq!((calls.failure, calls.refused, calls.success), (5, 1, 0));
    let event = stand.events.since(0).pop().expect("it opened");
    let error = event.error.as_ref().expect("failures led to it");
    assert_eq!((error.kind, &*error.message), ("disconnected", "Connection refused"));
    assert_eq!((event.cause, event.actor.as_str()), (Some("failures"), "system"));
    assert!(event.retry_in.is_some_and(|time| time >= ms(4000) && time <= ms(6000)));
    let requests = stand.status().requests;
    let counted: Vec<_> = requests.iter().map(|r| (r.op, r.outcome, r.latency.count)).collect();
    assert_eq!(counted, [("read", "failure", 5)]);
    let transitions = stand.status().transitions;
    let found: Vec<_> = transitions.iter().map(|t| (t.from, t.to, t.reason, t.count)).collect();
    assert_eq!(found, [("closed", "open", "failures", 1)]);
}

#[tokio::test(start_paused = true)]
async fn trial_calls_close_it_after_the_open_time() {
    let stand = alone(&config());
    stand.fake.kill();
    for _ in 0..5 {
        fail(&stand, &get()).await;
    }
    stand.fake.set(&Mode::Serve);
    tokio::time::sleep(ms(6001)).await;
    assert!(stand.node.view(stand.clock.now()).is_available());
    for _ in 0..3 {
        serve(&stand).await;
    }
    assert_eq!(state(&stand), BreakerState::Closed);
    let breaker = |kind: &EventKind| match kind {
        EventKind::Breaker { from, to } => Some((*from, *to)),
        _ => None,
    };
    let changes: Vec<_> = stand.kinds().iter().filter_map(breaker).collect();
    assert_eq!(changes, [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]);
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_cut_over_at_the_slow_threshold() {
    let stand = alone(&config());
    for _ in 0..500 {
        serve(&stand).await;
        tokio::time::sleep(ms(1)).await;
    }
    stand.fake.set(&Mode::Hang);
    let began = stand.clock.now();
    let (read, write) = (get(), set());
    let calls = (0..32).map(|index| {
        let op = if index % 2 == 0 { &read } else { &write };
        call(&stand.node, op, stand.deadline())
    });
    let answers = join_all(calls).await;
    let took = stand.clock.now() - began;
    assert!(took <= ms(250), "{took:?}");
    for (index, answer) in answers.into_iter().enumerate() {
        let error = answer.expect_err("given up");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().starts_with("given up: breaker opened"), "{error}");
        let effect = if index % 2 == 0 { Effect::None } else { Effect::Unknown };
        assert_eq!(error.effect(), effect);
    }
    assert_eq!(state(&stand), BreakerState::Open);
    assert_eq!(stand.fake.inflight.load(Ordering::SeqCst), 0, "every future was dropped");
    assert_eq!(stand.status().inflight, 0);
}

#[tokio::test(start_paused = true)]
async fn callers_who_hedge_early_find_a_hang_too() {
    let stand = alone(&config());
    for _ in 0..100 {
        serve(&stand).await;
    }
    // The good calls leave the short window.
    tokio::time::sleep(ms(230)).await;
    stand.fake.set(&Mode::Hang);
    let after = stand.node.hedge_after();
    assert_eq!(after, ms(5), "the 99th percentile is below the least wait");
    for _ in 0..10 {
        let read = get();
        let late = call(&stand.node, &read, stand.deadline());
        assert!(tokio::time::timeout(after + ms(1), late).await.is_err());
    }
    assert_eq!(state(&stand), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_its_own_time_where_calls_pass_without_asking() {
    let stand = alone(&config());
    for _ in 0..50 {
        serve(&stand).await;
    }
    // The ticker looks for another call already.
    let other = get();
    let mut other = Box::pin(call(&stand.node, &other, stand.deadline()));
    stand.fake.set(&Mode::Hang);
    assert!(poll!(&mut other).is_pending());
    let began = stand.clock.now();
    let error = fail(&stand, &set()).await;
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    let took = stand.clock.now() - began;
    assert!(took >= ms(500) && took <= ms(510), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_its_own_time() {
    let stand = alone(&config());
    stand.fake.set(&Mode::Hang);
    let began = stand.clock.now();
    let error = fail(&stand, &set()).await;
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    assert_eq!(error.to_string(), "redis: no answer in 500ms");
    let took = stand.clock.now() - began;
    assert!(took >= ms(500) && took <= ms(510), "{took:?}");
    assert_eq!(stand.status().calls.failure, 1);
    let read = fail(&stand, &get()).await;
    assert_eq!((read.kind(), read.effect()), (ErrorKind::Timeout, Effect::None));
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_ends_in_its_time_also_when_the_tasks_are_closed() {
    let stand = alone(&config());
    stand.fake.set(&Mode::Hang);
    let (set, began) = (set(), stand.clock.now());
    let call = call(&stand.node, &set, stand.deadline());
    let close = async {
        tokio::time::sleep(ms(100)).await;
        assert!(stand.tasks.close(ms(1000)).await);
    };
    let (error, ()) = tokio::join!(call, close);
    assert_eq!(error.expect_err("it hangs").kind(), ErrorKind::Timeout);
    let took = stand.clock.now() - began;
    assert!(took >= ms(500) && took <= ms(510), "{took:?}");
    assert_eq!(fail(&stand, &get()).await.kind(), ErrorKind::Timeout, "one that begins later too");
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_is_not_the_backends_failure() {
    let stand = alone(&config());
    stand.fake.set(&Mode::Hang);
    for _ in 0..20 {
        let deadline = stand.clock.deadline_in(ms(50));
        let error = call(&stand.node, &set(), deadline).await.expect_err("too late");
        assert_eq!((error.kind(), error.effect()), (ErrorKind::DeadlineExceeded, Effect::Unknown));
    }
    let status = stand.status();
    assert_eq!((status.breaker.failures, status.calls.abandoned), (0, 20));
    assert_eq!(status.breaker.state, BreakerState::Closed);

    let passed = stand.clock.deadline_in(Duration::ZERO);
    let error = call(&stand.node, &set(), passed).await.expect_err("passed before");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::DeadlineExceeded, Effect::None));
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_reports_the_callers_deadline_as_its_timeout_is_understood() {
    let stand = alone(&config());
    stand.fake.set_execute(Mode::Fail(ErrorKind::DeadlineExceeded, "deadline"));
    let error = fail(&stand, &get()).await;
    assert_eq!(error.kind(), ErrorKind::Timeout, "the caller had a minute");
    assert_eq!(stand.status().calls.failure, 1);
}

#[tokio::test(start_paused = true)]
async fn the_callers_errors_are_successes() {
    let stand = alone(&config());
    stand.fake.set_execute(Mode::Fail(ErrorKind::WrongType, "WRONGTYPE"));
    for _ in 0..20 {
        fail(&stand, &get()).await;
    }
    stand.fake.set_execute(Mode::Fail(ErrorKind::Conflict, "deadlock"));
    for _ in 0..20 {
        fail(&stand, &get()).await;
    }
    let status = stand.status();
    assert_eq!((status.calls.success, status.breaker.state), (40, BreakerState::Closed));
    assert_eq!(status.last_error, None);
}

#[tokio::test(start_paused = true)]
async fn dropped_trial_calls_give_their_places_back() {
    let stand = alone(&config());
    stand.fake.kill();
    for _ in 0..5 {
        fail(&stand, &get()).await;
    }
    stand.fake.set(&Mode::Hang);
    tokio::time::sleep(ms(6001)).await;
    let (read, deadline) = (get(), stand.deadline());
    let mut trials: Vec<_> = (0..3).map(|_| Box::pin(call(&stand.node, &read, deadline))).collect();
    for trial in &mut trials {
        assert!(poll!(trial).is_pending());
    }
    assert_eq!(state(&stand), BreakerState::HalfOpen);
    assert_eq!(fail(&stand, &read).await.kind(), ErrorKind::BreakerOpen);
    drop(trials);
    stand.fake.set(&Mode::Serve);
    for _ in 0..3 {
        serve(&stand).await;
    }
    assert_eq!(state(&stand), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_hangs_is_cut_over_too() {
    let stand = alone(&config());
    stand.fake.kill();
    for _ in 0..5 {
        fail(&stand, &get()).await;
    }
    stand.fake.set(&Mode::Hang);
    tokio::time::sleep(ms(6001)).await;
    let began = stand.clock.now();
    let error = fail(&stand, &get()).await;
    assert!(stand.clock.now() - began <= ms(250), "{error}");
    assert_eq!(state(&stand), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_isolate_and_are_tried_again_after_a_minute() {
    let stand = alone(&config());
    stand.fake.set_execute(Mode::Fail(ErrorKind::Forbidden, "WRONGPASS"));
    for _ in 0..3 {
        fail(&stand, &get()).await;
    }
    let error = fail(&stand, &get()).await;
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(error.to_string(), "redis: isolated: credentials refused, last \"WRONGPASS\"");
    assert_eq!(stand.fake.executes.load(Ordering::SeqCst), 3);
    stand.fake.set(&Mode::Serve);
    tokio::time::sleep(Duration::from_secs(60)).await;
    for _ in 0..3 {
        serve(&stand).await;
    }
    assert_eq!(state(&stand), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_bulkhead_sheds_what_it_cannot_hold() {
    let config =
        BackendConfig { inflight_max: Some(2), queue_max: 1, queue_wait: ms(100), ..config() };
    let stand = alone(&config);
    stand.fake.set(&Mode::Hang);
    let (read, deadline) = (get(), stand.deadline());
    let mut calls: Vec<_> = (0..3).map(|_| Box::pin(call(&stand.node, &read, deadline))).collect();
    for call in &mut calls {
        assert!(poll!(call).is_pending());
    }
    let status = stand.status();
    assert_eq!((status.inflight, status.queued, status.inflight_max), (2, 1, 2));
    let shed = fail(&stand, &read).await;
    assert_eq!((shed.kind(), shed.effect()), (ErrorKind::Shed, Effect::None));
    assert_eq!(shed.backend().map(|name| &**name), Some("redis"));
    tokio::time::sleep(ms(101)).await;
    assert!(
        matches!(poll!(&mut calls[2]), Poll::Ready(Err(error)) if error.kind() == ErrorKind::Shed)
    );
    assert_eq!(stand.status().calls.shed, 2);
}

#[tokio::test(start_paused = true)]
async fn an_operator_forces_and_drains() {
    let stand = alone(&config());
    stand.node.force(
        BreakerCommand::ForceOpen(Duration::from_secs(60)),
        "maintenance",
        &Actor::PROGRAM,
    );
    let error = fail(&stand, &get()).await;
    assert_eq!(error.to_string(), "redis: breaker open: forced: maintenance");
    assert!(stand.status().breaker.forced);
    stand.node.force(BreakerCommand::Auto, "", &Actor::PROGRAM);
    for _ in 0..3 {
        serve(&stand).await;
    }
    assert_eq!(state(&stand), BreakerState::Closed);

    stand.node.drain(true, "upgrade", &Actor::PROGRAM);
    stand.node.drain(true, "upgrade", &Actor::PROGRAM);
    assert_eq!(fail(&stand, &get()).await.kind(), ErrorKind::OutOfUse);
    let view = stand.node.view(stand.clock.now());
    assert_eq!(view.availability, Availability::Refuses(ErrorKind::OutOfUse));
    stand.node.drain(false, "done", &Actor::PROGRAM);
    serve(&stand).await;
    let drains = stand.kinds().into_iter().filter(|kind| matches!(kind, EventKind::Drain { .. }));
    assert_eq!(drains.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_end_well_when_an_operator_forces_it_open() {
    let stand = alone(&config());
    stand.fake.set(&Mode::Slow(ms(100)));
    let (read, deadline) = (get(), stand.deadline());
    let mut slow = Box::pin(call(&stand.node, &read, deadline));
    assert!(poll!(&mut slow).is_pending());
    stand.node.force(
        BreakerCommand::ForceOpen(Duration::from_secs(60)),
        "maintenance",
        &Actor::PROGRAM,
    );
    assert!(slow.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn slow_answers_open_it_unless_they_are_usual() {
    let breaker = BreakerConfig { slow_min: Some(ms(10)), ..BreakerConfig::default() };
    let stand = alone(&BackendConfig { breaker, ..config() });
    stand.fake.set(&Mode::Slow(ms(100)));
    for _ in 0..100 {
        serve(&stand).await;
    }
    stand.fake.set(&Mode::Slow(ms(300)));
    let mut calls = 0;
    while call(&stand.node, &get(), stand.deadline()).await.is_ok() {
        calls += 1;
        assert!(calls < 200, "never opened");
    }
    assert_eq!(state(&stand), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn what_must_reach_a_backend_passes_the_breaker() {
    let stand = alone(&config());
    stand.node.force(
        BreakerCommand::ForceOpen(Duration::from_secs(60)),
        "maintenance",
        &Actor::PROGRAM,
    );
    assert!(call_unguarded(&stand.node, &get(), stand.deadline()).await.is_ok());
    stand.fake.set(&Mode::Hang);
    let error = call_unguarded(&stand.node, &set(), stand.deadline()).await.expect_err("hangs");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
}
