//! Set and delete: every condition on every state of a key.
//! Knows nothing of races: those are in `concurrency`.

use super::subject::set;
use super::{Check, Subject};
use bytes::Bytes;
use mainstay::{Condition, ErrorKind, Op, TtlChange, Version};

pub(super) const CHECKS: &[Check] = &[
    Check::new("set: what was set is read", |s| Box::pin(read_back(s))),
    Check::new("set: every condition on an absent and a present key", |s| {
        Box::pin(set_conditions(s))
    }),
    Check::new("set: the previous value, applied or not", |s| Box::pin(set_previous(s))),
    Check::new("set: compare-and-set by version", |s| Box::pin(set_version(s)))
        .when(|c| c.versions),
    Check::new("set: a version is refused where there are none", |s| Box::pin(no_versions(s)))
        .when(|c| !c.versions),
    Check::new("delete: every condition on an absent and a present key", |s| {
        Box::pin(delete_conditions(s))
    }),
    Check::new("delete: the previous value, applied or not", |s| Box::pin(delete_previous(s))),
    Check::new("delete: compare-and-delete by version", |s| Box::pin(delete_version(s)))
        .when(|c| c.versions),
];

async fn read_back(s: Subject) {
    let key = s.key("k");
    assert_eq!(s.get(&key).await, None, "a key nobody has set");
    let written = s.set(&key, "one").await;
    assert_eq!(written.previous, None, "not asked for");
    let record = s.get(&key).await.expect("just set");
    assert_eq!((&record.value[..], record.ttl), (&b"one"[..], None));
    assert_eq!(record.version.is_some(), s.capabilities().versions, "versions as declared");
    assert_eq!(record.version, written.version, "the version that the write was given");
    s.set(&key, "two").await;
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"two"[..]));
    assert!(s.delete(&key).await && !s.delete(&key).await, "deleted once");
    assert_eq!(s.get(&key).await, None);
}

/// Each condition that needs no version, and whether it holds for an absent key, for `old`, and for `other`.
fn table() -> [(Condition, bool, bool, bool); 5] {
    let old = Bytes::from("old");
    [
        (Condition::Always, true, true, true),
        (Condition::Absent, true, false, false),
        (Condition::Present, false, true, true),
        (Condition::ValueIs(old.clone()), false, true, false),
        (Condition::ValueIsNot(old), true, false, true),
    ]
}

async fn set_conditions(s: Subject) {
    for (number, (condition, absent, old, other)) in table().into_iter().enumerate() {
        for (state, expected) in [(None, absent), (Some("old"), old), (Some("other"), other)] {
            let key = s.key(format!("{number}/{state:?}"));
            if let Some(value) = state {
                s.set(&key, value).await;
            }
            let written = s.written(set(&key, "new", TtlChange::Clear, condition.clone())).await;
            assert_eq!(written.applied, expected, "{condition:?} on {state:?}");
            let kept = if expected { Some("new") } else { state };
            assert_eq!(
                s.value(&key).await.as_deref(),
                kept.map(str::as_bytes),
                "{condition:?} on {state:?}"
            );
            assert!(
                expected || written.version.is_none(),
                "no version for what was not applied: {condition:?}"
            );
        }
    }
}

async fn set_previous(s: Subject) {
    for condition in [Condition::Always, Condition::Absent, Condition::Present] {
        let key = s.key(format!("{condition:?}"));
        let op = |value: &'static str, condition| Op::Set {
            key: key.clone(),
            value: Bytes::from(value),
            ttl: TtlChange::Clear,
            condition,
            want_previous: true,
        };
        let first = s.written(op("one", Condition::Always)).await;
        assert_eq!((first.applied, first.previous), (true, None));
        let second = s.written(op("two", condition.clone())).await;
        let previous = second
            .previous
            .expect("it was there and asked for, whether the write was applied or not");
        assert_eq!(&previous.value[..], b"one", "{condition:?}");
        assert_eq!(second.applied, condition != Condition::Absent);
    }
}

async fn set_version(s: Subject) {
    let key = s.key("k");
    let absent = Version { epoch: 1, counter: 1 };
    let at = |version| set(&key, "new", TtlChange::Clear, Condition::VersionIs(version));
    assert!(!s.written(at(absent)).await.applied, "an absent key has no version");
    let first = s.set(&key, "one").await.version.expect("versions are declared");
    let second = s.set(&key, "two").await.version.expect("versions are declared");
    assert!(!s.written(at(first)).await.applied, "an old version");
    assert!(!s.written(at(second.next())).await.applied, "a version to come");
    let other_epoch = Version { epoch: second.epoch + 1, ..second };
    assert!(!s.written(at(other_epoch)).await.applied, "another epoch");
    assert_eq!(s.version(&key).await, Some(second), "what is not applied leaves the version");
    let third = s.written(at(second)).await;
    assert!(third.applied && third.version > Some(second));
    assert!(!s.written(at(second)).await.applied, "the same version twice");
    assert!(s.delete(&key).await);
    assert!(
        !s.written(at(third.version.expect("applied"))).await.applied,
        "a deleted key has no version"
    );
}

async fn no_versions(s: Subject) {
    let key = s.key("k");
    s.set(&key, "one").await;
    let condition = Condition::VersionIs(Version { epoch: 1, counter: 1 });
    let refused = s.refused(set(&key, "two", TtlChange::Clear, condition)).await;
    assert_eq!(refused, ErrorKind::Unsupported);
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"one"[..]));
}

async fn delete_conditions(s: Subject) {
    for (number, (condition, _, old, other)) in table().into_iter().enumerate() {
        for (state, holds) in [(None, false), (Some("old"), old), (Some("other"), other)] {
            let key = s.key(format!("{number}/{state:?}"));
            if let Some(value) = state {
                s.set(&key, value).await;
            }
            let op =
                Op::Delete { key: key.clone(), condition: condition.clone(), want_previous: false };
            assert_eq!(s.written(op).await.applied, holds, "{condition:?} on {state:?}");
            assert_eq!(
                s.get(&key).await.is_some(),
                state.is_some() && !holds,
                "{condition:?} on {state:?}"
            );
        }
    }
}

async fn delete_previous(s: Subject) {
    let key = s.key("k");
    let op = |condition| Op::Delete { key: key.clone(), condition, want_previous: true };
    assert_eq!(s.written(op(Condition::Always)).await.previous, None);
    s.set(&key, "one").await;
    let kept = s.written(op(Condition::ValueIs(Bytes::from("two")))).await;
    assert!(!kept.applied);
    assert_eq!(kept.previous.map(|record| record.value), Some(Bytes::from("one")));
    let gone = s.written(op(Condition::Always)).await;
    assert!(gone.applied);
    assert_eq!(gone.previous.map(|record| record.value), Some(Bytes::from("one")));
}

async fn delete_version(s: Subject) {
    let key = s.key("k");
    let first = s.set(&key, "one").await.version.expect("versions are declared");
    let second = s.set(&key, "two").await.version.expect("versions are declared");
    let at = |version| Op::Delete {
        key: key.clone(),
        condition: Condition::VersionIs(version),
        want_previous: false,
    };
    assert!(!s.written(at(first)).await.applied, "an old version");
    assert!(s.get(&key).await.is_some());
    assert!(s.written(at(second)).await.applied);
    assert!(!s.written(at(second)).await.applied, "it is gone");
}
