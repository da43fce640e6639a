//! The store alone: seats, the bound, expiry, what is hot.

use super::*;
use crate::{clock::Clock, entry::Record};

const S: Duration = Duration::from_secs(1);

fn l1(max: u64) -> Arc<L1> {
    Arc::new(L1::new(max, 60 * S, &Entropy::seeded(1), true))
}

fn record(value: &str, counter: u64) -> Record {
    let version = Some(Version { epoch: 1, counter });
    Record { value: value.to_owned().into(), version, ttl: None }
}

struct Desk {
    l1: Arc<L1>,
    era: Arc<Era>,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        let l1 = l1(1 << 20);
        let era = l1.open(1);
        Self { l1, era, now: Clock::system().now() }
    }

    fn seat(&self, key: &str) -> Option<Seat> {
        self.l1.seat(&key.into(), &self.era, self.now)
    }

    fn keep(&self, seat: Seat, record: &Record) {
        seat.keep(Kept::new(record, S, self.now), 60 * S, None, self.now);
    }

    fn value(&self, key: &str) -> Option<String> {
        let kept = self.l1.get(&Key::from(key), &self.era, self.now)?;
        self.l1.count(Some(&kept));
        Some(String::from_utf8(kept.record(self.now).value.to_vec()).unwrap())
    }
}

#[test]
fn what_is_kept_is_found_and_what_is_told_of_is_not() {
    let desk = Desk::new();
    desk.keep(desk.seat("k").unwrap(), &record("v", 1));
    assert_eq!(desk.value("k").as_deref(), Some("v"));
    let kept = desk.l1.get(&Key::from("k"), &desk.era, desk.now).unwrap();
    assert_eq!(kept.age(desk.now + S), 2 * S);
    desk.l1.forget(&"k".into());
    assert_eq!(desk.value("k"), None);
}

#[test]
fn other_bounds_hold_at_once() {
    let desk = Desk::new();
    let long = "v".repeat(4096);
    for key in 0..200 {
        let key = format!("k{key}");
        desk.keep(desk.seat(&key).unwrap(), &record(&long, 1));
    }
    let before = desk.l1.status().bytes;
    assert!(before > 512 << 10, "{before}");
    desk.l1.set_bounds(256 << 10, 2 * S);
    let status = desk.l1.status();
    assert!(status.bytes <= 256 << 10, "{status:?}");
    assert_eq!(status.max, 256 << 10);
    // Too long for the smaller bound, and a shorter life for what still fits.
    desk.keep(desk.seat("long").unwrap(), &record(&"v".repeat(5000), 2));
    desk.keep(desk.seat("short").unwrap(), &record("v", 2));
    assert_eq!((desk.value("long"), desk.value("short").as_deref()), (None, Some("v")));
    let later = desk.now + 3 * S;
    assert!(desk.l1.get(&Key::from("short"), &desk.era, later).is_none());
}

#[test]
fn news_between_asking_and_keeping_take_the_right_away() {
    let desk = Desk::new();
    let seat = desk.seat("k").unwrap();
    desk.l1.forget(&"k".into());
    // Another reader begins after the news: its seat is not the first one's.
    let other = desk.seat("k").unwrap();
    desk.keep(seat, &record("old", 1));
    assert_eq!(desk.value("k"), None);
    desk.keep(other, &record("new", 2));
    assert_eq!(desk.value("k").as_deref(), Some("new"));
}

#[test]
fn one_reader_has_the_seat_and_gives_it_back() {
    let desk = Desk::new();
    let seat = desk.seat("k").unwrap();
    assert!(desk.seat("k").is_none());
    drop(seat);
    assert!(desk.seat("k").is_some());
}

#[test]
fn nothing_is_kept_over_a_gap() {
    let desk = Desk::new();
    desk.keep(desk.seat("k").unwrap(), &record("v", 1));
    let seat = desk.seat("other").unwrap();
    desk.l1.close("a gap".to_owned());
    desk.keep(seat, &record("v", 1));
    let again = Desk { era: desk.l1.open(1), ..desk };
    assert_eq!((again.value("k"), again.value("other")), (None, None));
    assert_eq!(again.l1.status().entries, 0);
}

#[test]
fn own_writes_leave_nothing_of_before_and_of_meanwhile() {
    let desk = Desk::new();
    desk.keep(desk.seat("k").unwrap(), &record("old", 1));
    let keys = ["k".into()];
    let writing = desk.l1.writing(&keys);
    assert_eq!(desk.value("k"), None);
    let seat = desk.seat("k").unwrap();
    drop(writing);
    desk.keep(seat, &record("old", 1));
    assert_eq!(desk.value("k"), None);
}

#[test]
fn nothing_older_than_what_was_read_elsewhere_is_served() {
    let desk = Desk::new();
    let version = |counter| Version { epoch: 1, counter };
    desk.keep(desk.seat("k").unwrap(), &record("1", 1));
    desk.l1.witness(&"k".into(), version(1));
    assert_eq!(desk.value("k").as_deref(), Some("1"));
    desk.l1.witness(&"k".into(), version(2));
    assert_eq!(desk.value("k"), None);
    let slow = desk.seat("k").unwrap();
    desk.l1.witness(&"k".into(), version(3));
    desk.keep(slow, &record("2", 2));
    assert_eq!(desk.value("k"), None, "somebody has read 3 meanwhile");
}

#[test]
fn a_value_goes_in_time_and_a_cap_counts_from_the_beginning() {
    let desk = Desk::new();
    let seat = desk.seat("k").unwrap();
    let later = desk.now + S;
    seat.keep(Kept::new(&record("v", 1), S, later), 60 * S, Some(3 * S), later);
    let at = |after| desk.l1.get(&Key::from("k"), &desk.era, desk.now + after).is_some();
    assert!(at(2 * S));
    assert!(!at(3 * S));
    assert_eq!(desk.l1.status().entries, 0, "what has expired is let go of");
    desk.seat("k").unwrap().keep(Kept::new(&record("v", 1), S, later), 9 * S, Some(S), later);
    assert!(!at(S), "too late");
}

#[test]
fn the_bound_holds_in_bytes_and_long_values_are_left_out() {
    let desk = Desk::new();
    let value = "v".repeat(1_000);
    for n in 0..5_000 {
        desk.keep(desk.seat(&n.to_string()).unwrap(), &record(&value, 1));
    }
    let status = desk.l1.status();
    assert!(status.bytes <= status.max && status.bytes > status.max / 2, "{status:?}");
    assert!(status.evictions > 3_000, "{status:?}");
    desk.keep(desk.seat("long").unwrap(), &record(&"v".repeat((1 << 20) / 64), 1));
    assert_eq!(desk.value("long"), None);
}

#[test]
fn the_hottest_keys_survive_a_gap() {
    let desk = Desk::new();
    for (key, hits) in [("a", 1), ("b", 3), ("c", 0)] {
        desk.keep(desk.seat(key).unwrap(), &record("v", 1));
        (0..hits).for_each(|_| assert!(desk.value(key).is_some()));
    }
    desk.l1.close("a gap".to_owned());
    desk.l1.open(1);
    desk.l1.close("another".to_owned());
    assert_eq!(desk.l1.take_hot(), ["b", "a"].map(Key::from));
    assert!(desk.l1.take_hot().is_empty());
}
