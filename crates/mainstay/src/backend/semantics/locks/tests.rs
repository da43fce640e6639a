use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::from("a")
}

#[derive(Clone, Debug)]
enum Step {
    Acquire(u128, u64),
    /// The same, as a process that waits.
    Queue(u128, u64, u64),
    Renew(u128, u64),
    Release(u128),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let holder = 1_u128..4;
    let one = prop_oneof![
        (holder.clone(), 1_u64..50).prop_map(|(holder, ttl)| Step::Acquire(holder, ttl)),
        (holder.clone(), 1_u64..50, 0_u64..100)
            .prop_map(|(holder, ttl, waited)| Step::Queue(holder, ttl, waited)),
        (holder.clone(), 1_u64..50).prop_map(|(holder, ttl)| Step::Renew(holder, ttl)),
        holder.prop_map(Step::Release),
        (0_u32..30).prop_map(Step::Wait),
    ];
    prop::collection::vec(one, 0..60)
}

fn waiter(process: u128, waited_us: u64) -> Option<Waiter> {
    Some(Waiter { process, waited: Duration::from_micros(waited_us) })
}

fn acquire(holder: u128, ttl_us: u64, waiter: Option<Waiter>) -> LockOp {
    LockOp::Acquire {
        name: key(),
        holder,
        ttl: Duration::from_micros(ttl_us),
        counting: Counting::Here,
        note: String::new(),
        ground: Ground::Free,
        waiter,
    }
}

fn act(state: &mut LockState, step: &Step, now_us: i64) -> Locked {
    let op = match step {
        Step::Acquire(holder, ttl) => acquire(*holder, *ttl, None),
        Step::Queue(holder, ttl, waited) => acquire(*holder, *ttl, waiter(*holder, *waited)),
        Step::Renew(holder, ttl) => LockOp::Renew {
            name: key(),
            holder: *holder,
            ttl: Duration::from_micros(*ttl),
            ground: Ground::Free,
        },
        Step::Release(holder) => LockOp::Release { name: key(), holder: *holder },
        Step::Wait(_) => return Locked::Gone,
    };
    state.perform(&op, now_us).into_locked().unwrap()
}

proptest! {
    /// What each holder may believe never overlaps, and each new grant has a higher token.
    #[test]
    fn one_holder_at_a_time_under_rising_tokens(steps in steps()) {
        let (mut state, mut now) = (LockState::default(), 0_i64);
        let mut holds: Option<(u128, u64, i64)> = None;
        let (mut highest, mut kept_until) = (0, 0);
        for step in &steps {
            if let Step::Wait(us) = step {
                now += i64::from(*us);
                continue;
            }
            holds = holds.filter(|(_, _, until)| *until > now);
            let before = holds;
            let found = act(&mut state, step, now);
            match (step, &found) {
                (
                    Step::Acquire(holder, ttl) | Step::Queue(holder, ttl, _),
                    Locked::Granted { token, .. },
                ) => {
                    match before {
                        Some((own, kept, _)) => {
                            prop_assert_eq!(own, *holder, "held by another");
                            prop_assert_eq!(kept, *token);
                        }
                        None => prop_assert!(*token > highest),
                    }
                    highest = *token;
                    holds = Some((*holder, *token, now + i64::try_from(*ttl).unwrap()));
                }
                (Step::Acquire(holder, _) | Step::Queue(holder, ..), _) => {
                    let kept = now < kept_until;
                    prop_assert!(before.map_or(kept, |(own, ..)| own != *holder));
                }
                (Step::Renew(holder, ttl), Locked::Granted { token, .. }) => {
                    prop_assert_eq!(before.map(|(own, kept, _)| (own, kept)), Some((*holder, *token)));
                    holds = Some((*holder, *token, now + i64::try_from(*ttl).unwrap()));
                }
                (Step::Release(holder), Locked::Granted { .. }) => {
                    prop_assert_eq!(before.map(|(own, ..)| own), Some(*holder));
                    holds = None;
                    kept_until = now + micros(KEPT_FOR);
                }
                (Step::Renew(holder, _) | Step::Release(holder), _) => {
                    prop_assert!(before.is_none_or(|(own, ..)| own != *holder));
                }
                (Step::Wait(_), _) => {}
            }
        }
    }

    /// The tokens that pass a fence never go down.
    #[test]
    fn a_fence_only_rises(tokens in prop::collection::vec(0_u64..20, 0..40)) {
        let (mut state, mut highest) = (LockState::default(), 0);
        for token in tokens {
            match state.fence(&key(), token, 0) {
                Locked::Granted { .. } => {
                    prop_assert!(token >= highest);
                    highest = token;
                }
                Locked::Fenced(seen) => prop_assert!(seen == highest && token < highest),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}

#[test]
fn another_run_of_the_server_does_not_vote_until_it_is_admitted_again() {
    let mut fleet = Fleet::default();
    fleet.runs_as("one", 5);
    assert!(!fleet.member(9, 0, 5).admitted);
    assert_eq!(fleet.admit("two", 3, 6), Locked::Refused);
    assert!(matches!(fleet.admit("one", 3, 6), Locked::Granted { token: 3, .. }));
    assert!(fleet.allows(&Ground::Member, 7) && fleet.allows(&Ground::Server("one".into()), 7));
    fleet.runs_as("two", 8);
    assert!(!fleet.allows(&Ground::Member, 9) && !fleet.allows(&Ground::Server("one".into()), 9));
    assert_eq!(fleet.member(9, 0, 18).known_for, Duration::from_micros(10));
}

#[test]
fn nothing_is_granted_before_the_wait_of_a_move_is_over() {
    let mut fleet = Fleet::default();
    let to = Seat { backend: "db".into(), ..Seat::default() };
    assert!(matches!(
        fleet.move_on(0, &to, Duration::from_micros(10), 100),
        Locked::Granted { token: 1, .. }
    ));
    assert_eq!(fleet.move_on(0, &to, Duration::ZERO, 101), Locked::Refused);
    assert!(!fleet.allows(&Ground::Epoch(1), 109) && fleet.allows(&Ground::Epoch(1), 110));
    assert!(!fleet.allows(&Ground::Epoch(0), 200));
    assert_eq!(fleet.authority(104).wait, Duration::from_micros(6));
}

#[test]
fn a_move_keeps_what_is_left_of_the_wait_before_it() {
    let mut fleet = Fleet::default();
    let to = Seat { backend: "db".into(), ..Seat::default() };
    let mut go = |epoch, wait, now_us| {
        assert!(matches!(
            fleet.move_on(epoch, &to, Duration::from_micros(wait), now_us),
            Locked::Granted { .. }
        ));
        fleet.not_before_us
    };
    assert_eq!(go(0, 10, 100), 110);
    assert_eq!(go(1, 3, 101), 110, "back at once");
    assert_eq!(go(2, 10, 105), 115, "a later end counts");
    assert_eq!(go(3, 3, 200), 203);
}

/// Holders take turns, each under a number of its own; how many until the lock is kept from the next.
fn turns(row: &mut Row, now_us: i64) -> u64 {
    let asking = |holder| Asking {
        holder,
        ttl: Duration::from_secs(60),
        counting: Counting::Here,
        note: "",
        waiter: None,
    };
    for turn in 0..100 {
        let holder = 1_000 + u128::from(turn);
        match row.acquire(&asking(holder), 0, now_us) {
            Locked::Granted { .. } => assert!(row.release(holder, now_us) != Locked::Gone),
            _ => return turn,
        }
    }
    100
}

fn look(row: &mut Row, process: u128, waited_us: u64, now_us: i64) -> bool {
    let asking = Asking {
        holder: process,
        ttl: Duration::from_secs(60),
        counting: Counting::Here,
        note: "",
        waiter: waiter(process, waited_us),
    };
    matches!(row.acquire(&asking, 0, now_us), Locked::Granted { .. })
}

/// Held by 7 at a moment; the time.
fn held() -> (Row, i64) {
    let (mut row, now) = (Row::default(), 1_000_000_000);
    assert!(look(&mut row, 7, 0, now));
    (row, now)
}

#[test]
fn a_process_that_waits_lets_so_many_pass_and_no_more() {
    let (mut row, now) = held();
    assert!(!look(&mut row, 1, 0, now));
    row.release(7, now);
    assert_eq!(turns(&mut row, now), PASSES_MAX);
    assert!(!look(&mut row, 2, 999, now), "it is kept for the first, whoever has waited longer");
    assert!(look(&mut row, 1, 0, now));
    assert_eq!((row.waiter, row.release(1, now) == Locked::Gone), (None, false));
    assert_eq!(turns(&mut row, now), 100, "it has had its turn");
}

#[test]
fn a_lock_is_kept_in_vain_once_and_not_for_long() {
    let (mut row, now) = held();
    assert!(!look(&mut row, 1, 0, now));
    row.release(7, now);
    assert_eq!(turns(&mut row, now), PASSES_MAX);
    let later = now + micros(KEPT_FOR);
    assert_eq!(turns(&mut row, later - 1), 0);
    assert_eq!(turns(&mut row, later), 100);
}

#[test]
fn who_has_waited_longest_is_served_and_what_passed_before_counts() {
    let (mut row, now) = held();
    assert!(!look(&mut row, 1, 5, now) && !look(&mut row, 2, 4, now));
    assert_eq!(row.waiter, Some(1));
    assert!(!look(&mut row, 3, 6, now));
    assert_eq!((row.waiter, row.waiter_token), (Some(3), row.token));
    row.release(7, now);
    assert_eq!(turns(&mut row, now), PASSES_MAX);
    assert!(!look(&mut row, 1, 5, now) && look(&mut row, 3, 6, now));
}

#[test]
fn a_note_that_is_not_renewed_ends() {
    let (mut row, now) = held();
    assert!(!look(&mut row, 1, 0, now));
    row.release(7, now);
    assert_eq!(turns(&mut row, now + micros(NOTED_FOR)), 100);
    let (mut row, now) = held();
    for half in 0..5 {
        assert!(!look(&mut row, 1, 0, now + half * micros(NOTED_FOR / 2)));
    }
    let later = now + 4 * micros(NOTED_FOR / 2);
    row.release(7, later);
    assert_eq!(turns(&mut row, later), PASSES_MAX);
}
