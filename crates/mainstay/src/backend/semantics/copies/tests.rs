//! One entry: overlapping writers, tokens, drains, expiry.

use super::*;

const LIFE: Duration = Duration::from_secs(5);

/// One key of a cache.
#[derive(Default)]
struct Key {
    held: Option<(Bytes, i64)>,
    now: i64,
}

impl Key {
    fn current(&self) -> Option<Bytes> {
        self.held.as_ref().filter(|(_, ends_at)| *ends_at > self.now).map(|(held, _)| held.clone())
    }

    fn become_next(&mut self, next: Next) {
        match next {
            Next::Keep => {}
            Next::Remove => self.held = None,
            Next::Put(bytes, ends_at) => self.held = Some((bytes, ends_at)),
        }
    }

    fn mark(&mut self, nonce: u128) {
        let ends_at = self.held.as_ref().map_or(0, |(_, ends_at)| *ends_at);
        let next = mark(self.current(), ends_at, nonce, LIFE, self.now);
        self.become_next(next);
    }

    fn unmark(&mut self, nonce: u128, clean: bool) {
        let next = unmark(self.current(), nonce, clean, self.now);
        self.become_next(next);
    }

    fn publish(&mut self, nonce: u128, counter: u64) -> bool {
        let (next, stood) = publish(self.current(), nonce, &copy(counter), self.now);
        self.become_next(next);
        stood
    }

    fn token(&mut self, name: u128) -> bool {
        let (next, granted) = token(self.current(), name, LIFE, self.now);
        self.become_next(next);
        granted
    }

    fn fill(&mut self, name: u128, counter: u64) -> bool {
        let (next, put) = fill(self.current(), name, &copy(counter), self.now);
        self.become_next(next);
        put
    }

    fn drain(&mut self) {
        let next = drain(self.current(), self.now);
        self.become_next(next);
    }

    /// `V` and its counter, or the other kinds.
    fn shows(&self) -> String {
        match self.current().map(read) {
            None => "-".into(),
            Some(Seen::Value { version, value, .. }) => {
                assert_eq!(value, Bytes::from(version.counter.to_string()));
                format!("V{}", version.counter)
            }
            Some(Seen::Marked) => "M".into(),
            Some(Seen::Filling(_)) => "L".into(),
            Some(Seen::Unreadable) => "?".into(),
        }
    }
}

fn copy(counter: u64) -> CopyValue {
    CopyValue {
        value: Bytes::from(counter.to_string()),
        version: Version { epoch: 1, counter },
        life: Duration::from_secs(60),
        ttl: None,
    }
}

#[test]
fn a_write_hides_the_value_until_it_is_published() {
    let mut key = Key::default();
    key.mark(1);
    assert_eq!(key.shows(), "M");
    assert!(!key.token(9), "nobody fills beside a mark");
    assert!(key.publish(1, 5));
    assert_eq!(key.shows(), "V5");
    assert!(!key.publish(1, 5), "repeated");
    assert_eq!(key.shows(), "V5");
}

#[test]
fn of_overlapping_writers_the_newest_value_is_left() {
    for (first, second) in [(5, 6), (6, 5)] {
        let mut key = Key::default();
        key.mark(1);
        key.mark(2);
        key.publish(1, first);
        assert_eq!(key.shows(), "M");
        key.publish(2, second);
        assert_eq!(key.shows(), "V6");
    }
}

#[test]
fn an_expired_mark_taints_those_beside_it() {
    let mut key = Key::default();
    key.mark(1);
    key.now = 3_000;
    key.mark(2);
    key.now = 5_500;
    assert!(key.publish(2, 6));
    assert_eq!(key.shows(), "-", "the first write may have committed a newer value");
    key.mark(3);
    key.now = 20_000;
    assert_eq!(key.shows(), "-");
    assert!(key.token(9));
}

#[test]
fn a_withdrawn_mark_leaves_nothing() {
    let mut key = Key::default();
    key.mark(1);
    key.mark(2);
    key.unmark(1, false);
    key.publish(2, 6);
    assert_eq!(key.shows(), "-");
}

#[test]
fn a_mark_under_which_nothing_was_committed_leaves_what_stood_before() {
    let filled = || {
        let mut key = Key::default();
        key.token(7);
        key.fill(7, 4);
        key.mark(1);
        key
    };
    let mut key = filled();
    key.unmark(1, true);
    assert_eq!(key.shows(), "V4");
    assert_eq!(
        key.held.as_ref().map(|(_, ends_at)| *ends_at),
        Some(60_000),
        "no longer than it had"
    );
    let mut key = filled();
    key.mark(2);
    key.unmark(1, true);
    key.publish(2, 5);
    assert_eq!(key.shows(), "V5");
    let mut key = filled();
    key.mark(2);
    key.unmark(1, true);
    key.unmark(2, false);
    assert_eq!(key.shows(), "-", "the second may have committed");
    let mut key = filled();
    key.drain();
    key.unmark(1, true);
    assert_eq!(key.shows(), "-", "it was written around the cache meanwhile");
}

#[test]
fn a_fill_needs_its_token() {
    let mut key = Key::default();
    assert!(key.token(7) && !key.token(8));
    assert!(!key.fill(8, 4));
    assert!(key.fill(7, 5));
    assert_eq!(key.shows(), "V5");
    assert!(!key.fill(7, 4), "repeated");
    let mut key = Key::default();
    key.token(7);
    key.mark(1);
    assert!(!key.fill(7, 5), "a write has taken the token's place");
    key.publish(1, 6);
    assert_eq!(key.shows(), "V6");
}

#[test]
fn a_drain_removes_values_and_tokens_and_taints_marks() {
    let mut key = Key::default();
    key.token(7);
    key.drain();
    assert!(!key.fill(7, 4));
    key.token(8);
    key.fill(8, 4);
    key.drain();
    assert_eq!(key.shows(), "-");
    key.mark(1);
    key.drain();
    key.publish(1, 5);
    assert_eq!(key.shows(), "-");
}

#[test]
fn a_publish_whose_mark_was_evicted_leaves_nothing_older() {
    let mut key = Key::default();
    key.token(7);
    key.fill(7, 4);
    assert!(!key.publish(1, 5));
    assert_eq!(key.shows(), "-");
    key.mark(2);
    assert!(!key.publish(1, 7));
    key.publish(2, 6);
    assert_eq!(key.shows(), "-", "version 7 was committed");
}

#[test]
fn times_count_from_the_mark_and_from_the_token() {
    let dated = CopyValue { ttl: Some(Duration::from_secs(9)), ..copy(5) };
    let mut key = Key { now: 1_000, ..Key::default() };
    key.mark(1);
    key.now = 4_000;
    let (next, _) = publish(key.current(), 1, &dated, key.now);
    assert!(matches!(&next, Next::Put(_, 61_000)), "{next:?}");
    key.become_next(next);
    let seen = key.current().map(read).unwrap();
    assert!(
        matches!(seen, Seen::Value { expires_at: Some(10_000), taken_at: 1_000, .. }),
        "{seen:?}"
    );
    let mut key = Key::default();
    key.token(7);
    let short = CopyValue { life: Duration::from_millis(10), ..copy(5) };
    let (next, put) = fill(key.current(), 7, &short, 10);
    assert_eq!((next, put), (Next::Remove, true), "it would have ended already");
}

#[test]
fn what_is_not_an_entry_is_never_a_value() {
    for bytes in [&b""[..], b"V", b"Vshort", b"hello"] {
        assert_eq!(read(Bytes::from_static(bytes)), Seen::Unreadable);
    }
    let garbage = Some(Bytes::from_static(b"M\x01\xff\xff\xff\xff"));
    assert_eq!(drain(garbage, 0), Next::Remove);
}
