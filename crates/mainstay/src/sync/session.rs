//! What one session has seen: no read of it goes back behind that, and it reads its own writes.
//! It must not know who reads; time is an argument.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::Instant,
    entry::{Key, Version},
};

/// Keys that a session remembers at most. Beyond that it remembers only when it saw them: until a look at the record has
/// been taken since, it reads from the record.
const KEYS_MAX: usize = 1024;

/// Places for what copies showed lately, taken up at the first one.
const SHOWN: usize = 128;

/// A floor is remembered for so many leases: then every lease that could show something older has long ended, also where
/// the cache was found to have lost writes in between.
const LEASES: u32 = 10;

/// One session: monotonic reads, and reads of its own writes, over every process-local path. Cheap to clone; clones are the
/// same session. A bounded route needs it, a strict one holds by itself.
///
/// Copies of one cache never go back while its lease lasts, and what a process keeps of its own never goes back behind
/// what it has read there; so only what came straight from the record needs a floor. A server that loses writes behind a
/// connection that stands is noticed with the next look; until then the keys that the session was shown last do not go
/// back either.
#[derive(Clone, Debug, Default)]
pub struct Session(Arc<Mutex<Floors>>);

#[derive(Debug, Default)]
struct Floors {
    keys: BTreeMap<Key, (Version, Instant)>,
    /// What the session saw before this moment is not remembered one by one.
    forgot: Option<Instant>,
    /// When it is worth looking again for floors that have served their time.
    tidy_at: Option<Instant>,
    /// What was shown last, each key in one place by its hash; a later one takes the place of another.
    shown: Vec<Option<(u64, Version)>>,
}

impl Session {
    /// A session that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a copy of this version may be shown to the session. `known`: whatever was written before this moment is
    /// known to whoever shows it.
    pub(crate) fn allows(&self, key: &Key, version: Version, known: Option<Instant>) -> bool {
        let floors = self.lock();
        if floors.forgot.is_some_and(|forgot| known.is_none_or(|known| known <= forgot)) {
            return false;
        }
        let hash = key.stable_hash();
        let shown = floors.shown.get(place(hash)).copied().flatten();
        shown.is_none_or(|(of, floor)| of != hash || version >= floor)
            && floors.keys.get(key).is_none_or(|(floor, _)| version >= *floor)
    }

    /// The session was shown this version, wherever it came from.
    pub(crate) fn shown(&self, key: &Key, version: Version) {
        let mut floors = self.lock();
        if floors.shown.is_empty() {
            floors.shown.resize(SHOWN, None);
        }
        let hash = key.stable_hash();
        floors.shown[place(hash)] = Some((hash, version));
    }

    /// The session has seen this version in the record.
    pub(crate) fn saw(&self, key: &Key, version: Version, lease: Duration, now: Instant) {
        let mut floors = self.lock();
        if !floors.note(key, version, lease, now) {
            floors.keys.clear();
            floors.forgot = Some(now);
        }
    }

    /// The session has written this version. Marks and dirty keys make it read its own writes; this is a second line, kept
    /// while there is room.
    pub(crate) fn wrote(&self, key: &Key, version: Version, lease: Duration, now: Instant) {
        self.lock().note(key, version, lease, now);
    }

    fn lock(&self) -> MutexGuard<'_, Floors> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Floors {
    /// False: there is no room.
    fn note(&mut self, key: &Key, version: Version, lease: Duration, now: Instant) -> bool {
        let until = now + lease * LEASES;
        if let Some(floor) = self.keys.get_mut(key) {
            if version >= floor.0 {
                *floor = (version, until);
            }
            return true;
        }
        if self.keys.len() >= KEYS_MAX && self.tidy_at.is_none_or(|at| now >= at) {
            self.keys.retain(|_, (_, until)| *until > now);
            self.tidy_at = Some(now + lease);
        }
        let room = self.keys.len() < KEYS_MAX;
        if room {
            self.keys.insert(key.kept(), (version, until));
        }
        room
    }
}

fn place(hash: u64) -> usize {
    usize::try_from((hash ^ (hash >> 32)) % SHOWN as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const T: Duration = Duration::from_secs(2);

    fn v(counter: u64) -> Version {
        Version { epoch: 1, counter }
    }

    fn full(now: Instant) -> Session {
        let session = Session::new();
        (0..KEYS_MAX).for_each(|n| session.saw(&Key::from(n.to_string()), v(1), T, now));
        session
    }

    #[test]
    fn a_session_never_goes_back() {
        let (session, now) = (Session::new(), Clock::system().now());
        let key = Key::from("k");
        assert!(session.allows(&key, v(1), Some(now)));
        session.saw(&key, v(3), T, now);
        session.saw(&key, v(2), T, now);
        assert!(!session.allows(&key, v(2), Some(now)) && session.allows(&key, v(3), Some(now)));
        assert!(session.allows(&Key::from("other"), v(1), None));
    }

    #[test]
    fn a_session_keeps_no_buffer_alive_that_a_key_came_in() {
        let (session, now) = (Session::new(), Clock::system().now());
        let buffer = bytes::Bytes::from(vec![b'k'; 4096]);
        for length in 1..=2 {
            session.saw(&Key::new(buffer.slice(..length)), v(1), T, now);
            session.wrote(&Key::new(buffer.slice(..length + 2)), v(1), T, now);
        }
        assert_eq!(session.lock().keys.len(), 4);
        assert!(buffer.is_unique());
    }

    #[test]
    fn a_session_that_has_seen_too_much_reads_from_the_record_until_the_next_look() {
        let now = Clock::system().now();
        let session = full(now);
        session.saw(&Key::from("one more"), v(1), T, now);
        for known in [None, Some(now - T), Some(now)] {
            assert!(!session.allows(&Key::from("any"), v(9), known));
        }
        assert!(session.allows(&Key::from("any"), v(9), Some(now + T / 100)));
    }

    #[test]
    fn own_writes_never_crowd_out_what_was_read() {
        let now = Clock::system().now();
        let session = full(now);
        session.wrote(&Key::from("mine"), v(9), T, now);
        assert!(session.allows(&Key::from("any"), v(1), None), "nothing was forgotten");
        assert!(!session.allows(&Key::from("7"), v(0), Some(now + T)));
        let later = now + T * LEASES;
        session.wrote(&Key::from("mine"), v(9), T, later);
        assert!(!session.allows(&Key::from("mine"), v(8), Some(later)), "there is room again");
    }

    #[test]
    fn what_was_shown_last_does_not_go_back_and_the_record_corrects_it() {
        let (session, key) = (Session::new(), Key::from("k"));
        session.shown(&key, v(5));
        assert!(!session.allows(&key, v(4), None) && session.allows(&key, v(5), None));
        assert!(session.allows(&Key::from("other"), v(1), None));
        session.shown(&key, v(3));
        assert!(session.allows(&key, v(3), None), "the record has the last word");
    }
}
