//! Histories by hand that each checker has to accept or to refuse.

use super::staleness::{Label, measure};
use super::*;
use crate::history::call::{Ack, Call, Freshness, Outcome, Source};
use crate::history::recorder::History;
use crate::history::story::{Story, v};

mod stale {
    use super::*;

    #[test]
    fn a_linearizable_read_that_misses_an_acknowledged_write_is_refused() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.put(1, 8, 2, (3, 10));
        story.get(2, Some(7), v(1), (9, 12));
        assert_eq!(story.alarms(staleness::check), 0, "it began before the acknowledgement");
        let late = story.get(2, Some(7), v(1), (15, 16));
        assert_eq!(story.alarms(staleness::check), 1);
        assert!(staleness::check(&story.0.trace()).violations[0].ops.contains(&late));
        assert_eq!(measure(&story.0.trace())[&Label::Linearizable], 5);
    }

    #[test]
    fn the_first_acknowledged_of_the_missed_writes_counts() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.put(1, 8, 2, (3, 100));
        story.put(2, 9, 3, (4, 10));
        story.get_as(3, Some(7), v(1), Freshness::Bounded(90), (110, 111));
        assert_eq!(story.alarms(staleness::check), 1);
        assert_eq!(measure(&story.0.trace())[&Label::Bounded], 100);
    }

    #[test]
    fn a_bounded_read_may_be_as_old_as_its_bound() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.put(1, 8, 2, (3, 10));
        story.get_as(2, Some(7), v(1), Freshness::Bounded(20), (30, 31));
        assert_eq!(story.alarms(staleness::check), 0);
        story.get_as(2, Some(7), v(1), Freshness::Bounded(20), (31, 32));
        assert_eq!(story.alarms(staleness::check), 1);
    }

    #[test]
    fn a_linearizable_read_may_miss_nothing_not_even_of_its_own_microsecond() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.put(1, 8, 2, (3, 10));
        story.get_as(2, Some(7), v(1), Freshness::Bounded(0), (10, 11));
        assert_eq!(story.alarms(staleness::check), 0);
        story.get(2, Some(7), v(1), (10, 11));
        assert_eq!(story.alarms(staleness::check), 1);
    }

    #[test]
    fn what_promises_nothing_is_measured_only() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.put(1, 8, 2, (3, 10));
        story.get(2, Some(8), v(2), (20, 21));
        story.get_as(2, Some(7), v(1), Freshness::Unverified, (110, 111));
        assert_eq!(story.alarms(staleness::check), 0);
        assert_eq!(measure(&story.0.trace())[&Label::Unverified], 100);
    }

    #[test]
    fn absence_is_stale_unless_a_delete_explains_it() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.get(2, None, None, (3, 4));
        assert_eq!(story.alarms(staleness::check), 1);

        let purged = Story::new();
        purged.put(1, 7, 1, (1, 2));
        purged.delete(1, 2, (3, 4));
        purged.get(2, None, None, (5, 6));
        assert_eq!(purged.alarms(staleness::check), 0);
        purged.put(1, 8, 3, (7, 8));
        purged.get(2, None, None, (9, 10));
        assert_eq!(purged.alarms(staleness::check), 1);
    }

    #[test]
    fn an_epoch_is_more_than_any_counter_and_writes_without_certainty_bind_nobody() {
        let story = Story::new();
        story.put(1, 7, 900, (1, 2));
        let fork = Some(crate::history::Version::new(2, 1));
        story.ok(1, Call::Put(8), Outcome::write(fork, Ack::Durable, true), (3, 4));
        story.get(2, Some(8), fork, (5, 6));
        story.unknown(1, Call::Put(9), (7, 8));
        story.ok(1, Call::Put(10), Outcome::write(v(5), Ack::Journaled, true), (9, 10));
        story.get(2, Some(8), fork, (11, 12));
        assert_eq!(story.alarms(staleness::check), 0);
        story.get(2, Some(7), v(900), (13, 14));
        assert_eq!(story.alarms(staleness::check), 1);
    }
}

mod durable {
    use super::*;

    #[test]
    fn the_last_write_and_an_unknown_one_after_it_are_both_accepted() {
        for (value, counter) in [(8, 2), (9, 3)] {
            let story = Story::new();
            story.put(1, 7, 1, (1, 2));
            story.put(1, 8, 2, (3, 4));
            story.unknown(1, Call::Put(9), (5, 6));
            story.last(Some(value), v(counter));
            assert_eq!(story.alarms(durability::check), 0);
        }
    }

    #[test]
    fn a_lost_write_is_found_by_version_and_by_time() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        let lost = story.put(1, 8, 2, (3, 4));
        story.last(Some(7), v(1));
        let verdict = durability::check(&story.0.trace());
        assert_eq!(verdict.violations_seen, 2);
        assert!(verdict.violations.iter().all(|violation| violation.ops.contains(&lost)));
    }

    #[test]
    fn without_versions_time_alone_finds_a_lost_write() {
        let put = |story: &Story, value, at| {
            story.ok(1, Call::Put(value), Outcome::write(None, Ack::Durable, true), at)
        };
        let story = Story::new();
        put(&story, 7, (1, 2));
        put(&story, 8, (3, 4));
        story.last(Some(7), None);
        assert_eq!(story.alarms(durability::check), 1);

        let overlapping = Story::new();
        put(&overlapping, 7, (1, 4));
        put(&overlapping, 8, (3, 5));
        overlapping.last(Some(7), None);
        assert_eq!(overlapping.alarms(durability::check), 0);
    }

    #[test]
    fn a_vanished_key_is_lost_unless_a_delete_explains_it() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.last(None, None);
        assert_eq!(story.alarms(durability::check), 2);

        let deleted = Story::new();
        deleted.put(1, 7, 1, (1, 2));
        deleted.unknown(1, Call::Delete, (3, 4));
        deleted.last(None, None);
        assert_eq!(deleted.alarms(durability::check), 0);

        let written_again = Story::new();
        written_again.delete(1, 1, (1, 2));
        written_again.put(1, 7, 2, (3, 4));
        written_again.last(None, v(1));
        assert_eq!(written_again.alarms(durability::check), 2);
    }

    #[test]
    fn another_value_under_the_version_and_a_value_of_nobody_are_refused() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 9));
        story.put(2, 8, 2, (1, 9));
        story.last(Some(7), v(2));
        assert_eq!(story.alarms(durability::check), 1);

        let nobody = Story::new();
        nobody.put(1, 7, 1, (1, 2));
        nobody.last(Some(99), v(2));
        assert_eq!(nobody.alarms(durability::check), 1);

        let failed = Story::new();
        failed.put(1, 7, 1, (1, 2));
        failed.fail(1, Call::Put(8), (3, 4));
        failed.last(Some(8), v(2));
        assert_eq!(failed.alarms(durability::check), 1);
    }

    #[test]
    fn weaker_acknowledgements_may_be_lost() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.ok(1, Call::Put(8), Outcome::write(None, Ack::Journaled, true), (3, 4));
        story.ok(1, Call::Put(9), Outcome::write(v(9), Ack::Volatile, true), (5, 6));
        story.last(Some(7), v(1));
        assert_eq!(story.alarms(durability::check), 0);
    }
}

mod deleted {
    use super::*;

    #[test]
    fn a_value_may_be_written_again_after_a_delete() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.delete(1, 2, (3, 4));
        story.get(2, None, v(2), (5, 6));
        story.put(1, 8, 3, (7, 8));
        story.get(2, Some(8), v(3), (9, 10));
        story.last(Some(8), v(3));
        assert_eq!(story.alarms(deletions::check), 0);
    }

    #[test]
    fn a_resurrected_value_is_refused_in_a_read_and_at_the_end() {
        for version in [v(1), None] {
            let story = Story::new();
            story.put(1, 7, 1, (1, 2));
            story.delete(1, 2, (3, 4));
            story.get(2, Some(7), version, (5, 6));
            assert_eq!(story.alarms(deletions::check), 1);
            story.last(Some(7), version);
            assert_eq!(story.alarms(deletions::check), 2);
        }
    }

    #[test]
    fn versions_prove_a_resurrection_where_time_cannot() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 5));
        story.delete(2, 2, (2, 6));
        story.get(3, Some(7), v(1), (7, 8));
        assert_eq!(story.alarms(deletions::check), 1);
        story.put(1, 8, 3, (9, 12));
        story.delete(2, 4, (10, 20));
        story.get(3, Some(8), v(3), (13, 14));
        assert_eq!(story.alarms(deletions::check), 1, "the second delete may come later");
    }

    #[test]
    fn time_alone_proves_a_resurrection_but_not_while_the_write_may_come_later() {
        let gone = |story: &Story| {
            let outcome = Outcome::write(None, Ack::Durable, true);
            story.ok(1, Call::Delete, outcome, (3, 4));
            story.get(2, Some(7), None, (5, 6));
            story.alarms(deletions::check)
        };
        let story = Story::new();
        story.ok(1, Call::Put(7), Outcome::write(None, Ack::Durable, true), (1, 2));
        assert_eq!(gone(&story), 1);
        let late = Story::new();
        late.unknown(1, Call::Put(7), (1, 2));
        assert_eq!(gone(&late), 0);
    }

    #[test]
    fn a_bounded_read_may_see_the_value_for_as_long_as_its_bound() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.delete(1, 2, (3, 10));
        story.get_as(2, Some(7), v(1), Freshness::Unverified, (100, 101));
        story.get_as(2, Some(7), v(1), Freshness::Bounded(20), (30, 31));
        story.get(2, Some(7), v(1), (9, 31));
        assert_eq!(story.alarms(deletions::check), 0);
        story.get_as(2, Some(7), v(1), Freshness::Bounded(20), (31, 32));
        assert_eq!(story.alarms(deletions::check), 1);
    }
}

mod session {
    use super::*;

    #[test]
    fn each_session_has_its_own_view() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.put(1, 8, 2, (3, 4));
        story.get(2, Some(8), v(2), (5, 6));
        story.get_as(3, Some(7), v(1), Freshness::Bounded(99), (7, 8));
        story.get_as(3, Some(8), v(2), Freshness::Bounded(99), (9, 10));
        assert_eq!(story.alarms(sessions::check), 0);
    }

    #[test]
    fn going_back_behind_a_read_is_refused() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.put(1, 8, 2, (3, 4));
        story.get_as(2, Some(8), v(2), Freshness::Unverified, (5, 6));
        story.get_as(2, Some(7), v(1), Freshness::Unverified, (7, 8));
        story.get_as(2, Some(8), v(2), Freshness::Bounded(99), (9, 10));
        assert_eq!(story.alarms(sessions::check), 0, "unverified answers say that they may be old");
        story.get_as(2, Some(7), v(1), Freshness::Bounded(99), (11, 12));
        assert_eq!(story.alarms(sessions::check), 1);
    }

    #[test]
    fn a_session_reads_its_own_writes() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.put(2, 8, 2, (3, 4));
        story.get_as(2, Some(7), v(1), Freshness::Bounded(99), (5, 6));
        assert_eq!(story.alarms(sessions::check), 1);
        story.get_as(2, None, None, Freshness::Bounded(99), (7, 8));
        assert_eq!(story.alarms(sessions::check), 2);
    }

    #[test]
    fn calls_that_overlap_in_a_session_bind_each_other_not() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.put(2, 8, 2, (3, 10));
        story.get_as(2, Some(7), v(1), Freshness::Bounded(99), (5, 12));
        assert_eq!(story.alarms(sessions::check), 0);
    }

    #[test]
    fn an_absence_is_not_taken_for_a_later_delete() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.delete(1, 2, (3, 4));
        story.delete(1, 4, (5, 50));
        story.get(2, None, None, (6, 7));
        story.put(3, 8, 3, (8, 9));
        story.get(2, Some(8), v(3), (10, 11));
        assert_eq!(story.alarms(sessions::check), 0);
    }

    #[test]
    fn reading_nothing_after_the_own_delete_is_no_step_back() {
        let story = Story::new();
        story.put(1, 7, 1, (1, 2));
        story.delete(1, 2, (3, 4));
        story.get(1, None, None, (5, 6));
        story.put(2, 8, 3, (7, 8));
        story.get(1, Some(8), v(3), (9, 10));
        assert_eq!(story.alarms(sessions::check), 0);
    }
}

mod version {
    use super::*;

    #[test]
    fn versions_that_repeat_fall_or_name_two_states_are_refused() {
        let good = Story::new();
        good.put(1, 7, 1, (1, 2));
        good.put(1, 8, 3, (3, 9));
        good.put(2, 9, 2, (4, 8));
        good.get(3, Some(8), v(3), (10, 11));
        assert_eq!(good.alarms(versions::check), 0);

        let falling = Story::new();
        falling.put(1, 7, 2, (1, 2));
        falling.put(1, 8, 1, (3, 4));
        assert_eq!(falling.alarms(versions::check), 1);

        let two_deletes = Story::new();
        two_deletes.delete(1, 1, (1, 9));
        two_deletes.delete(2, 1, (2, 8));
        assert_eq!(two_deletes.alarms(versions::check), 1);

        let two_states = Story::new();
        two_states.put(1, 7, 1, (1, 9));
        two_states.put(2, 8, 2, (1, 9));
        two_states.get(3, Some(7), v(2), (10, 11));
        assert_eq!(two_states.alarms(versions::check), 1);
    }
}

mod label {
    use super::*;

    #[test]
    fn a_durable_write_within_an_outage_is_refused() {
        let story = Story::new();
        story.0.record_unreachable(1, 10, 20);
        story.put(1, 6, 1, (5, 15));
        story.put(1, 7, 2, (15, 25));
        story.put(2, 8, 3, (12, 18));
        story.ok(1, Call::Put(9), Outcome::write(None, Ack::Journaled, true), (12, 18));
        assert_eq!(story.alarms(labels::check), 0);
        story.put(1, 10, 4, (12, 18));
        assert_eq!(story.alarms(labels::check), 1);
    }

    #[test]
    fn a_label_that_its_source_cannot_give_is_refused() {
        use Freshness::{Bounded, Linearizable, Pending, Unverified};
        let (leased, unleased) = (Source::Cache { leased: true }, Source::Cache { leased: false });
        let cases = [
            (Linearizable, Source::Record, 0),
            (Linearizable, leased, 0),
            (Linearizable, unleased, 1),
            (Linearizable, Source::Memory, 1),
            (Linearizable, Source::Journal, 1),
            (Bounded(5), unleased, 0),
            (Bounded(5), Source::Memory, 0),
            (Bounded(5), Source::Journal, 1),
            (Unverified, unleased, 0),
            (Pending, Source::Journal, 0),
        ];
        for (freshness, source, alarms) in cases {
            let story = Story::new();
            story.ok(1, Call::Get, Outcome::read(None, None, freshness, source), (1, 2));
            assert_eq!(story.alarms(labels::check), alarms, "{freshness:?} from {source:?}");
        }
    }
}

mod converged {
    use super::*;

    #[test]
    fn a_copy_that_differs_from_the_record_is_refused() {
        let story = Story::new();
        story.last(Some(7), v(2));
        story.0.final_copy("redis", "k", v(2));
        story.0.final_copy("memory", "k", None);
        assert_eq!(story.alarms(convergence::check), 0);
        story.0.final_copy("memory", "k", v(1));
        assert_eq!(story.alarms(convergence::check), 1);
        story.0.final_record("gone", None, None, 9);
        story.0.final_copy("redis", "gone", v(1));
        assert_eq!(story.alarms(convergence::check), 2);
    }
}

mod recorded {
    use super::*;

    #[test]
    fn a_full_history_refuses_the_call_and_is_no_proof() {
        let history = History::bounded(1);
        history.invoke(1, 1, "k", Call::Get, 1).unwrap();
        assert!(history.invoke(1, 1, "k", Call::Get, 2).is_err());
        assert_eq!(recording::check(&history.trace()).violations_seen, 1);
    }

    #[test]
    fn wrong_use_of_the_recorder_is_reported() {
        let story = Story::new();
        let get = story.get(1, None, None, (1, 2));
        assert_eq!(story.alarms(recording::check), 0);
        story.0.unknown(get, 3);
        story.0.fail(crate::history::OpId(99), 4);
        let put = Outcome::write(None, Ack::Durable, true);
        story.ok(1, Call::Get, put, (5, 6));
        story.ok(1, Call::Increment { by: 1 }, put, (7, 8));
        story.put(1, 7, 1, (12, 11));
        // Five, and the put makes the counter one that cannot be judged.
        assert_eq!(story.alarms(recording::check), 6);
    }

    #[test]
    fn what_would_blind_other_checkers_is_reported() {
        let twice = Story::new();
        twice.put(1, 7, 1, (1, 2));
        twice.put(1, 7, 2, (3, 4));
        assert_eq!(twice.alarms(recording::check), 1);

        let mixed = Story::new();
        mixed.add(1, 1, 1, (1, 2));
        mixed.put(1, 7, 2, (3, 4));
        assert_eq!(mixed.alarms(recording::check), 1);

        let unseen = Story::new();
        unseen.put(1, 7, 1, (1, 2));
        unseen.0.final_record("other", None, None, 9);
        unseen.0.final_copy("redis", "third", None);
        assert_eq!(unseen.alarms(recording::check), 2);

        let blurred = Story::new();
        blurred.put(1, 7, 1, (1, 2));
        blurred.last(Some(7), None);
        assert_eq!(blurred.alarms(recording::check), 1);
    }
}
