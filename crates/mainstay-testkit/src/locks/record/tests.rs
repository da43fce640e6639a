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
