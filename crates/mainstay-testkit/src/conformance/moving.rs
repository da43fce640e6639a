//! Renaming and copying.
//! A cluster may refuse it for keys of different slots; then it must refuse, and change nothing.

use super::{Check, Subject};
use mainstay::{ErrorKind, Key, Op, Ttl, TtlChange};
use std::time::Duration;

pub(super) const CHECKS: &[Check] = &[
    Check::new("move: renames value and expiry", |s| Box::pin(rename(s))).when(|c| c.atomic_many),
    Check::new("move: copies value and expiry", |s| Box::pin(copy(s))).when(|c| c.atomic_many),
    Check::new("move: an existing target", |s| Box::pin(existing(s))).when(|c| c.atomic_many),
    Check::new("move: a missing source", |s| Box::pin(missing(s))).when(|c| c.atomic_many),
    Check::new("move: onto itself", |s| Box::pin(itself(s))).when(|c| c.atomic_many),
    Check::new("move: done or refused, never half", |s| Box::pin(done_or_refused(s)))
        .when(|c| !c.atomic_many),
];

const MINUTE: Duration = Duration::from_secs(60);

fn go(from: &Key, to: &Key, keep_source: bool, replace: bool) -> Op {
    Op::Move { from: from.clone(), to: to.clone(), keep_source, replace }
}

async fn rename(s: Subject) {
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    s.set_for(&a, "v\0", TtlChange::For(MINUTE)).await;
    assert!(s.written(go(&a, &b, false, false)).await.applied);
    assert_eq!(s.get(&a).await, None);
    assert_eq!(s.value(&b).await.as_deref(), Some(&b"v\0"[..]));
    assert!(matches!(s.ttl(&b).await, Ttl::Left(left) if left <= MINUTE && left > MINUTE / 2));
    assert_eq!(s.count(&s.prefix()).await, 1);
}

async fn copy(s: Subject) {
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    s.set_for(&a, "v", TtlChange::For(MINUTE)).await;
    assert!(s.written(go(&a, &b, true, false)).await.applied);
    for key in [&a, &b] {
        assert_eq!(s.value(key).await.as_deref(), Some(&b"v"[..]));
        assert!(matches!(s.ttl(key).await, Ttl::Left(left) if left <= MINUTE && left > MINUTE / 2));
    }
    s.set(&a, "w").await;
    assert_eq!(s.value(&b).await.as_deref(), Some(&b"v"[..]), "a copy lives by itself");
}

async fn existing(s: Subject) {
    for keep_source in [false, true] {
        let [a, b] = ["a", "b"].map(|name| s.key(format!("{name}{keep_source}")));
        s.set(&a, "new").await;
        s.set_for(&b, "old", TtlChange::For(MINUTE)).await;
        assert!(!s.written(go(&a, &b, keep_source, false)).await.applied);
        assert_eq!(s.value(&b).await.as_deref(), Some(&b"old"[..]));
        assert_eq!(s.value(&a).await.as_deref(), Some(&b"new"[..]));
        assert!(s.written(go(&a, &b, keep_source, true)).await.applied);
        assert_eq!(s.value(&b).await.as_deref(), Some(&b"new"[..]));
        assert_eq!(s.ttl(&b).await, Ttl::Persistent, "the target's TTL is the source's");
        assert_eq!(s.get(&a).await.is_some(), keep_source);
    }
}

async fn missing(s: Subject) {
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    s.set(&b, "kept").await;
    for (keep_source, replace) in [(false, false), (false, true), (true, false), (true, true)] {
        assert_eq!(s.refused(go(&a, &b, keep_source, replace)).await, ErrorKind::NoSuchKey);
    }
    assert_eq!(s.value(&b).await.as_deref(), Some(&b"kept"[..]));
}

async fn itself(s: Subject) {
    let a = s.key("a");
    s.set(&a, "v").await;
    assert!(s.written(go(&a, &a, false, true)).await.applied);
    assert!(!s.written(go(&a, &a, false, false)).await.applied, "the target exists");
    assert_eq!(s.value(&a).await.as_deref(), Some(&b"v"[..]));
}

async fn done_or_refused(s: Subject) {
    for number in 0..16 {
        let [a, b] = ["a", "b"].map(|name| s.key(format!("{name}{number}")));
        s.set(&a, "v").await;
        match s.execute(&go(&a, &b, false, true)).await {
            Ok(_) => {
                assert_eq!((s.get(&a).await.is_some(), s.get(&b).await.is_some()), (false, true))
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert_eq!((s.get(&a).await.is_some(), s.get(&b).await.is_some()), (true, false));
            }
        }
    }
}
