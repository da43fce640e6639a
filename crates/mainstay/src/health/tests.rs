//! The supervisor on paused time, over a scripted backend.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    backend::Scope,
    clock::Clock,
    config::{BackendConfig, ReconnectConfig},
    entry::Key,
    error::{Effect, Error, ErrorKind},
    event::{Actor, EventKind},
    guard::{
        call,
        fake::{Mode, Stand},
    },
    node::Readmit,
    op::Op,
    status::{Availability, BreakerCommand, BreakerState, Health},
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config() -> BackendConfig {
    BackendConfig::at("redis://127.0.0.1:1")
}

fn get() -> Op {
    Op::Get { key: Key::from("k"), with_ttl: false }
}

fn is_back(stand: &Stand) -> bool {
    let status = stand.status();
    status.health == Health::Up && status.breaker.state == BreakerState::Closed
}

fn is_down(stand: &Stand) -> bool {
    stand.node.health() == Health::Down
}

/// Calls that come every few milliseconds until `holds`; how many succeeded.
async fn with_traffic(stand: &Stand, holds: impl Fn(&Stand) -> bool) -> u64 {
    let mut succeeded = 0;
    let began = stand.clock.now();
    while !holds(stand) {
        assert!(stand.clock.now() - began < Duration::from_secs(600), "{:?}", stand.status());
        succeeded += u64::from(call(&stand.node, &get(), stand.deadline()).await.is_ok());
        tokio::time::sleep(ms(3)).await;
    }
    succeeded
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_there_is_up_with_the_first_connection() {
    let stand = Stand::started(&config()).await;
    assert!(is_back(&stand));
    assert!(call(&stand.node, &get(), stand.deadline()).await.is_ok());
    let status = stand.status();
    assert_eq!((status.reconnect.attempts_total, status.reconnect.reconnects_total), (1, 0));
    assert!(status.reconnect.next_in.expect("a probe is due") <= ms(5500));
    stand.until("facts", |stand| !stand.status().facts.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_not_there_at_start_is_connected_when_it_comes() {
    let stand = Stand::new(&config());
    stand.fake.kill();
    stand.node.start(&stand.tasks);
    stand.node.first_attempt().await;
    let view = stand.node.view(stand.clock.now());
    assert_eq!(view.availability, Availability::Refuses(ErrorKind::OutOfUse));
    let error = call(&stand.node, &get(), stand.deadline()).await.expect_err("not connected");
    assert_eq!(error.to_string(), "redis: not connected yet, last \"Connection refused\"");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(stand.fake.executes.load(Ordering::SeqCst), 0);
    stand.fake.set(&Mode::Serve);
    assert!(stand.until("up", is_back).await <= ms(3100));
}

#[tokio::test(start_paused = true)]
async fn killed_it_is_down_at_once_and_back_within_four_seconds_of_its_return() {
    for outage in [15, 18, 21, 25] {
        let stand = Stand::started(&config()).await;
        with_traffic(&stand, |stand| stand.status().calls.success >= 100).await;
        stand.fake.kill();
        let killed = stand.clock.now();
        with_traffic(&stand, is_down).await;
        assert!(stand.clock.now() - killed <= ms(300), "found by a call, not by the interval");
        let end = killed + Duration::from_secs(outage);
        let served = with_traffic(&stand, |stand| stand.clock.now() >= end).await;
        assert_eq!(served, 0);
        assert_eq!(stand.status().breaker.state, BreakerState::Open, "also past its open time");
        let refused = call(&stand.node, &get(), stand.deadline()).await.expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::BreakerOpen);
        assert!(refused.retry_hint().expect("says when") <= Duration::from_secs(6));
        let events = stand.events.since(0);
        let down =
            events.iter().find(|event| matches!(event.kind, EventKind::Health { to: "down", .. }));
        let down = down.expect("it is down");
        assert_eq!(down.error.as_ref().map(|error| error.kind), Some("disconnected"));
        assert!(down.retry_in.is_some_and(|time| time <= ms(3000)), "{down:?}");
        let failed =
            events.iter().rfind(|event| matches!(event.kind, EventKind::Connection { .. }));
        let failed = failed.expect("attempts were made");
        assert!(failed.error.is_some() && failed.retry_in.is_some_and(|time| time <= ms(3000)));
        stand.fake.set(&Mode::Serve);
        let took = stand.until("back", is_back).await;
        assert!(took <= ms(4000), "{took:?} after {outage} s");
        assert!(call(&stand.node, &get(), stand.deadline()).await.is_ok());
        assert_eq!(stand.status().reconnect.reconnects_total, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn stopped_it_is_cut_over_and_back_within_four_seconds_of_its_return() {
    for outage in [15, 20, 25] {
        let stand = Stand::started(&config()).await;
        stand.fake.set(&Mode::Hang);
        let stopped = stand.clock.now();
        let read = get();
        let calls = (0..32).map(|_| call(&stand.node, &read, stand.deadline()));
        let answers = futures_util::future::join_all(calls).await;
        assert!(answers.iter().all(Result::is_err));
        assert!(stand.clock.now() - stopped <= ms(250), "{:?}", stand.clock.now() - stopped);
        tokio::time::sleep_until(stopped + Duration::from_secs(outage)).await;
        assert!(is_down(&stand));
        stand.fake.set(&Mode::Serve);
        // What hung when it was stopped stays hung here, which is worse than a process that is continued.
        let took = stand.until("back", is_back).await;
        assert!(took <= ms(4800), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_traffic_an_outage_is_found_and_ended_by_probes() {
    let stand = Stand::started(&config()).await;
    stand.fake.kill();
    assert!(stand.until("down", is_down).await <= ms(6000));
    assert_eq!(stand.status().breaker.state, BreakerState::Open);
    stand.fake.set(&Mode::Serve);
    assert!(stand.until("back", is_back).await <= ms(4000));
    assert_eq!(stand.fake.executes.load(Ordering::SeqCst), 0);
}

/// Waits for it without reading the clock, for a minute.
async fn comes_to(stand: &Stand, health: Health) {
    for _ in 0..600 {
        if stand.node.health() == health {
            return;
        }
        tokio::time::sleep(ms(100)).await;
    }
    panic!("never {health:?}: {:?}", stand.status());
}

/// However much time passes within one judgement: a backend that is up again has a breaker that lets calls pass.
#[tokio::test(start_paused = true)]
async fn on_a_slow_machine_it_is_never_up_with_a_breaker_that_is_held_open() {
    for step in 1..=60 {
        let clock = Clock::of_a_slow_machine(ms(step));
        let stand = Stand::with(&config(), Scope::Shared, clock);
        stand.node.start(&stand.tasks);
        for outage in 0..4 {
            comes_to(&stand, Health::Up).await;
            tokio::time::sleep(ms(2000)).await;
            assert!(is_back(&stand), "step {step}, outage {outage}: {:?}", stand.status());
            stand.fake.kill();
            comes_to(&stand, Health::Down).await;
            stand.fake.set(&Mode::Serve);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_blip_that_the_probes_do_not_see_is_over_in_a_second() {
    let stand = Stand::started(&config()).await;
    stand.fake.set_execute(Mode::Fail(ErrorKind::NotReady, "LOADING"));
    with_traffic(&stand, |stand| stand.status().breaker.state == BreakerState::Open).await;
    stand.fake.set_execute(Mode::Serve);
    assert!(stand.until("back", is_back).await <= ms(1000));
}

#[tokio::test(start_paused = true)]
async fn three_timeouts_in_a_row_drop_the_connection() {
    let stand = Stand::started(&config()).await;
    stand.fake.set_execute(Mode::Hang);
    for _ in 0..3 {
        let error = call(&stand.node, &get(), stand.deadline()).await.expect_err("hangs");
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    stand.until("reconnected", |stand| stand.status().reconnect.reconnects_total == 1).await;
    assert_eq!(stand.fake.connects.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn the_wrong_node_is_left_at_most_once_in_three_seconds() {
    let stand = Stand::started(&config()).await;
    stand.fake.set_execute(Mode::Fail(ErrorKind::WrongNode, "READONLY"));
    let end = stand.clock.now() + Duration::from_secs(9);
    with_traffic(&stand, |stand| stand.clock.now() >= end).await;
    let connects = stand.fake.connects.load(Ordering::SeqCst);
    assert!((2..=5).contains(&connects), "{connects}");
}

#[tokio::test(start_paused = true)]
async fn attempts_are_visible_but_do_not_flood() {
    let stand = Stand::started(&config()).await;
    stand.fake.kill();
    stand.until("forty attempts", |stand| stand.status().reconnect.attempts >= 40).await;
    let failed = |kind: &EventKind| match kind {
        EventKind::Connection { connected: false, attempt } => Some(*attempt),
        _ => None,
    };
    let shown: Vec<_> = stand.kinds().iter().filter_map(failed).collect();
    assert_eq!(shown, [1, 2, 3, 4, 5, 10, 20, 30, 40]);
    assert_eq!(stand.status().reconnect.attempts_total, 41);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_reconnection_is_begun_anew() {
    let reconnect = ReconnectConfig { stuck_after: 10, ..ReconnectConfig::default() };
    let stand = Stand::started(&BackendConfig { reconnect, ..config() }).await;
    stand.fake.set(&Mode::Hang);
    stand.until("reset", |stand| stand.status().reconnect.stuck_resets_total == 2).await;
    let resets = stand.kinds();
    let resets = resets.iter().filter(|kind| matches!(kind, EventKind::StuckReset { .. }));
    assert_eq!(resets.count(), 2);
    stand.fake.set(&Mode::Serve);
    assert!(stand.until("back", is_back).await <= ms(4800));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_isolate_until_a_person_acts() {
    let stand = Stand::started(&config()).await;
    stand.fake.kill();
    with_traffic(&stand, is_down).await;
    stand.fake.set_connect(Mode::Fail(ErrorKind::Forbidden, "WRONGPASS"));
    let isolated = |stand: &Stand| stand.status().breaker.state == BreakerState::Isolated;
    stand.until("isolated", isolated).await;
    let before = stand.fake.connects.load(Ordering::SeqCst);
    // After 5, 15 and 35 s.
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(stand.fake.connects.load(Ordering::SeqCst), before + 3);
    assert_eq!(stand.node.refusal(stand.clock.now()).kind(), ErrorKind::Forbidden);
    stand.fake.set(&Mode::Serve);
    stand.node.force(BreakerCommand::Auto, "password fixed", &Actor::PROGRAM);
    assert!(stand.until("back", is_back).await <= ms(1000));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_tried_again_by_itself_sooner_when_they_have_been_put_right_sooner()
{
    let stand = Stand::new(&config());
    stand.fake.set(&Mode::Fail(ErrorKind::Forbidden, "WRONGPASS"));
    stand.node.start(&stand.tasks);
    tokio::time::sleep(Duration::from_secs(2)).await;
    stand.fake.set(&Mode::Serve);
    assert!(stand.until("back", is_back).await <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn writes_that_fail_degrade_and_do_not_bring_it_down() {
    let stand = Stand::started(&config()).await;
    stand.fake.set_write_probe(Mode::Fail(ErrorKind::Overloaded, "OOM"));
    stand.until("degraded", |stand| stand.node.health() == Health::Degraded).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(stand.node.health(), Health::Degraded);
    assert!(call(&stand.node, &get(), stand.deadline()).await.is_ok());
    stand.fake.set(&Mode::Serve);
    assert!(stand.until("up", is_back).await <= ms(6000));
}

#[tokio::test(start_paused = true)]
async fn loading_is_waited_for_without_new_connections() {
    let stand = Stand::started(&config()).await;
    stand.fake.set_execute(Mode::Fail(ErrorKind::NotReady, "LOADING"));
    stand.fake.set_probe(Mode::Fail(ErrorKind::NotReady, "LOADING"));
    with_traffic(&stand, is_down).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(stand.fake.connects.load(Ordering::SeqCst), 1);
    stand.fake.set(&Mode::Serve);
    assert!(stand.until("back", is_back).await <= ms(1000));
}

/// A hook that fails until told otherwise, and notes what it saw.
fn hook(stand: &Stand) -> (Arc<AtomicBool>, Arc<AtomicU64>) {
    let (works, runs) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let (node, seen) = (Arc::downgrade(&stand.node), (Arc::clone(&works), Arc::clone(&runs)));
    let readmit: Readmit = Arc::new(move || {
        let (node, (works, runs)) = (node.upgrade(), seen.clone());
        Box::pin(async move {
            runs.fetch_add(1, Ordering::SeqCst);
            let node = node.expect("the node lives");
            let deadline = node.clock().deadline_in(ms(500));
            crate::guard::call_unguarded(&node, &get(), deadline).await?;
            if works.load(Ordering::SeqCst) {
                return Ok(3);
            }
            Err(Error::new(ErrorKind::Disconnected, "hook failed").with_effect(Effect::None))
        })
    });
    stand.node.set_readmit(readmit);
    (works, runs)
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_made_true_again_before_it_serves() {
    let stand = Stand::new(&config());
    let (works, runs) = hook(&stand);
    assert!(!stand.node.view(stand.clock.now()).readable);
    stand.node.start(&stand.tasks);
    stand.until("up", is_back).await;
    assert!(stand.node.view(stand.clock.now()).readable);

    stand.fake.kill();
    with_traffic(&stand, is_down).await;
    assert!(!stand.node.view(stand.clock.now()).readable);
    works.store(false, Ordering::SeqCst);
    let before = runs.load(Ordering::SeqCst);
    stand.fake.set(&Mode::Serve);
    stand.until("tried", |_| runs.load(Ordering::SeqCst) >= before + 5).await;
    assert!(is_down(&stand), "the hook has not succeeded");
    assert!(call(&stand.node, &get(), stand.deadline()).await.is_err());

    works.store(true, Ordering::SeqCst);
    assert!(stand.until("up", is_back).await <= ms(1000));
    stand.until("readable", |stand| stand.node.view(stand.clock.now()).readable).await;
    let readmission = EventKind::Readmission { keys: 3 };
    assert!(stand.kinds().contains(&readmission));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_cut_under_a_probe_needs_the_hook_and_no_outage() {
    let stand = Stand::new(&config());
    let (_, runs) = hook(&stand);
    stand.node.start(&stand.tasks);
    stand.until("up", is_back).await;
    let before = runs.load(Ordering::SeqCst);
    stand.fake.cut.store(true, Ordering::SeqCst);
    stand.until("made true", |_| runs.load(Ordering::SeqCst) > before).await;
    assert!(is_back(&stand) && stand.node.view(stand.clock.now()).readable);
    assert_eq!(stand.fake.connects.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_passed_it_by_while_the_hook_ran_makes_it_run_again() {
    let stand = Stand::new(&config());
    let (_, runs) = hook(&stand);
    stand.node.start(&stand.tasks);
    stand.until("up", is_back).await;
    stand.fake.kill();
    with_traffic(&stand, is_down).await;
    let before = runs.load(Ordering::SeqCst);
    stand.fake.set(&Mode::Serve);
    // The hook's own call takes long enough for others to pass the node by.
    stand.fake.set_execute(Mode::Slow(ms(50)));
    let readable = |stand: &Stand| stand.node.view(stand.clock.now()).readable;
    stand.until("readable", readable).await;
    assert!(is_back(&stand));
    assert_eq!(runs.load(Ordering::SeqCst) - before, 2);
}

#[tokio::test(start_paused = true)]
async fn a_trip_alone_and_a_drain_need_the_hook_as_well() {
    let stand = Stand::new(&config());
    let (_, runs) = hook(&stand);
    stand.node.start(&stand.tasks);
    stand.until("up", is_back).await;
    let readable = |stand: &Stand| stand.node.view(stand.clock.now()).readable;

    stand.fake.set_execute(Mode::Fail(ErrorKind::Misconfigured, "MISCONF"));
    with_traffic(&stand, |stand| stand.status().breaker.state == BreakerState::Open).await;
    assert!(!readable(&stand));
    stand.fake.set_execute(Mode::Serve);
    stand.until("readable", readable).await;
    assert!(is_back(&stand));

    let before = runs.load(Ordering::SeqCst);
    stand.node.drain(true, "upgrade", &Actor::PROGRAM);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!readable(&stand));
    assert_eq!(runs.load(Ordering::SeqCst), before, "not while it is out of use");
    stand.node.drain(false, "done", &Actor::PROGRAM);
    assert!(stand.until("readable", readable).await <= ms(100));

    stand.node.spoil();
    assert!(!readable(&stand));
    assert!(stand.until("readable", readable).await <= ms(100));
}

#[tokio::test(start_paused = true)]
async fn expired_records_are_purged_while_calls_pass() {
    for scope in [Scope::Shared, Scope::Process] {
        let stand = Stand::with_scope(&config(), scope);
        stand.node.start(&stand.tasks);
        stand.node.first_attempt().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let purged = stand.fake.purges.load(Ordering::SeqCst);
        assert!((5..=7).contains(&purged), "{purged}");
        stand.node.drain(true, "upgrade", &Actor::PROGRAM);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(stand.fake.purges.load(Ordering::SeqCst), purged);
    }
}

#[tokio::test(start_paused = true)]
async fn memory_needs_no_supervisor() {
    let stand = Stand::with_scope(&config(), Scope::Process);
    assert!(call(&stand.node, &get(), stand.deadline()).await.is_ok(), "serves before its start");
    stand.node.start(&stand.tasks);
    stand.node.first_attempt().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stand.fake.probes.load(Ordering::SeqCst), 0);
    assert_eq!(stand.fake.connects.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_the_storage_ends_the_tasks() {
    let stand = Stand::started(&config()).await;
    assert!(stand.tasks.close(Duration::from_secs(1)).await);
    let probes = stand.fake.probes.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stand.fake.probes.load(Ordering::SeqCst), probes);
}
