//! Which keys were read most of late: they are worth filling first into a cache that has been begun anew.
//! It must not know their values.

use crate::entry::Key;

/// Keys that are remembered at most.
pub(crate) const HOT_MAX: usize = 1_000;

/// The hottest of `heard` (with their hits), and behind them what was remembered before; each once, at most `HOT_MAX`.
pub(super) fn merged(mut heard: Vec<(u32, Key)>, before: Vec<Key>) -> Vec<Key> {
    // By key where the hits are the same, so that a run repeats.
    let hottest_first = |a: &(u32, Key), b: &(u32, Key)| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1));
    if heard.len() > HOT_MAX {
        heard.select_nth_unstable_by(HOT_MAX, hottest_first);
        heard.truncate(HOT_MAX);
    }
    heard.sort_unstable_by(hottest_first);
    let mut seen = std::collections::BTreeSet::new();
    let all = heard.into_iter().map(|(_, key)| key).chain(before);
    all.filter(|key| seen.insert(key.clone())).take(HOT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_come_first_and_the_old_ones_last() {
        let heard = vec![(1, "a".into()), (9, "b".into()), (1, "c".into())];
        let before: Vec<Key> = vec!["d".into(), "a".into()];
        assert_eq!(merged(heard, before), ["b", "a", "c", "d"].map(Key::from));
    }

    #[test]
    fn they_are_bounded() {
        let heard = (0..5_000).map(|n| (n, Key::from(n.to_string()))).collect();
        let hot = merged(heard, vec!["old".into()]);
        assert_eq!((hot.len(), &hot[0]), (HOT_MAX, &Key::from("4999")));
        assert!(!hot.contains(&"old".into()));
    }
}
