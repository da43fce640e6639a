//! The control state: epochs, dirty rows that wait, drains that lose races, journals.

use super::*;

const TERMS: Terms = Terms {
    lease: Duration::from_secs(2),
    mark: Duration::from_secs(5),
    statement: Duration::from_secs(2),
};
const BOUNDED: Under = Under::Around { known_for: None, open_for: Duration::ZERO };
const STRICT: Under =
    Under::Around { known_for: Some(Duration::from_secs(4)), open_for: Duration::from_secs(8) };
const SECOND: i64 = 1_000_000;

fn redis() -> Arc<str> {
    Arc::from("redis")
}

fn active() -> ControlState {
    let mut state = ControlState::default();
    let row = state.lease(&redis(), TERMS, 7, 10, 0);
    assert!(!row.control.active && row.control.id == 7 && row.control.terms == TERMS);
    assert!(state.readmit("redis", 0, "run-1", 3, 0));
    state
}

fn key(name: &str) -> [Key; 1] {
    [Key::from(name)]
}

#[test]
fn a_marked_write_needs_its_epoch_and_its_time() {
    let mut state = active();
    let mark = |epoch, deadline_us| Under::Mark { epoch, deadline_us };
    let mut may = |under, now| state.may_commit("redis", under, &key("a"), now);
    assert_eq!(may(mark(1, 10), 9), Permission::Go);
    assert_eq!(may(mark(1, 10), 10), Permission::Overtaken);
    assert_eq!(may(mark(0, 10), 9), Permission::Overtaken);
    assert!(state.degrade("redis", 1, "restarted", 20) && !state.degrade("redis", 1, "again", 20));
    assert_eq!(state.may_commit("redis", mark(1, 99), &key("a"), 30), Permission::Overtaken);
    assert_eq!(state.may_commit("redis", mark(2, 99), &key("a"), 30), Permission::Overtaken);
    assert!(state.readmit("redis", 2, "run-2", 0, 40));
    let control = state.lease(&redis(), TERMS, 9, 10, 40).control;
    assert_eq!((control.id, control.epoch, control.generation), (7, 3, 2));
    assert_eq!(control.identity, "run-2");
}

#[test]
fn a_strict_write_waits_until_its_key_has_been_dirty_long_enough() {
    let mut state = active();
    let mut at = |seconds: i64| state.may_commit("redis", STRICT, &key("a"), seconds * SECOND);
    assert_eq!(at(0), Permission::Wait(Duration::from_secs(4)));
    assert_eq!(at(1), Permission::Wait(Duration::from_secs(3)));
    assert_eq!(at(4), Permission::Go);
    assert_eq!(at(5), Permission::Go, "known already");
    let many = [Key::from("a"), Key::from("b")];
    let wait = state.may_commit("redis", STRICT, &many, 6 * SECOND);
    assert_eq!(wait, Permission::Wait(Duration::from_secs(4)), "of b");
}

#[test]
fn a_drain_leaves_what_was_written_again_or_is_held_open() {
    let mut state = active();
    state.may_commit("redis", BOUNDED, &key("a"), 0);
    let seen = state.dirty("redis", None, 10);
    state.may_commit("redis", BOUNDED, &key("a"), 1);
    assert_eq!(state.drained("redis", &seen, 2), 0);
    let seen = state.dirty("redis", None, 10);
    assert_eq!(state.drained("redis", &seen, 2), 1);
    state.may_commit("redis", STRICT, &key("b"), 0);
    let seen = state.dirty("redis", None, 10);
    assert_eq!(state.drained("redis", &seen, SECOND), 0, "a write waits under it");
    assert_eq!(state.drained("redis", &seen, 8 * SECOND), 1);
}

#[test]
fn a_lease_carries_the_dirty_keys_and_says_when_they_are_too_many() {
    let mut state = active();
    for name in ["a", "b", "c"] {
        state.may_commit("redis", BOUNDED, &key(name), 0);
    }
    let row = state.lease(&redis(), TERMS, 0, 2, 0);
    assert_eq!((row.dirty.len(), row.more), (2, true));
    let row = state.lease(&redis(), TERMS, 0, 3, 0);
    assert_eq!((row.dirty.len(), row.more), (3, false));
    assert_eq!(state.dirty("redis", Some(&Key::from("a").following()), 1)[0].key, Key::from("b"));
}

#[test]
fn while_degraded_nothing_is_made_dirty_and_a_readmission_forgets_what_was() {
    let mut state = active();
    state.may_commit("redis", BOUNDED, &key("a"), 0);
    state.degrade("redis", 1, "restarted", 10 * SECOND);
    assert_eq!(state.may_commit("redis", BOUNDED, &key("b"), 11 * SECOND), Permission::Go);
    let wait = state.may_commit("redis", STRICT, &key("b"), 11 * SECOND);
    assert_eq!(wait, Permission::Wait(Duration::from_secs(3)));
    assert_eq!(state.may_commit("redis", STRICT, &key("b"), 14 * SECOND), Permission::Go);
    assert_eq!(state.dirty_keys("redis").len(), 1);
    assert!(!state.readmit("redis", 1, "x", 0, 0) && state.readmit("redis", 2, "x", 0, 0));
    assert!(state.dirty_keys("redis").is_empty());
}

#[test]
fn the_beacon_only_rises_and_only_under_its_epoch() {
    let mut state = active();
    assert!(!state.raised("redis", 1, 3, 0) && state.raised("redis", 1, 5, SECOND));
    assert!(!state.raised("redis", 1, 4, 0) && !state.raised("redis", 0, 9, 0));
    let control = state.lease(&redis(), TERMS, 0, 1, 3 * SECOND).control;
    assert_eq!((control.beacon, control.beacon_age), (5, Duration::from_secs(2)));
}

#[test]
fn a_journaled_write_is_applied_once_and_never_over_anothers() {
    let mut state = active();
    let v = |counter| Version { epoch: 1, counter };
    let base = Base { version: Some(v(4)), known_until_us: Some(100) };
    let may = |state: &ControlState, seq, row| state.may_apply(1, seq, base, &key("a"), |_| row);
    let conflict = Applicable::Conflict(Key::from("a"));
    assert_eq!(may(&state, 1, None), Applicable::Go);
    assert_eq!(may(&state, 1, Some((v(9), 100))), Applicable::Go, "not since the last contact");
    assert_eq!(may(&state, 1, Some((v(4), 500))), Applicable::Go, "the version that was seen");
    assert_eq!(may(&state, 1, Some((v(5), 500))), conflict);
    state.applied(1, 1, &key("a"), [(Key::from("a"), v(5))], 600);
    assert_eq!(may(&state, 1, None), Applicable::Already);
    assert_eq!(may(&state, 2, Some((v(5), 600))), Applicable::Go, "its own");
    assert_eq!(may(&state, 2, Some((v(6), 600))), conflict);
    assert_eq!(state.dirty_keys("redis").len(), 1);
}
