//! What the tests of every lock model look at in an exploration.
//! It must not know which model was explored.

use std::fmt::Debug;

use crate::exploration::Exploration;

/// More than any of the small scenarios takes.
pub(super) const STEPS_MAX: usize = 4_000_000;

/// Every state of a small scenario was visited, and all is well in each.
pub(super) fn holds(found: &Exploration, name: &str) {
    let story = found.story.join("\n");
    assert_eq!(found.broken, None, "{name}:\n{story}");
    assert!(!found.ended_early, "{name} is not small");
    assert!(found.states > 500, "{name}: {} states are no test", found.states);
}

/// The missing rule was noticed, and its story ends with what is wrong.
pub(super) fn is_told(found: &Exploration, weakening: impl Debug) {
    assert!(found.broken.is_some(), "{weakening:?} is not caught");
    let last = found.story.last().map(String::as_str).unwrap_or_default();
    assert!(last.starts_with("WRONG: "), "{weakening:?}: {last}");
}

/// What catches a weakening is harmless with the rule.
pub(super) fn is_harmless(found: &Exploration, weakening: impl Debug) {
    assert_eq!(found.broken, None, "{weakening:?}:\n{}", found.story.join("\n"));
    assert!(!found.ended_early, "{weakening:?}: its scenario is not small");
}
