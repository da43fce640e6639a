//! A record with caches before it, dirty keys: who has to wait, what a drain takes, what a readmission forgets.
//! Knows nothing of what the writes mean.

use super::super::Check;
use super::super::subject::{Subject, set};
use super::cache::{BOUNDED, Cache, ROWS_MAX, strict};
use bytes::Bytes;
use mainstay::op::DirtyRow;
use mainstay::{Condition, ExpireCondition, Key, Op, Reply, TtlChange};
use std::collections::BTreeSet;
use std::time::Duration;

pub(in super::super) const CHECKS: &[Check] = &[
    Check::new("control dirty: a strict write waits until its key is known", |s| {
        Box::pin(known(s))
    })
    .when(|c| c.control),
    Check::new("control dirty: the youngest of many keys counts", |s| Box::pin(youngest(s)))
        .when(|c| c.control),
    Check::new("control dirty: degraded, a strict write waits from then on", |s| {
        Box::pin(known_degraded(s))
    })
    .when(|c| c.control),
    Check::new("control dirty: a drain leaves what was written again", |s| Box::pin(again(s)))
        .when(|c| c.control),
    Check::new("control dirty: a drain leaves what is held open", |s| Box::pin(open(s)))
        .when(|c| c.control),
    Check::new("control dirty: a lease says when they are too many", |s| Box::pin(too_many(s)))
        .when(|c| c.control),
    Check::new("control dirty: pages of keys of any bytes", |s| Box::pin(pages(s)))
        .when(|c| c.control),
    Check::new("control dirty: a readmission forgets them", |s| Box::pin(forgotten(s)))
        .when(|c| c.control),
    Check::new("control dirty: each cache has its own", |s| Box::pin(own(s))).when(|c| c.control),
    Check::new("control dirty: a delete that finds nothing makes its rows", |s| {
        Box::pin(nothing_there(s))
    })
    .when(|c| c.control),
    Check::new("control dirty: what was refused leaves no rows", |s| Box::pin(refused(s)))
        .when(|c| c.control),
    Check::new("control dirty: 500 keys at once", |s| Box::pin(many(s))).when(|c| c.control),
];

const MINUTE: Duration = Duration::from_secs(60);

fn put(key: &Key) -> Op {
    set(key, "v", TtlChange::Clear, Condition::Always)
}

async fn known(s: Subject) {
    let (cache, key) = (Cache::active(&s).await, s.key("a"));
    let known_for = Duration::from_millis(40);
    let under = strict(known_for, Duration::from_millis(80));
    let asked_us = cache.now_us().await;
    let long = strict(MINUTE, Duration::ZERO);
    cache.waits(put(&key), long, MINUTE).await;
    assert_eq!(s.get(&key).await, None, "nothing is written while it waits");
    assert_eq!(cache.dirty_keys().await, BTreeSet::from([key.clone()]), "but the key is dirty");
    assert_eq!(cache.lease(5).await.dirty, std::slice::from_ref(&key));
    let reply = cache.in_the_end(put(&key), under).await;
    assert!(reply.into_written().is_ok_and(|written| written.applied));
    assert!(cache.now_us().await >= asked_us + 40_000, "it waited");
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"v"[..]));
    assert!(cache.written(put(&key), under).await.applied, "it is known already");
    assert_eq!(cache.dirty().await.len(), 1);
}

async fn youngest(s: Subject) {
    let cache = Cache::active(&s).await;
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    let under = strict(Duration::from_millis(40), MINUTE);
    cache.in_the_end(put(&a), under).await;
    let both = Op::SetMany {
        entries: vec![(b.clone(), Bytes::from("2")), (a.clone(), Bytes::from("1"))],
        ttl: TtlChange::Clear,
        all_absent: false,
    };
    let asked_us = cache.now_us().await;
    cache.waits(both.clone(), strict(MINUTE, MINUTE), MINUTE).await;
    assert_eq!(s.get(&b).await, None);
    cache.in_the_end(both, under).await;
    assert!(cache.now_us().await >= asked_us + 40_000, "b was younger than a");
    assert_eq!(s.value(&b).await.as_deref(), Some(&b"2"[..]));
    assert_eq!(s.value(&a).await.as_deref(), Some(&b"1"[..]));
}

async fn known_degraded(s: Subject) {
    let (cache, key) = (Cache::active(&s).await, s.key("a"));
    let asked_us = cache.now_us().await;
    assert!(cache.degrade(1, "why").await);
    cache.waits(put(&key), strict(MINUTE, MINUTE), MINUTE).await;
    assert_eq!((s.get(&key).await, cache.dirty().await), (None, Vec::new()));
    cache.in_the_end(put(&key), strict(Duration::from_millis(40), MINUTE)).await;
    assert!(cache.now_us().await >= asked_us + 40_000, "it waited");
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"v"[..]));
    assert_eq!(cache.dirty().await, []);
}

async fn again(s: Subject) {
    let (cache, key) = (Cache::active(&s).await, s.key("a"));
    cache.done(put(&key), BOUNDED).await;
    let seen = cache.dirty().await;
    assert_eq!(seen.len(), 1);
    cache.done(put(&key), BOUNDED).await;
    let later = cache.dirty().await;
    assert!(later[0].number > seen[0].number, "the number rises: {seen:?} {later:?}");
    assert_eq!(cache.drained(seen.clone()).await, 0, "written since");
    assert_eq!(cache.drained([seen, later.clone()].concat()).await, 1);
    assert_eq!(cache.dirty().await, []);
    cache.done(put(&key), BOUNDED).await;
    assert_eq!(cache.drained(later).await, 0, "a new row has a new number");
    let unknown = DirtyRow { key: s.key("b"), number: 1 };
    let row = cache.dirty().await;
    assert_eq!(cache.drained(vec![unknown, row[0].clone(), row[0].clone()]).await, 1);
    assert_eq!(cache.drained(row).await, 0, "gone already");
}

async fn open(s: Subject) {
    let cache = Cache::active(&s).await;
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    cache.waits(put(&a), strict(MINUTE, MINUTE), MINUTE).await;
    assert_eq!(cache.drained(cache.dirty().await).await, 0, "a write waits under it");
    cache.waits(put(&a), strict(MINUTE, Duration::ZERO), MINUTE).await;
    cache.done(put(&a), BOUNDED).await;
    assert_eq!(cache.drained(cache.dirty().await).await, 0, "it is never opened for less");
    let asked_us = cache.now_us().await;
    cache.waits(put(&b), strict(MINUTE, Duration::from_millis(40)), MINUTE).await;
    let mut rows = cache.dirty().await;
    rows.retain(|row| row.key == b);
    let mut went = 0;
    while went == 0 {
        went = cache.drained(rows.clone()).await;
        assert!(cache.now_us().await < asked_us + 30_000_000, "it was never let go");
    }
    assert!(cache.now_us().await >= asked_us + 40_000, "not before its time");
    assert_eq!(cache.dirty_keys().await, BTreeSet::from([a]));
}

async fn too_many(s: Subject) {
    let cache = Cache::active(&s).await;
    let keys = ["a", "b", "c"].map(|name| s.key(name));
    for key in &keys {
        cache.done(put(key), BOUNDED).await;
    }
    for (dirty_max, more) in [(0, true), (1, true), (2, true), (3, false), (9, false)] {
        let row = cache.lease(dirty_max).await;
        assert_eq!((row.dirty.len(), row.more), (dirty_max.min(3), more));
        let named: BTreeSet<_> = row.dirty.iter().collect();
        assert_eq!(named.len(), row.dirty.len());
        assert!(named.iter().all(|key| keys.contains(key)));
    }
}

async fn pages(s: Subject) {
    let cache = Cache::active(&s).await;
    let names: [&[u8]; 8] =
        [b"", b"\0", b"\0\0", b"A", b"a", b"a\\'\"%_", b"\xc3\xa4", b"\xff\xff"];
    let keys: BTreeSet<Key> = names.iter().map(|name| s.key(name)).collect();
    for key in keys.iter().rev() {
        cache.done(put(key), BOUNDED).await;
    }
    let (mut found, mut from) = (Vec::new(), None);
    for _ in 0..keys.len() {
        let page = cache.dirty_from(from.as_ref(), 3).await;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        from = Some(last.key.following());
        found.extend(page.into_iter().map(|row| row.key));
    }
    for key in &keys {
        let row = cache.dirty_from(Some(key), 1).await;
        assert_eq!(row.first().map(|row| &row.key), Some(key), "a page begins with its key");
    }
    assert_eq!(found, keys.into_iter().collect::<Vec<_>>(), "each once, in the order of bytes");
    assert_eq!(cache.drained(cache.dirty().await).await, 8);
}

async fn forgotten(s: Subject) {
    let cache = Cache::active(&s).await;
    let [a, b, c] = ["a", "b", "c"].map(|name| s.key(name));
    cache.done(put(&a), BOUNDED).await;
    cache.waits(put(&b), strict(MINUTE, MINUTE), MINUTE).await;
    let before = cache.dirty().await;
    assert!(cache.degrade(1, "why").await);
    assert_eq!(cache.dirty().await, before, "degrading forgets nothing");
    cache.done(put(&c), BOUNDED).await;
    assert_eq!(cache.dirty().await, before, "and makes nothing dirty");
    assert!(!cache.readmit(1, "run-2", 0).await);
    assert_eq!(cache.dirty().await, before);
    assert!(cache.readmit(2, "run-2", 0).await);
    assert_eq!(cache.dirty().await, [], "held open or not");
    cache.waits(put(&b), strict(MINUTE, MINUTE), MINUTE).await;
    let again = cache.dirty().await;
    let number = |rows: &[DirtyRow]| rows.iter().find(|row| row.key == b).map(|row| row.number);
    assert!(again.len() == 1 && number(&again) > number(&before), "{again:?} {before:?}");
}

async fn own(s: Subject) {
    let (one, two) = (Cache::active(&s).await, Cache::active(&s).await);
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    one.done(put(&a), BOUNDED).await;
    two.done(put(&a), BOUNDED).await;
    two.done(put(&b), BOUNDED).await;
    assert_eq!(one.dirty_keys().await, BTreeSet::from([a.clone()]));
    assert_eq!(two.dirty_keys().await, BTreeSet::from([a, b]));
    assert_eq!(two.drained(two.dirty().await).await, 2);
    assert_eq!(one.dirty().await.len(), 1);
    two.done(put(&s.key("c")), BOUNDED).await;
    assert!(one.degrade(1, "why").await && one.readmit(2, "run-2", 0).await);
    assert_eq!((one.dirty().await.len(), two.dirty().await.len()), (0, 1));
}

async fn nothing_there(s: Subject) {
    let cache = Cache::active(&s).await;
    let [a, b, c] = ["a", "b", "c"].map(|name| s.key(name));
    let delete = Op::Delete { key: a.clone(), condition: Condition::Always, want_previous: false };
    assert!(!cache.written(delete, BOUNDED).await.applied);
    let gone = cache.done(Op::DeleteMany { keys: vec![b.clone(), c.clone()] }, BOUNDED).await;
    assert_eq!(gone, Reply::Integer(0));
    assert_eq!(cache.dirty_keys().await, BTreeSet::from([a, b, c]));
}

async fn refused(s: Subject) {
    let cache = Cache::active(&s).await;
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    let minute = TtlChange::For(MINUTE);
    let touch = Op::Expire { key: a.clone(), ttl: minute, condition: ExpireCondition::Always };
    assert!(!cache.written(touch, BOUNDED).await.applied);
    let present = set(&a, "v", TtlChange::Clear, Condition::Present);
    assert!(!cache.written(present, BOUNDED).await.applied);
    assert_eq!(cache.dirty().await, []);
    cache.done(put(&b), BOUNDED).await;
    let before = cache.dirty().await;
    let absent = set(&b, "w", TtlChange::Clear, Condition::Absent);
    assert!(!cache.written(absent, BOUNDED).await.applied);
    assert_eq!(cache.dirty().await, before, "nor does it touch those of others");
}

async fn many(s: Subject) {
    let cache = Cache::active(&s).await;
    let keys: BTreeSet<Key> = (0..500).map(|number| s.key(format!("{number:03}"))).collect();
    let entries = keys.iter().rev().map(|key| (key.clone(), key.bytes().clone())).collect();
    let all = Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false };
    assert!(cache.written(all.clone(), cache.mark(1).await).await.applied);
    assert_eq!(cache.dirty().await, []);
    assert!(cache.written(all, BOUNDED).await.applied);
    assert_eq!(cache.dirty_keys().await, keys);
    let half: Vec<Key> = keys.iter().step_by(2).cloned().collect();
    let some = cache.dirty_from(None, 200).await;
    let gone = cache.done(Op::DeleteMany { keys: half.clone() }, BOUNDED).await;
    assert_eq!(gone, Reply::Integer(500 / 2));
    assert_eq!(s.count(&s.prefix()).await, 250);
    assert_eq!(cache.drained(some).await, 100, "those of the other half");
    assert_eq!(cache.drained(cache.dirty_from(None, ROWS_MAX).await).await, 400);
    let gone = cache.done(Op::DeleteMany { keys: half }, cache.mark(1).await).await;
    assert_eq!((gone, cache.dirty().await), (Reply::Integer(0), Vec::new()));
}
