use super::*;

/// More than any of the small scenarios takes.
const STEPS_MAX: usize = 4_000_000;

#[test]
fn the_protocol_holds_in_every_state_of_the_small_form() {
    for scenario in small() {
        let found = explore(&scenario, None, Search::Everything, STEPS_MAX, |_| ());
        let story = found.story.join("\n");
        assert_eq!(found.broken, None, "{}:\n{story}", scenario.name);
        assert!(!found.ended_early, "{} is not small", scenario.name);
        assert!(found.states > 500, "{}: {} states are no test", scenario.name, found.states);
    }
}

#[test]
fn every_rule_left_out_gives_a_wrong_answer() {
    for weakening in Weakening::ALL {
        let scenario = catching(weakening);
        let found = explore(&scenario, Some(weakening), Search::ForAWrongAnswer, STEPS_MAX, |_| ());
        assert_eq!(found.broken, Some(ANSWERS), "{weakening:?} is not caught");
        let last = found.story.last().map(String::as_str).unwrap_or_default();
        assert!(last.starts_with("WRONG: "), "{weakening:?}: {last}");
    }
}

#[test]
fn a_scenario_that_catches_a_weakening_is_harmless_with_the_rule() {
    // A wrong answer must come from the missing rule, not from the scenario. The larger ones are in the full form.
    for weakening in Weakening::ALL {
        let found = explore(&catching(weakening), None, Search::Everything, 30_000, |_| ());
        assert_eq!(found.broken, None, "{weakening:?}:\n{}", found.story.join("\n"));
    }
}

#[test]
fn a_story_is_told_in_words() {
    let weakening = Weakening::NoMark;
    let found =
        explore(&catching(weakening), Some(weakening), Search::ForAWrongAnswer, 9_999, |_| ());
    assert_eq!(found.story.first().unwrap(), "The record holds v1; Redis holds v1.");
    assert!(found.story.contains(&"Writer 0 commits v2.".to_owned()), "{:#?}", found.story);
    let end = "WRONG: the read returned change 1, though change 2 was known before it began.";
    assert_eq!(found.story.last().unwrap(), end);
}

#[test]
fn the_right_beacon_accuses_nobody_falsely_and_the_wrong_ones_do() {
    use BeaconRule::{OldNumberAnswered, RecordRaisedFirst, RedisAskedFirst, Right};
    assert_eq!(false_accusation(Right), None);
    for rule in [RecordRaisedFirst, RedisAskedFirst, OldNumberAnswered] {
        assert!(false_accusation(rule).is_some(), "{rule:?}");
    }
}

#[test]
fn a_beacon_alone_does_not_see_every_rollback() {
    assert!(unseen_rollback().is_some());
}
