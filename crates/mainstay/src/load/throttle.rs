//! Keys whose load has failed lately: while a stale value can be served, it is not tried again so soon.
//! It must not know whether there is one; time is an argument.

use std::{collections::BTreeMap, time::Duration};

use crate::{clock::Instant, entry::Key};

/// Keys that are remembered at most; one more takes the place of one that ends soonest.
const KEYS_MAX: usize = 10_000;

/// Keys and until when.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    until: BTreeMap<Key, Instant>,
}

impl Throttle {
    /// Whether the key was noted, and its time is not over.
    pub(super) fn holds(&self, key: &Key, now: Instant) -> bool {
        self.until.get(key).is_some_and(|until| now < *until)
    }

    /// A load has failed.
    pub(super) fn note(&mut self, key: &Key, now: Instant, pause: Duration) {
        if self.until.len() >= KEYS_MAX {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() >= KEYS_MAX {
            let soonest = self.until.iter().min_by_key(|(_, until)| **until);
            if let Some(key) = soonest.map(|(key, _)| key.clone()) {
                self.until.remove(&key);
            }
        }
        self.until.insert(key.kept(), now + pause);
    }

    /// A load has succeeded.
    pub(super) fn clear(&mut self, key: &Key) {
        if !self.until.is_empty() {
            self.until.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;

    #[test]
    fn it_holds_for_its_time_and_never_more_keys_than_its_bound() {
        let (mut throttle, start) = (Throttle::default(), Clock::system().now());
        let (s, key) = (Duration::from_secs(1), |n: usize| Key::from(n.to_string()));
        throttle.note(&key(0), start, 30 * s);
        assert!(
            throttle.holds(&key(0), start + 29 * s) && !throttle.holds(&key(0), start + 30 * s)
        );
        throttle.clear(&key(0));
        assert!(!throttle.holds(&key(0), start));
        for n in 0..KEYS_MAX + 10 {
            let extra = Duration::from_millis(u64::try_from(n).unwrap());
            throttle.note(&key(n), start, s + extra);
        }
        assert_eq!(throttle.until.len(), KEYS_MAX);
        assert!(!throttle.holds(&key(0), start) && throttle.holds(&key(KEYS_MAX + 9), start));
        throttle.note(&key(0), start + 60 * s, s);
        assert_eq!(throttle.until.len(), 1, "those that have ended go first");
    }
}
