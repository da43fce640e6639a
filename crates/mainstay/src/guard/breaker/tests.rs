//! The breaker on schedules, by hand and at random.

use proptest::prelude::*;

use super::*;
use crate::{clock::Clock, error::ErrorKind, status::BreakerCommand};

const FAST: Duration = Duration::from_millis(1);
const HALF: f64 = 0.5;

fn start() -> (Breaker, Instant) {
    let now = Clock::system().now() + Duration::from_secs(3600);
    (Breaker::new(BreakerConfig::default(), now), now)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn run(
    breaker: &mut Breaker,
    verdict: Verdict,
    took: Duration,
    now: Instant,
) -> Option<Transition> {
    let ticket = breaker.acquire(now).expect("passes");
    breaker.settle(ticket, verdict, took, now, HALF)
}

fn trip(breaker: &mut Breaker, now: Instant) {
    while breaker.state() == BreakerState::Closed {
        run(breaker, Verdict::Failure, FAST, now);
    }
}

#[test]
fn opens_on_failures_in_a_row_and_a_success_between_begins_anew() {
    let (mut breaker, now) = start();
    for _ in 0..4 {
        assert_eq!(run(&mut breaker, Verdict::Failure, FAST, now), None);
    }
    run(&mut breaker, Verdict::Success, FAST, now);
    for _ in 0..4 {
        assert_eq!(run(&mut breaker, Verdict::Failure, FAST, now), None);
    }
    let opened = run(&mut breaker, Verdict::Failure, FAST, now).expect("the fifth");
    assert_eq!((opened.from, opened.to), (BreakerState::Closed, BreakerState::Open));
    assert_eq!(opened.cause.to_string(), "5 failures in a row");
    assert!(opened.cuts);
    let refused = breaker.acquire(now).expect_err("open");
    assert_eq!((refused.kind, refused.retry_in), (ErrorKind::BreakerOpen, Some(ms(5000))));
}

#[test]
fn opens_at_the_failure_rate_but_not_below_the_least_calls() {
    let (mut breaker, mut now) = start();
    let mut last = None;
    for call in 0..10 {
        assert_eq!(last, None, "call {call}");
        now += ms(500);
        let verdict = if call % 2 == 0 { Verdict::Success } else { Verdict::Failure };
        last = run(&mut breaker, verdict, FAST, now);
    }
    let opened = last.expect("5 of 10");
    assert_eq!(opened.cause, Cause::FailureRate { failures: 5, calls: 10 });
    assert!(!opened.cuts, "the other half still succeeds");
}

#[test]
fn failures_that_left_the_window_do_not_count() {
    let (mut breaker, mut now) = start();
    for call in 0..200 {
        now += ms(2500);
        let verdict = if call % 2 == 0 { Verdict::Success } else { Verdict::Failure };
        assert_eq!(run(&mut breaker, verdict, FAST, now), None);
    }
}

#[test]
fn the_callers_errors_and_overload_do_not_count_as_failures_in_a_row() {
    let (mut breaker, now) = start();
    for _ in 0..9 {
        assert_eq!(run(&mut breaker, Verdict::Overload, FAST, now), None);
    }
    let opened = run(&mut breaker, Verdict::Overload, FAST, now).expect("10 of 10 as slow");
    assert!(matches!(opened.cause, Cause::Slow { slow: 10, calls: 10, .. }));
}

#[test]
fn no_room_for_writes_says_nothing_against_reads() {
    let (mut breaker, mut now) = start();
    for _ in 0..1000 {
        assert_eq!(run(&mut breaker, Verdict::Refused, FAST, now), None);
    }
    trip(&mut breaker, now);
    now += ms(5000);
    breaker.advance(now, HALF);
    run(&mut breaker, Verdict::Refused, FAST, now);
    run(&mut breaker, Verdict::Refused, FAST, now);
    assert!(run(&mut breaker, Verdict::Refused, FAST, now).is_some(), "three answers close it");
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn opens_on_slow_calls_by_the_usual_latency() {
    let (mut breaker, now) = start();
    breaker.set_pace(Some(ms(400)), ms(150));
    for _ in 0..20 {
        assert_eq!(run(&mut breaker, Verdict::Success, ms(519), now), None);
    }
    // 1.3 × 400 ms is usual for this one; 80 % over it are not.
    for _ in 0..79 {
        assert_eq!(run(&mut breaker, Verdict::Success, ms(520), now), None);
    }
    assert!(run(&mut breaker, Verdict::Success, ms(520), now).is_some());
}

#[test]
fn a_hang_is_seen_in_flight_after_ten_seconds_of_good_calls() {
    let (mut breaker, mut now) = start();
    for _ in 0..10_000 {
        now += ms(1);
        run(&mut breaker, Verdict::Success, FAST, now);
    }
    now += ms(230);
    assert_eq!(breaker.look_at_inflight(9, now, HALF), None, "fewer than the least calls");
    let opened = breaker.look_at_inflight(32, now, HALF).expect("none is answered any more");
    assert!(matches!(opened.cause, Cause::Slow { slow: 32, .. }) && opened.cuts);
}

#[test]
fn a_few_slow_calls_among_good_ones_are_no_hang() {
    let (mut breaker, mut now) = start();
    for call in 0..1000 {
        now += ms(1);
        run(&mut breaker, Verdict::Success, FAST, now);
        let overdue = if call < 100 { 0 } else { 20 };
        assert_eq!(breaker.look_at_inflight(overdue, now, HALF), None);
    }
}

#[test]
fn callers_who_give_up_late_say_that_it_hangs_those_who_give_up_early_say_nothing() {
    let (mut breaker, now) = start();
    breaker.set_pace(Some(ms(1)), ms(5));
    for _ in 0..100 {
        assert_eq!(run(&mut breaker, Verdict::Abandoned, ms(4), now), None);
    }
    for _ in 0..9 {
        assert_eq!(run(&mut breaker, Verdict::Abandoned, ms(7), now), None);
    }
    assert!(run(&mut breaker, Verdict::Abandoned, ms(7), now).is_some());
}

#[test]
fn trial_calls_close_it_and_one_failure_opens_it_for_twice_as_long() {
    let (mut breaker, mut now) = start();
    trip(&mut breaker, now);
    now += ms(5000);
    let trial = breaker.advance(now, HALF).expect("the open time is over");
    assert_eq!(trial.to, BreakerState::HalfOpen);
    run(&mut breaker, Verdict::Success, FAST, now);
    let opened = run(&mut breaker, Verdict::Failure, FAST, now).expect("any failure");
    assert_eq!((opened.to, opened.cause), (BreakerState::Open, Cause::TrialFailed));
    assert_eq!(breaker.status(now).retry_in, Some(ms(10_000)));
    now += ms(10_000);
    breaker.advance(now, HALF);
    run(&mut breaker, Verdict::Success, FAST, now);
    run(&mut breaker, Verdict::Success, FAST, now);
    let closed = run(&mut breaker, Verdict::Success, FAST, now).expect("the third success");
    assert_eq!(closed.to, BreakerState::Closed);
}

#[test]
fn the_open_time_doubles_to_its_limit_and_a_stable_close_forgets_it() {
    let (mut breaker, mut now) = start();
    let mut times = Vec::new();
    for _ in 0..6 {
        trip(&mut breaker, now);
        times.push(breaker.status(now).retry_in.expect("open").as_secs());
        now += ms(60_000);
        breaker.advance(now, HALF);
        for _ in 0..3 {
            run(&mut breaker, Verdict::Success, FAST, now);
        }
        now += ms(1000);
    }
    assert_eq!(times, [5, 10, 20, 40, 60, 60]);
    now += ms(10_000);
    trip(&mut breaker, now);
    assert_eq!(breaker.status(now).retry_in, Some(ms(5000)));
}

#[test]
fn half_open_gives_so_many_places_takes_back_dropped_ones_and_ends_in_time() {
    let (mut breaker, mut now) = start();
    trip(&mut breaker, now);
    now += ms(5000);
    breaker.advance(now, HALF);
    let tickets: Vec<_> = (0..3).map(|_| breaker.acquire(now).expect("a place")).collect();
    assert!(breaker.acquire(now).is_err());
    assert_eq!(breaker.settle(tickets[0], Verdict::Abandoned, FAST, now, HALF), None);
    assert!(breaker.acquire(now).is_ok());
    // The others never come back.
    now += ms(30_000);
    let opened = breaker.advance(now, HALF).expect("no verdict");
    assert_eq!(opened.cause, Cause::NoVerdict);
    assert_eq!(breaker.status(now).retry_in, Some(ms(5000)), "nobody failed: it does not double");
}

#[test]
fn a_trial_that_hangs_opens_it() {
    let (mut breaker, mut now) = start();
    trip(&mut breaker, now);
    now += ms(5000);
    breaker.advance(now, HALF);
    breaker.acquire(now).expect("a place");
    let opened = breaker.look_at_inflight(1, now + ms(200), HALF).expect("it hangs");
    assert!(opened.cuts);
}

#[test]
fn stragglers_from_before_the_trip_change_nothing() {
    let (mut breaker, mut now) = start();
    let stragglers: Vec<_> = (0..20).map(|_| breaker.acquire(now).expect("closed")).collect();
    trip(&mut breaker, now);
    now += ms(5000);
    breaker.advance(now, HALF);
    for straggler in &stragglers[..10] {
        assert_eq!(breaker.settle(*straggler, Verdict::Success, FAST, now, HALF), None);
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    for _ in 0..3 {
        run(&mut breaker, Verdict::Success, FAST, now);
    }
    for straggler in &stragglers[10..] {
        assert_eq!(breaker.settle(*straggler, Verdict::Failure, FAST, now, HALF), None);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.status(now).calls, 0);
}

#[test]
fn refused_credentials_isolate_for_a_minute() {
    let (mut breaker, mut now) = start();
    run(&mut breaker, Verdict::Forbidden, FAST, now);
    run(&mut breaker, Verdict::Forbidden, FAST, now);
    let isolated = run(&mut breaker, Verdict::Forbidden, FAST, now).expect("the third");
    assert_eq!(isolated.to, BreakerState::Isolated);
    let refused = breaker.acquire(now).expect_err("isolated");
    assert_eq!((refused.kind, refused.retry_in), (ErrorKind::Forbidden, Some(ISOLATION)));
    assert_eq!(breaker.on_probe_success(now), None);
    now += ISOLATION;
    assert_eq!(breaker.advance(now, HALF).expect("a trial").to, BreakerState::HalfOpen);
    let again = run(&mut breaker, Verdict::Forbidden, FAST, now).expect("still refused");
    assert_eq!(again.to, BreakerState::Isolated);
}

#[test]
fn an_operator_ends_an_isolation_and_repeated_ones_are_one_transition() {
    let (mut breaker, now) = start();
    let long = Duration::from_secs(40);
    assert!(breaker.isolate(now, Cause::Forbidden, Duration::from_secs(5)).is_some());
    assert_eq!(breaker.isolate(now, Cause::Forbidden, long), None);
    assert_eq!(breaker.acquire(now).expect_err("isolated").retry_in, Some(long));
    breaker.hold(now, HALF);
    assert_eq!(breaker.force(BreakerCommand::Auto, "fixed", now, HALF), None, "health says down");
    breaker.release(now);
    breaker.isolate(now, Cause::Forbidden, long);
    let trial = breaker.force(BreakerCommand::Auto, "fixed", now, HALF).expect("a trial");
    assert_eq!((trial.from, trial.to), (BreakerState::Isolated, BreakerState::HalfOpen));
}

#[test]
fn corrupt_data_isolates_at_once() {
    let (mut breaker, now) = start();
    let isolated = run(&mut breaker, Verdict::Corrupt, FAST, now).expect("at once");
    assert_eq!(isolated.to, BreakerState::Isolated);
    assert_eq!(breaker.acquire(now).expect_err("isolated").kind, ErrorKind::Corrupt);
}

#[test]
fn probes_in_a_row_close_an_open_breaker_but_not_a_forced_one() {
    let (mut breaker, now) = start();
    trip(&mut breaker, now);
    assert_eq!(breaker.on_probe_success(now), None);
    assert_eq!(breaker.on_probe_success(now), None);
    breaker.on_probe_failure();
    assert_eq!(breaker.on_probe_success(now), None);
    assert_eq!(breaker.on_probe_success(now), None);
    assert!(breaker.would_close_on_probe(now));
    assert_eq!(breaker.on_probe_success(now).expect("three in a row").to, BreakerState::Closed);

    breaker.force(BreakerCommand::ForceOpen(ms(60_000)), "maintenance", now, HALF);
    for _ in 0..10 {
        assert_eq!(breaker.on_probe_success(now), None);
    }
}

#[test]
fn probes_that_succeed_where_calls_fail_do_not_close_it_before_its_time() {
    let (mut breaker, mut now) = start();
    let mut closes = 0;
    // A minute in which every call fails and every probe succeeds.
    for _ in 0..300 {
        now += ms(200);
        breaker.advance(now, HALF);
        closes += u32::from(breaker.on_probe_success(now).is_some());
        if breaker.state() == BreakerState::Closed {
            trip(&mut breaker, now);
        }
    }
    assert!(closes <= 4, "{closes}");
}

#[test]
fn forced_states_expire_and_can_be_taken_back() {
    let (mut breaker, mut now) = start();
    let minute = ms(60_000);
    breaker.force(BreakerCommand::ForceClosed(minute), "drill", now, HALF);
    for _ in 0..50 {
        assert_eq!(run(&mut breaker, Verdict::Failure, FAST, now), None);
    }
    let status = breaker.status(now);
    assert_eq!((status.forced, status.forced_for), (true, Some(minute)));
    now += minute;
    assert_eq!(breaker.advance(now, HALF).expect("expires").to, BreakerState::Closed);
    assert!(!breaker.status(now).forced);

    let forced = breaker.force(BreakerCommand::ForceOpen(minute), "drill", now, HALF);
    assert!(!forced.as_ref().expect("a transition").cuts);
    let status = breaker.status(now);
    assert_eq!((status.state, status.reason.as_str()), (BreakerState::Isolated, "forced: drill"));
    assert_eq!(status.forced_for, Some(minute));
    assert_eq!(breaker.acquire(now).expect_err("forced").retry_in, Some(minute));
    now += minute;
    assert_eq!(breaker.advance(now, HALF).expect("expires").to, BreakerState::HalfOpen);

    breaker.force(BreakerCommand::ForceOpen(minute), "drill", now, HALF);
    let auto = breaker.force(BreakerCommand::Auto, "", now, HALF).expect("taken back");
    assert_eq!(auto.to, BreakerState::HalfOpen);
    assert_eq!(breaker.force(BreakerCommand::Auto, "", now, HALF), None);
}

#[test]
fn health_holds_it_open_until_it_lets_go() {
    let (mut breaker, mut now) = start();
    assert_eq!(breaker.hold(now, HALF).expect("opens").cause, Cause::HealthDown);
    now += ms(3_600_000);
    assert_eq!(breaker.advance(now, HALF), None);
    assert!(breaker.acquire(now).is_err());
    for _ in 0..5 {
        assert_eq!(breaker.on_probe_success(now), None);
    }
    assert_eq!(breaker.release(now).expect("closes").to, BreakerState::Closed);

    breaker.force(BreakerCommand::ForceOpen(ms(1000)), "drill", now, HALF);
    assert_eq!(breaker.hold(now, HALF), None);
    now += ms(1000);
    assert_eq!(breaker.advance(now, HALF).expect("expires").to, BreakerState::Open);
}

#[derive(Clone, Debug)]
enum Step {
    Acquire,
    Settle(usize, u8, u64),
    Lose(usize),
    Wait(u64),
    Back(u64),
    Tick(u64),
    Probe(bool),
    Force(u8),
    Hold,
    Release,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Acquire),
        6 => (any::<prop::sample::Index>(), 0u8..6, 0u64..600).prop_map(|(at, verdict, took)| Step::Settle(at.index(64), verdict, took)),
        1 => (0usize..64).prop_map(Step::Lose),
        4 => (0u64..8000).prop_map(Step::Wait),
        1 => (0u64..100_000).prop_map(Step::Wait),
        1 => (0u64..50).prop_map(Step::Back),
        2 => (0u64..40).prop_map(Step::Tick),
        2 => any::<bool>().prop_map(Step::Probe),
        1 => (0u8..3).prop_map(Step::Force),
        1 => Just(Step::Hold),
        2 => Just(Step::Release),
    ];
    prop::collection::vec(step, 0..300)
}

const VERDICTS: [Verdict; 7] = [
    Verdict::Success,
    Verdict::Failure,
    Verdict::Overload,
    Verdict::Refused,
    Verdict::Forbidden,
    Verdict::Corrupt,
    Verdict::Abandoned,
];

fn take(step: Step, breaker: &mut Breaker, tickets: &mut Vec<Ticket>, now: &mut Instant) {
    match step {
        Step::Acquire => {
            breaker.advance(*now, HALF);
            tickets.extend(breaker.acquire(*now));
        }
        Step::Settle(at, verdict, took) if !tickets.is_empty() => {
            let ticket = tickets.swap_remove(at % tickets.len());
            let (before, stale) = (breaker.state.clone(), ticket.epoch != breaker.epoch);
            let verdict = VERDICTS[usize::from(verdict)];
            let change = breaker.settle(ticket, verdict, ms(took), *now, HALF);
            assert!(!stale || (change.is_none() && before == breaker.state), "a straggler counted");
        }
        // A future that is leaked: it never settles.
        Step::Lose(at) if !tickets.is_empty() => {
            tickets.swap_remove(at % tickets.len());
        }
        Step::Settle(..) | Step::Lose(_) => {}
        Step::Wait(time) => *now += ms(time),
        Step::Back(time) => *now -= ms(time),
        Step::Tick(overdue) => {
            breaker.advance(*now, HALF);
            breaker.look_at_inflight(overdue, *now, HALF);
        }
        Step::Probe(true) => drop(breaker.on_probe_success(*now)),
        Step::Probe(false) => breaker.on_probe_failure(),
        Step::Force(0) => drop(breaker.force(BreakerCommand::Auto, "", *now, HALF)),
        Step::Force(1) => {
            breaker.force(BreakerCommand::ForceOpen(ms(20_000)), "", *now, HALF);
        }
        Step::Force(_) => {
            breaker.force(BreakerCommand::ForceClosed(ms(20_000)), "", *now, HALF);
        }
        Step::Hold => drop(breaker.hold(*now, HALF)),
        Step::Release => drop(breaker.release(*now)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// After any schedule, with permits dropped or leaked, stragglers, and clocks that jump: the trial places are
    /// never exceeded, and a backend that is well again is served again within the longest open time.
    #[test]
    fn is_never_stuck(steps in steps()) {
        let (mut breaker, mut now) = start();
        let mut tickets = Vec::new();
        for step in steps {
            take(step, &mut breaker, &mut tickets, &mut now);
            if let State::HalfOpen { out, .. } = breaker.state {
                let held = tickets.iter().filter(|ticket| ticket.epoch == breaker.epoch).count();
                prop_assert!(held <= out as usize && out <= breaker.config.probes);
            }
        }
        breaker.release(now);
        let began = now;
        while breaker.state() != BreakerState::Closed || breaker.is_forced() {
            prop_assert!(now - began <= Duration::from_secs(200), "stuck: {:?}", breaker.state);
            now += ms(500);
            breaker.advance(now, HALF);
            if let Ok(ticket) = breaker.acquire(now) {
                breaker.settle(ticket, Verdict::Success, FAST, now, HALF);
            }
        }
    }

    /// The same without health's word: only trial calls close it.
    #[test]
    fn trial_calls_alone_close_it(steps in steps()) {
        let (mut breaker, mut now) = start();
        let mut tickets = Vec::new();
        for step in steps.into_iter().filter(|step| !matches!(step, Step::Hold | Step::Release)) {
            take(step, &mut breaker, &mut tickets, &mut now);
        }
        let began = now;
        while breaker.state() != BreakerState::Closed || breaker.is_forced() {
            prop_assert!(now - began <= Duration::from_secs(200), "stuck: {:?}", breaker.state);
            now += ms(500);
            breaker.advance(now, HALF);
            if let Ok(ticket) = breaker.acquire(now) {
                breaker.settle(ticket, Verdict::Success, FAST, now, HALF);
            }
        }
    }
}
