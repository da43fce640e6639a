//! What one session has seen: no read of it goes back behind that, and it reads its own writes.
//! It must not know who reads; time is an argument.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::Instant,
    entry::{Key, Version},
};

/// Keys that a session remembers at most; beyond that it reads from the record until some can be forgotten.
const KEYS_MAX: usize = 1024;

/// A floor is remembered for so many leases: then every lease that could show something older has long ended, also where
/// the cache was found to have lost writes in between.
const LEASES: u32 = 10;

/// One session: monotonic reads, and reads of its own writes, over every process-local path. Cheap to clone; clones are the
/// same session. A bounded route needs it, a strict one holds by itself.
#[derive(Clone, Debug, Default)]
pub struct Session(Arc<Mutex<Floors>>);

#[derive(Debug, Default)]
struct Floors {
    keys: BTreeMap<Key, (Version, Instant)>,
    /// While this lasts, what the session has seen of some keys is not remembered.
    overflowed_until: Option<Instant>,
}

impl Session {
    /// A session that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a copy of this version may be shown to the session.
    pub(crate) fn allows(&self, key: &Key, version: Version, now: Instant) -> bool {
        let floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if floors.overflowed_until.is_some_and(|until| now < until) {
            return false;
        }
        floors.keys.get(key).is_none_or(|(floor, _)| version >= *floor)
    }

    /// The session has seen, or written, this version.
    pub(crate) fn saw(&self, key: &Key, version: Version, lease: Duration, now: Instant) {
        let mut floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = now + lease * LEASES;
        if floors.keys.len() >= KEYS_MAX && !floors.keys.contains_key(key) {
            floors.keys.retain(|_, (_, until)| *until > now);
            if floors.keys.len() >= KEYS_MAX {
                floors.overflowed_until = Some(until);
                return;
            }
        }
        let floor = floors.keys.entry(key.clone()).or_insert((version, until));
        if version >= floor.0 {
            *floor = (version, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const T: Duration = Duration::from_secs(2);

    fn v(counter: u64) -> Version {
        Version { epoch: 1, counter }
    }

    #[test]
    fn a_session_never_goes_back() {
        let (session, now) = (Session::new(), Clock::system().now());
        let key = Key::from("k");
        assert!(session.allows(&key, v(1), now));
        session.saw(&key, v(3), T, now);
        session.saw(&key, v(2), T, now);
        assert!(!session.allows(&key, v(2), now) && session.allows(&key, v(3), now));
        assert!(session.allows(&Key::from("other"), v(1), now));
    }

    #[test]
    fn a_session_that_has_seen_too_much_reads_from_the_record_for_a_while() {
        let (session, now) = (Session::new(), Clock::system().now());
        for n in 0..=KEYS_MAX {
            session.saw(&Key::from(n.to_string()), v(1), T, now);
        }
        assert!(!session.allows(&Key::from("any"), v(9), now));
        let later = now + T * LEASES;
        session.saw(&Key::from("new"), v(1), T, later);
        assert!(session.allows(&Key::from("any"), v(9), later));
    }
}
