//! The right to move and what has been listed, without any backend.

use super::*;
use crate::{clock::Clock, op::Terms};

fn control(beacon: u64, age: Duration) -> Control {
    let terms = Terms { lease: RIGHT, mark: RIGHT, statement: STEP };
    Control {
        id: 0,
        active: true,
        epoch: 1,
        generation: 1,
        identity: String::new(),
        beacon,
        beacon_age: age,
        reason: String::new(),
        terms,
    }
}

fn held(number: u64, until: Instant) -> Held {
    Held { epoch: 1, number, until, suspended: Duration::ZERO }
}

#[test]
fn the_right_is_taken_when_it_was_given_back_or_has_ended_or_is_ones_own() {
    let s = Duration::from_secs;
    assert_eq!(turn(&control(0, s(0)), None), Turn::Raise(1));
    assert_eq!(turn(&control(4, s(0)), None), Turn::Raise(5));
    assert_eq!(turn(&control(5, s(4)), None), Turn::Others);
    assert_eq!(turn(&control(5, s(4)), Some(3)), Turn::Others, "taken by another since");
    assert_eq!(turn(&control(5, s(4)), Some(5)), Turn::Raise(7));
    assert_eq!(turn(&control(5, s(5)), None), Turn::Raise(7));
}

#[tokio::test(start_paused = true)]
async fn no_step_begins_late_or_under_a_later_right() {
    let (rows, now) = (Rows::default(), Clock::system().now());
    let none = Duration::ZERO;
    assert!(rows.begin(now, none).is_none());
    rows.grant(held(1, now + RIGHT), false);
    let mover = rows.begin(now, none).unwrap();
    assert!(mover.may_go_on(now + RIGHT - STEP - Duration::from_millis(1), none));
    assert!(!mover.may_go_on(now + RIGHT - STEP, none));
    assert!(!mover.may_go_on(now, Duration::from_secs(1)), "the machine slept");
    rows.grant(held(3, now + RIGHT * 2), true);
    assert!(mover.may_go_on(now + RIGHT, none), "renewed");
    rows.grant(held(7, now + RIGHT * 4), false);
    assert!(!mover.may_go_on(now + RIGHT * 2, none), "another may have moved in between");
}

#[tokio::test(start_paused = true)]
async fn the_right_is_not_given_back_under_a_move() {
    let (rows, now) = (Rows::default(), Clock::system().now());
    rows.grant(held(1, now + RIGHT), false);
    let mover = rows.begin(now, Duration::ZERO).unwrap();
    assert_eq!(rows.let_go(), None);
    drop(mover);
    assert_eq!(rows.let_go(), Some(held(1, now + RIGHT)));
    assert!(rows.begin(now, Duration::ZERO).is_none());
}

#[test]
fn what_was_not_remembered_is_listed_again() {
    let (rows, key) = (Rows::default(), |text: &str| Key::from(text));
    assert!(!rows.has_listed(&key("a")));
    rows.listed_up_to(&key("c"));
    rows.listed_up_to(&key("b"));
    assert!(rows.has_listed(&key("b")) && !rows.has_listed(&key("c")) && !rows.all_listed());
    rows.set_listed(Listed::All);
    rows.listed_up_to(&key("b"));
    assert!(rows.has_listed(&key("z")) && rows.all_listed());
    rows.forget_from(&key("m"));
    assert!(rows.has_listed(&key("l")) && !rows.has_listed(&key("m")) && !rows.all_listed());
    rows.forget_from(&key("x"));
    assert!(rows.has_listed(&key("l")) && !rows.has_listed(&key("m")));
    rows.set_listed(Listed::Before(key("b")));
    assert!(rows.has_listed(&key("a")) && !rows.has_listed(&key("b")));
}
