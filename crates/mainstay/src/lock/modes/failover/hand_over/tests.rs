use proptest::prelude::*;

use super::*;
use crate::{
    backend::semantics::locks::LockState,
    entry::Key,
    op::{Counting, Ground, LockOp},
    reply::Locked,
};

fn authority(epoch: u64, backend: &str, identity: &str) -> Authority {
    let seat = Seat {
        backend: backend.into(),
        identity: identity.into(),
        ttl_max: Duration::from_secs(10),
        view: Duration::from_secs(2),
    };
    Authority { epoch, seat, wait: Duration::ZERO, now_us: 0 }
}

#[tokio::test(start_paused = true)]
async fn the_authority_moves_for_a_reason() {
    let now = crate::Clock::starting_at(0).now();
    let later = now + Duration::from_secs(30);
    let long = Duration::from_secs(3600);
    let mut watch = Watch::default();
    watch.note(Some("run1".into()), now);
    let on_redis = authority(1, "redis", "run1");
    assert_eq!(watch.decide(&authority(0, "", ""), "redis", false, long, now), Some(To::Fast));
    assert_eq!(watch.decide(&on_redis, "redis", true, long, later), None);
    assert_eq!(watch.decide(&on_redis, "redis", false, long, later), Some(To::Fast), "emptied");
    let on_db = authority(2, "db", "");
    assert_eq!(watch.decide(&on_db, "redis", true, Duration::from_secs(5), later), None);
    assert_eq!(watch.decide(&on_db, "redis", true, long, later), Some(To::Fast));
    watch.note(Some("run2".into()), later);
    assert_eq!(watch.decide(&on_redis, "redis", true, long, later), Some(To::Fast), "restarted");
    watch.note(None, later);
    assert_eq!(watch.decide(&on_redis, "redis", false, long, later), None, "one hiccup");
    let much_later = later + Duration::from_secs(5);
    watch.note(None, much_later);
    assert_eq!(watch.decide(&on_redis, "redis", false, long, much_later), Some(To::Arbiter));
    assert_eq!(watch.decide(&on_db, "redis", false, long, much_later), None);
}

#[test]
fn tokens_of_a_later_epoch_are_higher() {
    assert!(token(2, 1) > token(1, (1 << 43) - 1));
    assert!(token(1, 2) > token(1, 1));
    assert_eq!(epoch_of(token(7, 99)), 7);
    assert!(i64::try_from(token((1 << 20) - 1, u64::MAX)).is_ok(), "fits a BIGINT");
}

const STEP: Duration = Duration::from_millis(500);
const TTL: Duration = Duration::from_secs(4);

/// One Redis and one arbiter, two processes, messages that come late or never, and restarts that forget.
struct World {
    base: Instant,
    at: u32,
    redis: LockState,
    runs: u32,
    arbiter: LockState,
    views: [Option<View>; 2],
    /// Where, what, which process, epoch, when it was sent.
    flying: Vec<(bool, LockOp, usize, u64, Moment)>,
    guards: Vec<(usize, u64, Lease)>,
    given: Vec<u64>,
    holder: u128,
    weakened: Weakened,
}

/// Rules that are left out.
#[derive(Clone, Copy, Debug, Default)]
struct Weakened {
    /// What is left out of the wait of a move.
    wait: Duration,
    /// A move forgets what is left of the wait before it.
    forgets_wait: bool,
    /// Tokens are the counters of whoever grants.
    without_epoch: bool,
}

impl World {
    fn new(weakened: Weakened) -> Self {
        let mut world = Self {
            base: crate::Clock::starting_at(0).now(),
            at: 0,
            redis: LockState::default(),
            runs: 0,
            arbiter: LockState::default(),
            views: [None, None],
            flying: Vec::new(),
            guards: Vec::new(),
            given: Vec::new(),
            holder: 1,
            weakened,
        };
        world.restart();
        world.go(To::Fast);
        world
    }

    fn now(&self) -> Moment {
        Moment { instant: self.base + STEP * self.at, suspended: Duration::ZERO }
    }

    fn now_us(&self) -> i64 {
        i64::from(self.at) * 500_000
    }

    /// Empty, as another run, which may grant at once: under its epoch it has never granted.
    fn restart(&mut self) {
        self.runs += 1;
        self.redis = LockState::default();
        let run = format!("run{}", self.runs);
        self.redis.fleet_mut().runs_as(&run, 0);
    }

    fn authority(&mut self) -> Authority {
        let now = self.now_us();
        *self.arbiter.perform(&LockOp::Authority, now).into_authority().unwrap()
    }

    fn go(&mut self, to: To) {
        let before = self.authority();
        let (backend, identity) = match to {
            To::Fast => ("redis", format!("run{}", self.runs)),
            To::Arbiter => ("db", String::new()),
        };
        if to == To::Fast {
            let op = LockOp::Admit { identity: identity.clone(), floor: 0 };
            self.redis.perform(&op, self.now_us());
        }
        let seat =
            Seat { backend: backend.into(), identity, ttl_max: TTL, view: Duration::from_secs(2) };
        let wait = match before.epoch {
            0 => Duration::ZERO,
            _ => wait_after(&before.seat, before.seat.backend == "db"),
        };
        let wait = wait.saturating_sub(self.weakened.wait);
        if self.weakened.forgets_wait {
            self.arbiter.fleet_mut().not_before_us = 0;
        }
        let op = LockOp::Move { epoch: before.epoch, to: seat, wait };
        self.arbiter.perform(&op, self.now_us());
    }

    /// Asks the arbiter; the answer is read `late` steps later, with the time passing for all.
    fn look(&mut self, process: usize) {
        let authority = self.authority();
        let view = View::new(authority, self.now(), self.now().instant, 0.0);
        self.views[process] = Some(view);
    }

    fn ask(&mut self, process: usize) {
        let now = self.now();
        let Some(view) = self.views[process].as_ref() else { return };
        if !view.is_believed(now) || !view.closed_for(now.instant).is_zero() {
            return;
        }
        let (authority, holder) = (view.authority.clone(), self.holder);
        self.holder += 1;
        let fast = authority.seat.backend == "redis";
        let (name, ground) = match fast {
            true => (super::super::fast_name(&Key::from("a"), authority.epoch), {
                Ground::Server(authority.seat.identity.clone())
            }),
            false => (Key::from("a"), Ground::Epoch(authority.epoch)),
        };
        let (counting, note) = (Counting::Here, String::new());
        let op = LockOp::Acquire { name, holder, ttl: TTL, counting, note, ground, waiter: None };
        self.flying.push((fast, op, process, authority.epoch, now));
    }

    /// One of what flies arrives, and its answer, unless it is lost.
    fn deliver(&mut self, which: usize, lost: bool) -> std::result::Result<(), TestCaseError> {
        if self.flying.is_empty() {
            return Ok(());
        }
        let (fast, op, process, epoch, sent) = self.flying.swap_remove(which % self.flying.len());
        let now = self.now_us();
        let state = if fast { &mut self.redis } else { &mut self.arbiter };
        let locked = state.perform(&op, now).into_locked().unwrap();
        let Locked::Granted { token: counter, .. } = locked else { return Ok(()) };
        let lease = Lease::new(sent, TTL, 0.0);
        let now = self.now();
        if lost || !lease.is_held(now) {
            return Ok(());
        }
        self.guards.retain(|(_, _, lease)| lease.is_held(now));
        prop_assert!(self.guards.is_empty(), "two hold it: {:?}", self.guards);
        let token = if self.weakened.without_epoch { counter } else { token(epoch, counter) };
        let last = self.given.iter().max().copied().unwrap_or(0);
        prop_assert!(token > last, "{token} after {last}");
        self.given.push(token);
        self.guards.push((process, token, lease));
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Look(usize),
    Ask(usize),
    Deliver(usize, bool),
    Tick(u32),
    Go(bool),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..2).prop_map(Step::Look),
        8 => (0_usize..2).prop_map(Step::Ask),
        8 => (0_usize..8, prop::bool::weighted(0.1)).prop_map(|(w, l)| Step::Deliver(w, l)),
        8 => (1_u32..6).prop_map(Step::Tick),
        2 => any::<bool>().prop_map(Step::Go),
        1 => Just(Step::Restart),
    ]
}

fn run(steps: Vec<Step>, weakened: Weakened) -> std::result::Result<usize, TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let mut world = World::new(weakened);
    for step in steps {
        match step {
            Step::Look(process) => world.look(process),
            Step::Ask(process) => world.ask(process),
            Step::Deliver(which, lost) => world.deliver(which, lost)?,
            Step::Tick(steps) => world.at += steps,
            Step::Go(fast) => world.go(if fast { To::Fast } else { To::Arbiter }),
            Step::Restart => world.restart(),
        }
    }
    Ok(world.given.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    /// Whoever moves the authority whenever, whatever comes late, and however often Redis forgets: never two, and tokens rise.
    #[test]
    fn one_holder_through_every_hand_over(steps in prop::collection::vec(step(), 0..120)) {
        run(steps, Weakened::default())?;
    }
}

/// A grant under an old view just before its end, after these moves, and one under the new authority.
fn hand_over(moves: &[bool]) -> Vec<Step> {
    let mut steps = vec![Step::Look(0)];
    steps.extend(moves.iter().map(|fast| Step::Go(*fast)));
    // The view lasts 2 s less its allowance: the last step at which it is believed.
    steps.extend([Step::Tick(3), Step::Ask(0), Step::Deliver(0, false)]);
    for _ in 0..20 {
        steps.extend([Step::Tick(1), Step::Look(1), Step::Ask(1), Step::Deliver(0, false)]);
    }
    steps
}

fn is_well(steps: Vec<Step>, weakened: Weakened) -> bool {
    run(steps, weakened).is_ok_and(|given| given >= 2)
}

#[test]
fn without_the_whole_wait_two_hold_the_lock() {
    let away = || hand_over(&[false]);
    assert!(is_well(away(), Weakened::default()), "and progress");
    let view = Duration::from_secs(2);
    // No wait, one as long as the longest lease only, and one that forgets the view.
    for wait in [Duration::MAX, view + Duration::from_secs(3), view + TTL] {
        let weakened = Weakened { wait, ..Weakened::default() };
        assert!(run(away(), weakened).is_err(), "{weakened:?}");
    }
}

#[test]
fn a_move_that_is_taken_back_at_once_keeps_the_wait_of_the_first() {
    let there_and_back = || hand_over(&[false, true]);
    // Without what is added for slow servers: that would hide it.
    let bare = Weakened { wait: WORK_MAX, ..Weakened::default() };
    assert!(is_well(there_and_back(), bare));
    assert!(run(there_and_back(), Weakened { forgets_wait: true, ..bare }).is_err());
}

#[test]
fn without_the_epoch_a_token_is_given_twice() {
    let weakened = Weakened { without_epoch: true, ..Weakened::default() };
    assert!(run(hand_over(&[false]), weakened).is_err());
}
