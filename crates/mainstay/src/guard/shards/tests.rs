//! What goes without the guard's lock, against what has it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    task::{Wake, Waker},
    thread::{self, yield_now},
    time::Duration,
};

use super::{
    super::{Guard, classify::Verdict, core::Ending, permit::Permit},
    Alarms, ENDED_MAX, SHARDS,
};
use crate::{
    clock::Clock,
    config::{BackendConfig, RetryConfig},
    entropy::Entropy,
    error::{Error, ErrorKind},
    event::Events,
    op::OpLabel,
    status::BreakerState,
};

/// A guard that has seen so many calls succeed that they go without its lock.
fn steady() -> Guard {
    let clock = Clock::system();
    let events = Events::new(clock.clone());
    let guard = Guard::new("redis".into(), &config(), clock, Entropy::seeded(1), events);
    (0..30).for_each(|_| pass(&guard, Verdict::Success));
    guard
}

fn config() -> BackendConfig {
    BackendConfig::at("redis://127.0.0.1:1")
}

fn begin(guard: &Guard) -> Result<Permit<'_>, Error> {
    begin_with(guard, Alarms::default(), Waker::noop())
}

fn begin_with<'a>(guard: &'a Guard, alarms: Alarms, waker: &Waker) -> Result<Permit<'a>, Error> {
    guard.begin(OpLabel::Read, guard.clock().now(), alarms, waker)
}

fn pass(guard: &Guard, verdict: Verdict) {
    let permit = begin(guard).expect("closed");
    let error = Error::new(ErrorKind::Internal, "as the test says");
    let error = (verdict != Verdict::Success).then_some(&error);
    permit.settle(&Ending { verdict, error, timed_out: false }, guard.clock().now());
}

fn state(guard: &Guard) -> BreakerState {
    guard.lock().breaker.state()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn each_call_is_counted_once_whichever_way_it_goes() {
    let guard = steady();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for call in 1..=1000 {
                    let verdict = if call % 100 == 0 { Verdict::Failure } else { Verdict::Success };
                    pass(&guard, verdict);
                }
            });
        }
    });
    let core = guard.lock();
    assert_eq!((core.counts.success, core.counts.failure), (30 + 3960, 40));
    let requests = core.requests.snapshot();
    let counted: Vec<_> = requests.iter().map(|r| (r.outcome, r.latency.count)).collect();
    drop(core);
    assert_eq!(counted, [("success", 3990), ("failure", 40)]);
    assert_eq!(guard.shards.all().count(), 0);
}

#[test]
fn calls_begin_and_end_while_somebody_has_the_lock() {
    let guard = steady();
    let _looking = begin(&guard).expect("closed");
    let core = guard.peek();
    thread::scope(|scope| {
        let (done, told) = mpsc::channel();
        let guard = &guard;
        scope.spawn(move || {
            pass(guard, Verdict::Success);
            done.send(()).expect("somebody waits");
        });
        let told = told.recv_timeout(Duration::from_secs(10));
        drop(core);
        told.expect("it does not wait for the lock");
    });
}

#[test]
fn what_is_kept_is_heard_of_in_time() {
    let guard = steady();
    (0..100).for_each(|_| pass(&guard, Verdict::Success));
    let kept = || (0..SHARDS).map(|shard| guard.shards.part(shard).ended.len()).sum::<usize>();
    assert!(kept() < ENDED_MAX, "{}", kept());
    assert_eq!(guard.peek().counts.success + kept() as u64, 130);
    let permit = begin(&guard).expect("closed");
    let now = guard.clock().now() + guard.peek().breaker.slow_over();
    permit.settle(&Ending::SUCCESS, now);
    let core = guard.peek();
    assert_eq!((core.counts.success, core.counts.slow), (131, 1), "a slow one at once");
}

#[test]
fn calls_that_go_without_the_lock_earn_retries_as_well() {
    let guard = steady();
    let retry = RetryConfig { budget: 0.25, budget_min: 0, ..RetryConfig::default() };
    guard.reconfigure(&BackendConfig { retry, ..config() });
    let spent = || (0..1000).take_while(|_| guard.try_spend_budget(guard.clock().now())).count();
    spent();
    (0..40).for_each(|_| pass(&guard, Verdict::Success));
    assert_eq!(spent(), 10);
}

/// The ticker rings for the task that polls the call, or whoever polls it next sees that its time is over.
#[test]
fn a_call_that_changes_its_task_hears_that_its_time_is_over() {
    let guard = steady();
    for _ in 0..2000 {
        let now = guard.clock().now();
        let limit = Some(now);
        let mut permit =
            begin_with(&guard, Alarms { late: None, limit }, Waker::noop()).expect("closed");
        let bell = Arc::new(Bell::default());
        let over = thread::scope(|scope| {
            scope.spawn(|| guard.tick());
            permit.wakes(&Waker::from(Arc::clone(&bell)));
            permit.is_over()
        });
        assert!(over || bell.0.load(SeqCst) > 0);
        // As if it had taken no time: a slow machine is no slow backend.
        permit.settle(&Ending::SUCCESS, now);
    }
}

#[test]
fn a_success_that_is_kept_breaks_a_row_of_failures() {
    let guard = steady();
    let calls = |verdict, count| {
        (0..count).for_each(|_| pass(&guard, verdict));
    };
    calls(Verdict::Failure, 4);
    calls(Verdict::Success, 1);
    calls(Verdict::Failure, 4);
    assert_eq!(state(&guard), BreakerState::Closed);
    calls(Verdict::Failure, 1);
    assert_eq!(state(&guard), BreakerState::Open);
}

#[test]
fn the_ticker_looks_in_time_for_whoever_is_late_first() {
    let guard = steady();
    let far = begin(&guard).expect("closed");
    let looks = guard.next_look().expect("a call is in flight");
    let (later, sooner) = (looks + Duration::from_millis(9), looks - Duration::from_millis(1));
    for (late, expected) in [(later, looks), (sooner, sooner)] {
        let alarms = Alarms { late: Some(late), limit: None };
        let _near = begin_with(&guard, alarms, Waker::noop()).expect("closed");
        assert_eq!(guard.next_look(), Some(expected));
    }
    drop(far);
    guard.tick();
    assert_eq!(guard.next_look(), None, "it rests");
    let _next = begin(&guard).expect("closed");
    assert!(guard.next_look().is_some());
}

/// Calls that begin while the breaker opens are refused, or hear that they are given up.
#[test]
fn whoever_begins_while_it_opens_hears_of_it() {
    const ROUNDS: u64 = 2000;
    const TIME: Duration = Duration::from_secs(2);
    let guard = steady();
    let begun = guard.clock().now();
    // How often health has said down, counted after each.
    let (held, cut) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    cut.fetch_add(u64::from(is_cut(&guard, &held, &over)), SeqCst);
                }
            });
        }
        for round in 0..ROUNDS {
            if cut.load(SeqCst) > 0 && guard.clock().now() - begun > TIME {
                break;
            }
            let before = cut.load(SeqCst);
            // Until one of them is in flight, or a while: both orders are wanted.
            for _ in 0..round % 50 {
                if guard.shards.all().count() > 0 {
                    break;
                }
                yield_now();
            }
            guard.hold();
            held.fetch_add(1, SeqCst);
            for _ in 0..round % 7 {
                if cut.load(SeqCst) > before {
                    break;
                }
                yield_now();
            }
            guard.release();
        }
        over.store(true, SeqCst);
    });
    assert!(cut.load(SeqCst) > 0, "no call was in flight when it opened");
    assert_eq!(guard.shards.all().count(), 0);
}

/// One call, held until health says down once more; whether it was in flight then for certain.
fn is_cut(guard: &Guard, held: &AtomicU64, over: &AtomicBool) -> bool {
    let bell = Arc::new(Bell::default());
    let before = held.load(SeqCst);
    let Ok(permit) = begin_with(guard, Alarms::default(), &Waker::from(Arc::clone(&bell))) else {
        yield_now();
        return false;
    };
    if held.load(SeqCst) != before {
        return false;
    }
    while held.load(SeqCst) == before && !over.load(SeqCst) {
        yield_now();
    }
    if held.load(SeqCst) == before {
        return false;
    }
    assert!(permit.is_cut(), "it goes on under a breaker that has opened");
    assert!(bell.0.load(SeqCst) > 0, "it was not woken");
    true
}
