//! A record with caches before it, many at once: no update is lost, and no write slips past a readmission.
//! Knows nothing of how a record locks.

use super::super::Check;
use super::super::subject::{Subject, set};
use super::cache::{BOUNDED, Cache};
use super::race;
use bytes::Bytes;
use mainstay::op::{DirtyRow, Under};
use mainstay::reply::Committed;
use mainstay::{Condition, Key, Op, Outcome, TtlChange};
use std::collections::BTreeSet;

pub(in super::super) const CHECKS: &[Check] = &[
    Check::new("control races: 32 writes around on one key", |s| Box::pin(increments(s)))
        .when(|c| c.control),
    Check::new("control races: marked, around and plain on one key", |s| Box::pin(mixed(s)))
        .when(|c| c.control),
    Check::new("control races: batches around over the same keys in any order", |s| {
        Box::pin(batches(s))
    })
    .when(|c| c.control),
    Check::new("control races: each row is drained once", |s| Box::pin(drains(s)))
        .when(|c| c.control),
    Check::new("control races: no drain takes a later write", |s| Box::pin(late_drains(s)))
        .when(|c| c.control),
    Check::new("control races: a write around against a readmission", |s| {
        Box::pin(readmissions(s))
    })
    .when(|c| c.control),
    Check::new("control races: a marked write against a degradation", |s| {
        Box::pin(degradations(s))
    })
    .when(|c| c.control),
];

fn shared(cache: &Cache) -> Key {
    cache.s.key("shared")
}

async fn increment(cache: &Cache, under: Under) -> i64 {
    let op = Op::Increment { key: shared(cache), by: 1 };
    match cache.written(op, under).await.outcome {
        Outcome::Integer(sum) => sum,
        other => unreachable!("{other:?}, where a number is due"),
    }
}

async fn increments(s: Subject) {
    let cache = Cache::active(&s).await;
    increment(&cache, BOUNDED).await;
    let before = cache.dirty().await;
    let sums = race(&cache, 32, |cache, _| async move {
        [increment(&cache, BOUNDED).await, increment(&cache, BOUNDED).await]
    });
    let sums: BTreeSet<i64> = sums.await.into_iter().flatten().collect();
    assert_eq!(sums, (2..=65).collect(), "each sum is answered exactly once");
    let after = cache.dirty().await;
    assert_eq!(after.len(), 1);
    assert!(after[0].number >= before[0].number + 64, "one for each write: {before:?} {after:?}");
}

async fn mixed(s: Subject) {
    let cache = Cache::active(&s).await;
    let sums = race(&cache, 33, |cache, number| async move {
        let mark = cache.mark(1).await;
        match number % 3 {
            0 => increment(&cache, mark).await,
            1 => increment(&cache, BOUNDED).await,
            _ => cache.s.computed(Op::Increment { key: shared(&cache), by: 1 }).await,
        }
    });
    let sums: BTreeSet<i64> = sums.await.into_iter().collect();
    assert_eq!(sums, (1..=33).collect());
    assert_eq!(cache.dirty().await.len(), 1);
}

async fn batches(s: Subject) {
    let cache = Cache::active(&s).await;
    race(&cache, 24, |cache, number| async move {
        let name = |key: usize| cache.s.key(key.to_string());
        let value = Bytes::from(number.to_string());
        let mut entries: Vec<_> = (0..8).map(|key| (name(key), value.clone())).collect();
        if number % 2 == 1 {
            entries.reverse();
        }
        let ttl = TtlChange::Clear;
        cache.done(Op::SetMany { entries, ttl, all_absent: false }, BOUNDED).await;
        let (from, to) = (name(number % 8), name((number + 3) % 8));
        let copy = Op::Move { from, to, keep_source: true, replace: true };
        cache.done(copy, if number % 3 == 0 { cache.mark(1).await } else { BOUNDED }).await;
    })
    .await;
    let keys: BTreeSet<Key> = (0..8).map(|key: usize| s.key(key.to_string())).collect();
    assert_eq!(cache.dirty_keys().await, keys);
    let mut values = BTreeSet::new();
    for key in &keys {
        values.insert(s.value(key).await);
    }
    assert_eq!(values.len(), 1, "one batch won everywhere: {values:?}");
}

async fn drains(s: Subject) {
    let cache = Cache::active(&s).await;
    let entries = (0..100).map(|number| (s.key(number.to_string()), Bytes::from("v"))).collect();
    cache.done(Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false }, BOUNDED).await;
    let went = race(&cache, 16, |cache, number| async move {
        let mut rows = cache.dirty().await;
        if number % 2 == 1 {
            rows.reverse();
        }
        cache.drained(rows).await
    });
    assert_eq!(went.await.into_iter().sum::<i64>(), 100);
    assert_eq!(cache.dirty().await, []);
}

/// Whoever drains says what he saw before; a row with a number that nobody has seen never goes.
async fn late_drains(s: Subject) {
    let cache = Cache::active(&s).await;
    let put = set(&shared(&cache), "v", TtlChange::Clear, Condition::Always);
    for _ in 0..20 {
        cache.done(put.clone(), BOUNDED).await;
        let seen: Vec<DirtyRow> = cache.dirty().await;
        assert_eq!(seen.len(), 1, "the row of the last write stands");
        let drain = || cache.drained(seen.clone());
        let (first, _, second) = tokio::join!(drain(), cache.done(put.clone(), BOUNDED), drain());
        assert!(first + second <= 1, "one row went {} times", first + second);
        let left = cache.dirty().await;
        assert!(left.len() == 1 && left[0].number != seen[0].number, "{seen:?} {left:?}");
    }
}

/// A write around that the readmission did not wait for has to leave a dirty row: copies of the new generation may be
/// older.
async fn readmissions(s: Subject) {
    for round in 0..30 {
        let cache = Cache::degraded(&s).await;
        let key = s.key(round.to_string());
        let write = async {
            if round % 2 == 1 {
                tokio::task::yield_now().await;
            }
            cache.done(set(&key, "new", TtlChange::Clear, Condition::Always), BOUNDED).await
        };
        let readmit = async {
            assert!(cache.readmit(0, "run", 0).await);
            s.get(&key).await.is_some()
        };
        let (_, seen) = tokio::join!(write, readmit);
        let dirty = cache.dirty_keys().await.contains(&key);
        assert!(seen || dirty, "written after the readmission, and no dirty row in round {round}");
    }
}

async fn degradations(s: Subject) {
    for round in 0..20 {
        let (cache, key) = (Cache::active(&s).await, s.key(round.to_string()));
        let mark = cache.mark(1).await;
        let put = |value: &'static str| set(&key, value, TtlChange::Clear, Condition::Always);
        let (first, did) = tokio::join!(cache.commit(put("first"), mark), cache.degrade(1, "why"));
        assert!(did);
        assert_eq!(cache.commit(put("second"), mark).await, Committed::Overtaken);
        let expected = matches!(first, Committed::Done(_)).then(|| Bytes::from("first"));
        assert_eq!(s.value(&key).await, expected, "{first:?}");
        assert_eq!(cache.dirty().await, []);
    }
}
