//! Operations on many keys at once.
//! Knows nothing of races: those are in `concurrency`.

use super::{Check, Subject};
use bytes::Bytes;
use mainstay::{Effect, ErrorKind, Key, Op, Ttl, TtlChange, Written};
use std::time::Duration;

pub(super) const CHECKS: &[Check] = &[
    Check::new("many: get keeps the order, with gaps and duplicates", |s| Box::pin(get(s))),
    Check::new("many: set, the last of a duplicate counts", |s| Box::pin(set_all(s))),
    Check::new("many: set all or none when all have to be absent", |s| Box::pin(all_absent(s)))
        .when(|c| c.atomic_many),
    Check::new("many: set is refused when all have to be absent", |s| {
        Box::pin(all_absent_refused(s))
    })
    .when(|c| !c.atomic_many),
    Check::new("many: set with every TTL form", |s| Box::pin(set_ttl(s))),
    Check::new("many: exists counts twice, delete counts once", |s| Box::pin(counts(s))),
    Check::new("many: no keys at all", |s| Box::pin(nothing(s))),
    Check::new("many: a batch of a thousand", |s| Box::pin(thousand(s))),
];

async fn set_many(
    s: &Subject,
    entries: &[(Key, &str)],
    ttl: TtlChange,
    all_absent: bool,
) -> Written {
    let entries = entries
        .iter()
        .map(|(key, value)| (key.clone(), Bytes::from((*value).to_owned())))
        .collect();
    s.written(Op::SetMany { entries, ttl, all_absent }).await
}

async fn values(s: &Subject, keys: &[Key]) -> Vec<Option<Bytes>> {
    let reply = s.done(Op::GetMany { keys: keys.to_vec() }).await;
    let records = reply.into_records().expect("GetMany answers Records");
    records.into_iter().map(|record| record.map(|record| record.value)).collect()
}

async fn get(s: Subject) {
    let [a, b, c] = ["a", "b", "c"].map(|name| s.key(name));
    s.set(&a, "1").await;
    s.set(&c, "").await;
    let keys = [c.clone(), b.clone(), a.clone(), c, a.clone(), b];
    let (one, empty) = (Some(Bytes::from("1")), Some(Bytes::new()));
    assert_eq!(values(&s, &keys).await, [empty.clone(), None, one.clone(), empty, one, None]);
    let reply =
        s.done(Op::GetMany { keys: vec![a.clone()] }).await.into_records().expect("Records");
    let version = reply.into_iter().flatten().next().and_then(|record| record.version);
    assert_eq!(version, s.version(&a).await, "the version that Get gives");
    if s.capabilities().versions {
        // A copy that is filled from this reply must not outlive the record.
        s.set_for(&a, "1", TtlChange::For(Duration::from_secs(60))).await;
        let reply = s.done(Op::GetMany { keys: vec![a] }).await.into_records().expect("Records");
        let ttl = reply.into_iter().flatten().next().and_then(|record| record.ttl);
        assert!(ttl.is_some_and(|ttl| ttl <= Duration::from_secs(60) && !ttl.is_zero()), "{ttl:?}");
    }
}

async fn set_all(s: Subject) {
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    s.set_for(&a, "old", TtlChange::For(Duration::from_secs(60))).await;
    let entries = [(a.clone(), "1"), (b.clone(), "2"), (a.clone(), "3")];
    assert!(set_many(&s, &entries, TtlChange::Clear, false).await.applied);
    assert_eq!(values(&s, &[a.clone(), b]).await, [Some(Bytes::from("3")), Some(Bytes::from("2"))]);
    assert_eq!(s.ttl(&a).await, Ttl::Persistent);
}

async fn all_absent(s: Subject) {
    let [a, b, c] = ["a", "b", "c"].map(|name| s.key(name));
    s.set(&b, "old").await;
    let entries = [(a.clone(), "1"), (b.clone(), "2"), (c.clone(), "3")];
    assert!(!set_many(&s, &entries, TtlChange::Clear, true).await.applied, "one of them exists");
    assert_eq!(
        values(&s, &[a.clone(), b.clone(), c.clone()]).await,
        [None, Some(Bytes::from("old")), None]
    );
    s.done(Op::DeleteMany { keys: vec![b.clone()] }).await;
    assert!(set_many(&s, &entries, TtlChange::Clear, true).await.applied);
    let all = ["1", "2", "3"].map(|value| Some(Bytes::from(value)));
    assert_eq!(values(&s, &[a, b, c]).await, all);
}

/// Where many keys are many writes, the condition over all of them cannot be kept: it is refused, not half kept.
async fn all_absent_refused(s: Subject) {
    let keys: Vec<Key> = (0..20).map(|number| s.key(number.to_string())).collect();
    s.set(&keys[7], "old").await;
    let entries: Vec<_> = keys.iter().map(|key| (key.clone(), Bytes::from("new"))).collect();
    let op = Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: true };
    match s.execute(&op).await {
        Ok(reply) => assert!(
            reply.into_written().is_ok_and(|written| !written.applied),
            "one of them exists"
        ),
        Err(error) => {
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::None))
        }
    }
    assert_eq!(values(&s, &keys).await.into_iter().flatten().collect::<Vec<_>>(), ["old"]);
}

async fn set_ttl(s: Subject) {
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    let minute = Duration::from_secs(60);
    let entries = [(a.clone(), "1"), (b.clone(), "2")];
    let timed = |ttl| matches!(ttl, Ttl::Left(left) if left <= minute && left > minute / 2);
    set_many(&s, &entries, TtlChange::For(minute), false).await;
    assert!(timed(s.ttl(&a).await) && timed(s.ttl(&b).await));
    set_many(&s, &entries, TtlChange::Keep, false).await;
    assert!(timed(s.ttl(&a).await) && timed(s.ttl(&b).await), "kept");
    set_many(&s, &entries, TtlChange::Clear, false).await;
    assert_eq!((s.ttl(&a).await, s.ttl(&b).await), (Ttl::Persistent, Ttl::Persistent));
    set_many(&s, &entries, TtlChange::At(1_000_000_000_000), false).await;
    assert_eq!(
        (s.ttl(&a).await, s.ttl(&b).await),
        (Ttl::Missing, Ttl::Missing),
        "a time in the past"
    );
}

async fn counts(s: Subject) {
    let [a, b, c] = ["a", "b", "c"].map(|name| s.key(name));
    s.set(&a, "1").await;
    s.set(&b, "2").await;
    let keys = vec![a.clone(), a.clone(), b.clone(), c];
    assert_eq!(s.integer(Op::Exists { keys: keys.clone() }).await, 3);
    assert_eq!(s.integer(Op::DeleteMany { keys: keys.clone() }).await, 2);
    assert_eq!(s.integer(Op::Exists { keys: keys.clone() }).await, 0);
    assert_eq!(s.integer(Op::DeleteMany { keys }).await, 0);
}

async fn nothing(s: Subject) {
    assert_eq!(values(&s, &[]).await, []);
    assert_eq!(s.integer(Op::Exists { keys: Vec::new() }).await, 0);
    assert_eq!(s.integer(Op::DeleteMany { keys: Vec::new() }).await, 0);
    assert!(set_many(&s, &[], TtlChange::Clear, false).await.applied, "nothing was in the way");
}

async fn thousand(s: Subject) {
    let keys: Vec<Key> = (0..1000).map(|number| s.key(format!("{number:04}"))).collect();
    let entries = keys.iter().map(|key| (key.clone(), key.bytes().clone())).collect();
    assert!(
        s.written(Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false }).await.applied
    );
    let expected: Vec<_> = keys.iter().map(|key| Some(key.bytes().clone())).collect();
    assert!(values(&s, &keys).await == expected, "each key has its own value");
    assert_eq!(s.count(&s.prefix()).await, 1000);
    assert_eq!(s.integer(Op::Exists { keys: keys.clone() }).await, 1000);
    let half: Vec<Key> = keys.iter().step_by(2).cloned().collect();
    assert_eq!(s.integer(Op::DeleteMany { keys: half }).await, 500);
    let left: Vec<_> =
        expected.into_iter().enumerate().map(|(n, value)| value.filter(|_| n % 2 == 1)).collect();
    assert!(values(&s, &keys).await == left, "every other key is gone");
}
