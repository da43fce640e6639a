//! Histories by hand of increments and compare-and-sets.

use super::{compare_and_set, counters};
use crate::history::call::{Ack, Call, Freshness, Outcome};
use crate::history::story::{Story, v};

fn number(number: i64) -> Option<u64> {
    Some(number.cast_unsigned())
}

#[test]
fn increments_that_each_count_once_are_accepted() {
    let story = Story::new();
    story.add(1, 2, 2, (1, 10));
    story.add(2, 3, 5, (2, 9));
    story.get(3, number(5), None, (11, 12));
    story.add(1, 1, 6, (13, 14));
    story.last(number(6), v(3));
    assert_eq!(story.alarms(counters::check), 0);
}

#[test]
fn a_lost_and_a_doubled_increment_are_refused_at_the_end() {
    for end in [1, 3] {
        let story = Story::new();
        story.add(1, 1, 1, (1, 2));
        story.add(1, 1, 2, (3, 4));
        story.last(number(end), None);
        assert_eq!(story.alarms(counters::check), 1, "{end}");
    }
}

#[test]
fn a_doubled_increment_shows_in_the_next_result() {
    let story = Story::new();
    story.add(1, 1, 1, (1, 2));
    story.add(1, 1, 3, (3, 4));
    assert!(story.alarms(counters::check) > 0);
}

#[test]
fn two_increments_with_one_result_are_refused() {
    let story = Story::new();
    story.add(1, 1, 1, (1, 9));
    story.add(2, 1, 1, (2, 8));
    assert_eq!(story.alarms(counters::check), 1);
}

#[test]
fn an_unknown_increment_counts_once_or_not_at_all() {
    for (end, alarms) in [(1, 0), (6, 0), (5, 1), (11, 1), (0, 1)] {
        let story = Story::new();
        story.add(1, 1, 1, (1, 2));
        story.unknown(2, Call::Increment { by: 5 }, (3, 4));
        story.fail(3, Call::Increment { by: 4 }, (5, 6));
        story.last(number(end), None);
        assert_eq!(story.alarms(counters::check), alarms, "{end}");
    }
}

#[test]
fn one_unknown_increment_cannot_fill_two_gaps() {
    let story = Story::new();
    story.unknown(2, Call::Increment { by: 5 }, (1, 2));
    story.add(1, 1, 6, (3, 4));
    assert_eq!(story.alarms(counters::check), 0);
    story.add(1, 1, 12, (5, 6));
    assert_eq!(story.alarms(counters::check), 1);
}

#[test]
fn a_gap_that_no_unknown_increment_fills_is_refused() {
    let story = Story::new();
    story.unknown(2, Call::Increment { by: 5 }, (1, 2));
    story.add(1, 1, 4, (3, 4));
    assert_eq!(story.alarms(counters::check), 1);
}

#[test]
fn a_later_increment_does_not_count_from_an_older_number() {
    let story = Story::new();
    story.unknown(2, Call::Increment { by: 1 }, (1, 2));
    story.add(1, 1, 2, (3, 4));
    assert_eq!(story.alarms(counters::check), 0);
    story.add(1, 1, 1, (5, 6));
    assert_eq!(story.alarms(counters::check), 1);
}

#[test]
fn downwards_is_judged_like_upwards_and_mixed_by_its_sum() {
    let down = Story::new();
    down.add(1, -2, -2, (1, 2));
    down.add(1, -1, -3, (3, 4));
    down.get(2, number(-3), None, (5, 6));
    down.last(number(-3), None);
    assert_eq!(down.alarms(counters::check), 0);
    down.get(2, number(-2), None, (7, 8));
    assert_eq!(down.alarms(counters::check), 1);

    let mixed = Story::new();
    mixed.add(1, 2, 2, (1, 2));
    mixed.add(1, -2, 0, (3, 4));
    mixed.add(1, 2, 2, (5, 6));
    mixed.last(number(2), None);
    assert_eq!(mixed.alarms(counters::check), 0);
    mixed.last(number(4), None);
    assert_eq!(mixed.alarms(counters::check), 1);
}

#[test]
fn reads_of_a_counter_lie_between_what_was_and_what_can_have_been_added() {
    let base = || {
        let story = Story::new();
        story.add(1, 4, 4, (1, 2));
        story.unknown(1, Call::Increment { by: 2 }, (3, 4));
        story
    };
    let (lin, any) = (Freshness::Linearizable, Freshness::Unverified);
    let cases =
        [(4, lin, 0), (6, lin, 0), (7, lin, 1), (7, any, 1), (0, lin, 1), (0, any, 0), (2, any, 1)];
    for (seen, label, alarms) in cases {
        let story = base();
        story.get_as(2, number(seen), None, label, (5, 6));
        assert_eq!(story.alarms(counters::check), alarms, "{seen} {label:?}");
    }
    let back = base();
    back.get(2, number(6), None, (5, 6));
    back.get(3, number(4), None, (7, 8));
    assert_eq!(back.alarms(counters::check), 1);
}

#[test]
fn a_chain_of_compare_and_sets_is_accepted() {
    let story = Story::new();
    let create = Call::CompareAndSet { expected: None, value: 7 };
    story.durable(1, create, 1, (1, 2));
    story.cas(1, 1, 8, 2, (3, 4));
    let refused = Call::CompareAndSet { expected: v(1), value: 9 };
    story.ok(2, refused, Outcome::write(v(2), Ack::Durable, false), (5, 6));
    story.cas(2, 2, 10, 5, (7, 8));
    story.delete(1, 6, (9, 10));
    story.durable(1, Call::CompareAndSet { expected: None, value: 11 }, 7, (11, 12));
    assert_eq!(story.alarms(compare_and_set::check), 0);
}

#[test]
fn two_from_one_version_are_refused_also_if_one_is_known_only_from_a_read() {
    let story = Story::new();
    story.put(1, 7, 1, (1, 2));
    story.cas(1, 1, 8, 2, (3, 9));
    story.cas(2, 1, 9, 3, (4, 8));
    assert_eq!(story.alarms(compare_and_set::check), 1);

    let unknown = Story::new();
    unknown.put(1, 7, 1, (1, 2));
    unknown.cas(1, 1, 8, 2, (3, 9));
    unknown.unknown(2, Call::CompareAndSet { expected: v(1), value: 9 }, (4, 8));
    assert_eq!(unknown.alarms(compare_and_set::check), 0);
    unknown.get(3, Some(9), v(3), (10, 11));
    assert_eq!(unknown.alarms(compare_and_set::check), 1);
}

#[test]
fn one_that_skips_a_write_or_does_not_grow_is_refused() {
    let skips = Story::new();
    skips.put(1, 7, 1, (1, 2));
    skips.put(1, 8, 2, (3, 4));
    skips.cas(1, 1, 9, 3, (5, 6));
    assert_eq!(skips.alarms(compare_and_set::check), 1);

    let shrinks = Story::new();
    shrinks.cas(1, 2, 9, 2, (5, 6));
    assert_eq!(shrinks.alarms(compare_and_set::check), 1);
}

#[test]
fn creating_a_key_that_is_there_is_refused() {
    let create = Call::CompareAndSet { expected: None, value: 8 };
    let story = Story::new();
    story.put(1, 7, 1, (1, 2));
    story.durable(1, create, 2, (3, 4));
    assert_eq!(story.alarms(compare_and_set::check), 1);

    let deleted = Story::new();
    deleted.put(1, 7, 1, (1, 2));
    deleted.unknown(2, Call::Delete, (1, 2));
    deleted.durable(1, create, 3, (3, 4));
    assert_eq!(deleted.alarms(compare_and_set::check), 0);
}
