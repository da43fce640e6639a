//! Versions rise with every write to a key, whatever happened to the key in between.
//! Knows nothing of how an engine keeps them.

use super::subject::{deadline, set};
use super::{Check, Subject};
use bytes::Bytes;
use mainstay::{Condition, ExpireCondition, Key, Op, TtlChange, Version};
use std::time::Duration;

pub(super) const CHECKS: &[Check] = &[
    Check::new("versions: rise with every kind of write", |s| Box::pin(rise(s)))
        .when(|c| c.versions),
    Check::new("versions: rise across delete and recreate", |s| Box::pin(recreated(s)))
        .when(|c| c.versions),
    Check::new("versions: rise across expiry and recreate", |s| Box::pin(expired(s)))
        .when(|c| c.versions),
    Check::new("versions: rise across batches and moves", |s| Box::pin(many(s)))
        .when(|c| c.versions),
    Check::new("versions: stay when nothing is written", |s| Box::pin(stay(s)))
        .when(|c| c.versions),
];

/// The version of a key that exists.
async fn of(s: &Subject, key: &Key) -> Version {
    s.version(key).await.expect("a live key has a version")
}

async fn rise(s: Subject) {
    let key = s.key("k");
    let minute = TtlChange::For(Duration::from_secs(60));
    let mut last = s.set(&key, "1").await.version.expect("versions are declared");
    let writes = [
        set(&key, "2", TtlChange::Clear, Condition::Always),
        set(&key, "2", TtlChange::Clear, Condition::Always),
        set(&key, "3", minute, Condition::Present),
        Op::Expire { key: key.clone(), ttl: TtlChange::Clear, condition: ExpireCondition::Always },
        Op::Increment { key: key.clone(), by: 1 },
        Op::IncrementFloat { key: key.clone(), by: 0.5 },
        Op::Append { key: key.clone(), value: Bytes::from("1") },
        Op::SetRange { key: key.clone(), offset: 0, value: Bytes::from("9") },
    ];
    for write in writes {
        let name = write.name();
        let version = s.written(write).await.version.expect("applied to one key");
        assert!(version > last, "{name}: {version} after {last}");
        assert_eq!(of(&s, &key).await, version, "{name}: the read shows the version of the write");
        last = version;
    }
}

async fn recreated(s: Subject) {
    let key = s.key("k");
    let mut last = s.set(&key, "v").await.version;
    for round in 0..20 {
        assert!(s.delete(&key).await);
        if round % 5 == 4 {
            s.backend().purge(1000, deadline()).await.expect("purge");
        }
        let version = s.set(&key, "v").await.version;
        assert!(version > last, "{version:?} after {last:?}");
        last = version;
    }
}

async fn expired(s: Subject) {
    let key = s.key("k");
    let mut last = None;
    for round in 0..10 {
        let version = s.set_for(&key, "v", TtlChange::For(Duration::from_millis(1))).await.version;
        assert!(version > last, "{version:?} after {last:?}");
        last = version;
        s.until_gone(&key).await;
        if round % 2 == 1 {
            s.backend().purge(1000, deadline()).await.expect("purge");
        }
    }
    let created = s.written(set(&key, "v", TtlChange::Clear, Condition::Absent)).await;
    assert!(created.applied && created.version > last);
    assert!(
        s.written(Op::Expire {
            key: key.clone(),
            ttl: TtlChange::At(1),
            condition: ExpireCondition::Always
        })
        .await
        .applied
    );
    assert!(s.set(&key, "v").await.version > created.version, "after an expiry in the past");
}

async fn many(s: Subject) {
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    let first = s.set(&a, "1").await.version.expect("versions are declared");
    let entries = vec![(a.clone(), Bytes::from("2")), (b.clone(), Bytes::from("2"))];
    s.done(Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false }).await;
    let (second, target) = (of(&s, &a).await, of(&s, &b).await);
    assert!(second > first, "set many");
    s.done(Op::DeleteMany { keys: vec![a.clone()] }).await;
    let third = s.set(&a, "3").await.version.expect("versions are declared");
    assert!(third > second, "delete many and recreate");
    if s.capabilities().atomic_many {
        s.done(Op::Move { from: a.clone(), to: b.clone(), keep_source: false, replace: true })
            .await;
        assert!(of(&s, &b).await > target, "the target of a move");
        assert!(s.set(&a, "4").await.version > Some(third), "the source of a move, recreated");
    }
}

async fn stay(s: Subject) {
    let key = s.key("k");
    let version = s.set(&key, "text").await.version.expect("versions are declared");
    s.get(&key).await;
    s.done(Op::Length { key: key.clone() }).await;
    s.written(set(&key, "new", TtlChange::Clear, Condition::Absent)).await;
    s.refused(Op::Increment { key: key.clone(), by: 1 }).await;
    s.done(Op::SetRange { key: key.clone(), offset: 0, value: Bytes::new() }).await;
    s.set(&s.key("other"), "v").await;
    assert_eq!(of(&s, &key).await, version);
}
