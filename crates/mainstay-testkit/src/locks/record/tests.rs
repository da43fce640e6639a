use super::*;

/// More than any of the small scenarios takes.
const STEPS_MAX: usize = 4_000_000;

#[test]
fn it_holds_in_every_state_of_the_small_form() {
    for scenario in small() {
        let found = explore(&scenario, None, Search::Everything, STEPS_MAX, |_| ());
        let story = found.story.join("\n");
        assert_eq!(found.broken, None, "{}:\n{story}", scenario.name);
        assert!(!found.ended_early, "{} is not small", scenario.name);
        assert!(found.states > 500, "{}: {} states are no test", scenario.name, found.states);
    }
}

#[test]
fn every_rule_left_out_is_told_as_a_story() {
    for weakening in Weakening::ALL {
        let scenario = catching(weakening);
        let found = explore(&scenario, Some(weakening), Search::ForAWrongAnswer, STEPS_MAX, |_| ());
        assert!(found.broken.is_some(), "{weakening:?} is not caught");
        let last = found.story.last().map(String::as_str).unwrap_or_default();
        assert!(last.starts_with("WRONG: "), "{weakening:?}: {last}");
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
        assert_eq!(found.broken, None, "{weakening:?}:\n{}", found.story.join("\n"));
        assert!(!found.ended_early, "{weakening:?}: its scenario is not small");
        seen.push(scenario);
    }
}
