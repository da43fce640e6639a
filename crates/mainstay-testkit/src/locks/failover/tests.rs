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
fn a_story_is_told_in_words() {
    let weakening = Weakening::NoWaitAtHandover;
    let found =
        explore(&catching(weakening), Some(weakening), Search::ForAWrongAnswer, 99_999, |_| ());
    let opening = "Redis grants, epoch 0; a lease lasts 2 ticks, a look at the authority 1.";
    assert_eq!(found.story.first().unwrap(), opening);
    let moved = "The authority moves: epoch 1, the record grants.".to_owned();
    assert!(found.story.contains(&moved), "{:#?}", found.story);
    assert_eq!(found.broken, Some(ONE_HOLDER));
}
