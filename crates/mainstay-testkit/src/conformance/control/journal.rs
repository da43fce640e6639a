//! A record with caches before it, journaled writes: applied once, never over another's, dirty everywhere.
//! Knows nothing of how a journal is kept.

use super::super::Check;
use super::super::subject::{Subject, set};
use super::cache::{BOUNDED, Cache, apply, journaled};
use super::race;
use bytes::Bytes;
use mainstay::op::{Base, RecordOp};
use mainstay::reply::Applied;
use mainstay::{Condition, ErrorKind, Key, Op, Outcome, Reply, TtlChange, Version, Written};
use std::collections::BTreeSet;

pub(in super::super) const CHECKS: &[Check] = &[
    Check::new("control journal: a write is applied once", |s| Box::pin(once(s)))
        .when(|c| c.control),
    Check::new("control journal: many at once apply it once", |s| Box::pin(once_of_many(s)))
        .when(|c| c.control),
    Check::new("control journal: never over another's write", |s| Box::pin(conflicts(s)))
        .when(|c| c.control),
    Check::new("control journal: over what was seen", |s| Box::pin(seen(s))).when(|c| c.control),
    Check::new("control journal: over what was not written since the last contact", |s| {
        Box::pin(contact(s))
    })
    .when(|c| c.control),
    Check::new("control journal: over its own writes, deletes too", |s| Box::pin(by_itself(s)))
        .when(|c| c.control),
    Check::new("control journal: many keys, all or nothing", |s| Box::pin(many(s)))
        .when(|c| c.control),
    Check::new("control journal: the caller's errors take no number", |s| Box::pin(errors(s)))
        .when(|c| c.control),
    Check::new("control journal: its keys are dirty in each active cache", |s| Box::pin(dirty(s)))
        .when(|c| c.control),
    Check::new("control journal: its keys are not taken for overflow", |s| Box::pin(overflow(s)))
        .when(|c| c.control),
];

const NOTHING_KNOWN: Base = Base { version: None, known_until_us: None };

fn journal() -> u128 {
    rand::random()
}

/// The same for all tasks of a check: its prefix ends with random digits.
fn shared_journal(s: &Subject) -> u128 {
    let prefix = s.prefix();
    prefix.iter().fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

fn put(key: &Key, value: &'static str) -> Op {
    set(key, value, TtlChange::Clear, Condition::Always)
}

fn delete(key: &Key) -> Op {
    Op::Delete { key: key.clone(), condition: Condition::Always, want_previous: false }
}

fn written(applied: Applied) -> Written {
    match applied {
        Applied::Done(reply) => reply.into_written().expect("a write answers Written"),
        other => unreachable!("{other:?}, where it is to be performed"),
    }
}

/// Somebody else writes; the version.
async fn foreign(cache: &Cache, key: &Key) -> Version {
    let version = cache.written(put(key, "foreign"), BOUNDED).await.version;
    version.expect("a record gives versions")
}

async fn value(s: &Subject, key: &Key) -> Option<Bytes> {
    s.value(key).await
}

async fn once(s: Subject) {
    let (journal, key) = (journal(), s.key("a"));
    let add = Op::Increment { key: key.clone(), by: 1 };
    let first = written(apply(&s, journal, 3, add.clone(), NOTHING_KNOWN).await);
    assert_eq!((first.applied, first.outcome), (true, Outcome::Integer(1)));
    assert_eq!(s.version(&key).await, first.version);
    for seq in [3, 2, 1] {
        assert_eq!(apply(&s, journal, seq, add.clone(), NOTHING_KNOWN).await, Applied::Already);
    }
    let next = written(apply(&s, journal, 4, add.clone(), NOTHING_KNOWN).await);
    assert!(next.version > first.version && next.outcome == Outcome::Integer(2));
    let mut last = next.version;
    for (sum, other) in (3..).zip([journal ^ 1, journal ^ (1 << 127)]) {
        let swap = Base { version: last, known_until_us: None };
        let own = written(apply(&s, other, 1, add.clone(), swap).await);
        assert_eq!(own.outcome, Outcome::Integer(sum), "another journal counts by itself");
        last = own.version;
    }
}

async fn once_of_many(s: Subject) {
    let cache = Cache::active(&s).await;
    let answers = race(&cache, 24, |cache, number| async move {
        let add = Op::Increment { key: cache.s.key("n"), by: 1 };
        let journal = shared_journal(&cache.s);
        let seq = u64::try_from(number % 3).unwrap_or(0) + 1;
        matches!(apply(&cache.s, journal, seq, add, NOTHING_KNOWN).await, Applied::Done(_))
    });
    let done = answers.await.into_iter().filter(|done| *done).count();
    assert!((1..=3).contains(&done), "three numbers, each at most once: {done}");
    let expected = Bytes::from(done.to_string());
    assert_eq!(value(&s, &s.key("n")).await, Some(expected));
}

async fn conflicts(s: Subject) {
    let (cache, journal) = (Cache::active(&s).await, journal());
    let [live, gone] = ["live", "gone"].map(|name| s.key(name));
    let version = foreign(&cache, &live).await;
    foreign(&cache, &gone).await;
    assert!(cache.written(delete(&gone), BOUNDED).await.applied);
    let other = Version { counter: version.counter.wrapping_sub(1), ..version };
    let bases = [
        NOTHING_KNOWN,
        Base { version: Some(other), known_until_us: None },
        Base { version: Some(other), known_until_us: Some(1) },
    ];
    let rows = cache.drained(cache.dirty().await).await;
    assert_eq!(rows, 2);
    for base in bases {
        for key in [&live, &gone] {
            for write in [put(key, "late"), delete(key), Op::Increment { key: key.clone(), by: 1 }]
            {
                let ended = apply(&s, journal, 1, write, base).await;
                assert_eq!(ended, Applied::Conflict(key.clone()), "{base:?}");
            }
        }
    }
    assert_eq!(s.version(&live).await, Some(version));
    assert_eq!(value(&s, &gone).await, None, "a tombstone is somebody's write too");
    assert!(!cache.dirty_keys().await.contains(&live), "nothing was applied");
    let fresh = written(apply(&s, journal, 1, put(&s.key("new"), "v"), NOTHING_KNOWN).await);
    assert!(fresh.applied, "a conflict takes no number");
}

async fn seen(s: Subject) {
    let (cache, journal, key) = (Cache::active(&s).await, journal(), s.key("a"));
    let version = foreign(&cache, &key).await;
    let base = Base { version: Some(version), known_until_us: None };
    assert!(written(apply(&s, journal, 1, put(&key, "mine"), base).await).version > Some(version));
    assert_eq!(value(&s, &key).await.as_deref(), Some(&b"mine"[..]));
    foreign(&cache, &key).await;
    let ended = apply(&s, journal, 2, put(&key, "late"), base).await;
    assert_eq!(ended, Applied::Conflict(key.clone()));
    assert_eq!(value(&s, &key).await.as_deref(), Some(&b"foreign"[..]));
}

async fn contact(s: Subject) {
    let (cache, journal) = (Cache::active(&s).await, journal());
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    foreign(&cache, &a).await;
    foreign(&cache, &b).await;
    assert!(cache.written(delete(&b), BOUNDED).await.applied);
    // Rows may know their time to the millisecond only; those of the same one count as later.
    cache.until_us(cache.now_us().await + 5000).await;
    // A record without a cache before it tells its time too, by the same clock.
    let before = cache.now_us().await;
    let now = cache.ask(RecordOp::Now).await.into_integer();
    let known_until_us = now.expect("Now answers Integer");
    assert!((before..=cache.now_us().await).contains(&known_until_us));
    let base = Base { version: None, known_until_us: Some(known_until_us) };
    assert!(written(apply(&s, journal, 1, put(&a, "mine"), base).await).applied);
    assert!(written(apply(&s, journal, 2, put(&b, "mine"), base).await).applied, "a tombstone");
    cache.until_us(known_until_us + 1).await;
    foreign(&cache, &a).await;
    let ended = apply(&s, journal, 3, put(&a, "late"), base).await;
    assert_eq!(ended, Applied::Conflict(a), "written since");
}

async fn by_itself(s: Subject) {
    let (cache, journal, key) = (Cache::active(&s).await, journal(), s.key("a"));
    let writes = [put(&key, "1"), put(&key, "2"), delete(&key), put(&key, "3"), delete(&key)];
    for (seq, write) in (1..).zip(writes) {
        assert!(written(apply(&s, journal, seq, write, NOTHING_KNOWN).await).applied, "{seq}");
    }
    assert_eq!(value(&s, &key).await, None);
    let elsewhere = apply(&s, self::journal(), 1, put(&key, "x"), NOTHING_KNOWN).await;
    assert_eq!(elsewhere, Applied::Conflict(key.clone()), "another journal is somebody else");
    assert!(written(apply(&s, journal, 6, put(&key, "4"), NOTHING_KNOWN).await).applied);
    assert!(cache.written(delete(&key), BOUNDED).await.applied);
    let late = apply(&s, journal, 7, put(&key, "5"), NOTHING_KNOWN).await;
    assert_eq!(late, Applied::Conflict(key), "deleted by somebody else");
}

async fn many(s: Subject) {
    let (cache, journal) = (Cache::active(&s).await, journal());
    let keys: Vec<Key> = (0..60).map(|number| s.key(format!("{number:02}"))).collect();
    let entries = keys.iter().map(|key| (key.clone(), Bytes::from("mine"))).collect();
    let all = Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false };
    foreign(&cache, &keys[17]).await;
    assert_eq!(cache.drained(cache.dirty().await).await, 1);
    let ended = apply(&s, journal, 1, all.clone(), NOTHING_KNOWN).await;
    assert_eq!(ended, Applied::Conflict(keys[17].clone()));
    assert_eq!((s.count(&s.prefix()).await, cache.dirty().await), (1, Vec::new()));
    let other = self::journal();
    let base = Base { version: s.version(&keys[17]).await, known_until_us: None };
    assert!(written(apply(&s, other, 1, all.clone(), base).await).applied);
    assert_eq!(cache.dirty_keys().await, keys.iter().cloned().collect());
    assert!(written(apply(&s, other, 2, all, NOTHING_KNOWN).await).applied, "all are its own");
    let gone = apply(&s, other, 3, Op::DeleteMany { keys }, NOTHING_KNOWN).await;
    assert_eq!(gone, Applied::Done(Box::new(Reply::Integer(60))));
}

async fn errors(s: Subject) {
    let (cache, journal, key) = (Cache::active(&s).await, journal(), s.key("a"));
    assert!(written(apply(&s, journal, 1, put(&key, "text"), NOTHING_KNOWN).await).applied);
    assert_eq!(cache.drained(cache.dirty().await).await, 1);
    let add = Op::Increment { key: key.clone(), by: 1 };
    let refused = s.refused(journaled(journal, 2, add, NOTHING_KNOWN)).await;
    assert_eq!((refused, cache.dirty().await), (ErrorKind::NotInteger, Vec::new()));
    assert!(written(apply(&s, journal, 2, put(&key, "5"), NOTHING_KNOWN).await).applied);
    let absent = set(&key, "6", TtlChange::Clear, Condition::Absent);
    let ended = written(apply(&s, journal, 3, absent.clone(), NOTHING_KNOWN).await);
    assert!(!ended.applied, "a condition that does not hold is no error");
    assert_eq!(apply(&s, journal, 3, absent, NOTHING_KNOWN).await, Applied::Already);
}

async fn dirty(s: Subject) {
    let (one, two) = (Cache::active(&s).await, Cache::active(&s).await);
    let (degraded, never) = (Cache::active(&s).await, Cache::degraded(&s).await);
    assert!(degraded.degrade(1, "why").await);
    let (journal, key) = (journal(), s.key("a"));
    apply(&s, journal, 1, put(&key, "v"), NOTHING_KNOWN).await;
    let rows = (one.dirty().await, two.dirty().await);
    assert_eq!((rows.0.len(), rows.1.len()), (1, 1));
    assert_eq!((degraded.dirty().await, never.dirty().await), (Vec::new(), Vec::new()));
    apply(&s, journal, 2, delete(&key), NOTHING_KNOWN).await;
    assert_eq!(one.drained(rows.0).await, 0, "written again");
    assert_eq!(one.drained(one.dirty().await).await, 1, "no write waits under it");
    let keys = BTreeSet::from([key]);
    assert_eq!((one.dirty_keys().await, two.dirty_keys().await), (BTreeSet::new(), keys));
}

async fn overflow(s: Subject) {
    let (overflow, key) = (Cache::overflow(&s).await, s.key("a"));
    apply(&s, journal(), 1, put(&key, "v"), NOTHING_KNOWN).await;
    assert_eq!(overflow.dirty_from(Some(&key), 1).await, [], "no better backend has to follow");
    overflow.done(put(&key, "w"), BOUNDED).await;
    let rows = overflow.dirty_from(Some(&key), 1).await;
    assert_eq!(rows.first().map(|row| &row.key), Some(&key));
    assert_eq!(overflow.drained(rows).await, 1);
}
