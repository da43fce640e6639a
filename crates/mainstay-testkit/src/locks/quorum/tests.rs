use super::super::checks::{STEPS_MAX, holds, is_harmless, is_told};
use super::*;

#[test]
fn it_holds_in_every_state_of_the_small_form() {
    for scenario in small() {
        let found = explore(&scenario, None, Search::Everything, STEPS_MAX, |_| ());
        holds(&found, scenario.name);
    }
}

#[test]
fn every_rule_left_out_is_told_as_a_story() {
    for weakening in Weakening::ALL {
        let scenario = catching(weakening);
        let found = explore(&scenario, Some(weakening), Search::ForAWrongAnswer, STEPS_MAX, |_| ());
        is_told(&found, weakening);
    }
}

#[test]
fn a_scenario_that_catches_a_weakening_is_harmless_with_the_rule() {
    let mut seen = Vec::new();
    for weakening in Weakening::ALL {
        let scenario = catching(weakening);
        if seen.contains(&scenario) {
            continue;
        }
        let found = explore(&scenario, None, Search::Everything, STEPS_MAX, |_| ());
        is_harmless(&found, weakening);
        seen.push(scenario);
    }
}

#[test]
fn tokens_do_not_rest_on_what_keeps_holders_apart() {
    for (spare, scenario) in Weakening::SPARE
        .iter()
        .flat_map(|spare| small().into_iter().map(move |scenario| (spare, scenario)))
    {
        let found = explore(&scenario, Some(*spare), Search::Everything, STEPS_MAX, |_| ());
        assert_eq!(found.broken, None, "{spare:?}:\n{}", found.story.join("\n"));
        assert!(!found.ended_early, "{spare:?}: {} is not small", scenario.name);
    }
}

#[test]
fn a_story_is_told_in_words() {
    let weakening = Weakening::CountersTakenTooSoon;
    let found =
        explore(&catching(weakening), Some(weakening), Search::ForAWrongAnswer, STEPS_MAX, |_| ());
    let opening = "Three backends; the lock is free, every counter is 0.";
    assert_eq!(found.story.first().unwrap(), opening);
    let at = |end: &str| found.story.iter().position(|line| line.contains(end)).unwrap();
    assert!(at("is told the counter of") < at("has sat out the longest lease."));
    assert_eq!(found.broken, Some(UNIQUE));
}
