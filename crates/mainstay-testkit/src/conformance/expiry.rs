//! Expiry: every form of a TTL, its edges, and that nothing expired is ever seen.
//! Knows nothing of versions.

use super::subject::set;
use super::{Check, Subject};
use bytes::Bytes;
use mainstay::{Condition, ErrorKind, ExpireCondition, Key, Op, Ttl, TtlChange};
use std::time::Duration;

pub(super) const CHECKS: &[Check] = &[
    Check::new("expiry: every TTL form of set", |s| Box::pin(set_forms(s))),
    Check::new("expiry: zero and overflowing TTLs are refused", |s| Box::pin(impossible(s))),
    Check::new("expiry: a past time makes the key gone", |s| Box::pin(past(s))),
    Check::new("expiry: one millisecond, and a hundred years", |s| Box::pin(extremes(s))),
    Check::new("expiry: what has expired is absent to every operation", |s| {
        Box::pin(absent_to_all(s))
    }),
    Check::new("expiry: a key lives until its time", |s| Box::pin(not_early(s))),
    Check::new("expiry: TTLs to the millisecond", |s| Box::pin(precise(s))),
    Check::new("expiry: every condition of expire", |s| Box::pin(conditions(s))),
    Check::new("expiry: expire clears, deletes, and refuses to keep", |s| {
        Box::pin(expire_forms(s))
    }),
    Check::new("expiry: relative writes keep the TTL", |s| Box::pin(kept(s))),
];

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
/// How much of a TTL may have passed by the time it is read.
const SLACK: Duration = Duration::from_secs(30);

fn about(ttl: Ttl, expected: Duration) -> bool {
    matches!(ttl, Ttl::Left(left) if left <= expected && left > expected.saturating_sub(SLACK))
}

fn expire(key: &Key, ttl: TtlChange, condition: ExpireCondition) -> Op {
    Op::Expire { key: key.clone(), ttl, condition }
}

async fn set_forms(s: Subject) {
    let key = s.key("k");
    assert_eq!(s.ttl(&key).await, Ttl::Missing);
    s.set(&key, "v").await;
    assert_eq!(s.ttl(&key).await, Ttl::Persistent);
    s.set_for(&key, "v", TtlChange::For(MINUTE)).await;
    assert!(about(s.ttl(&key).await, MINUTE), "{:?}", s.ttl(&key).await);
    let left = s.get(&key).await.and_then(|record| record.ttl).expect("asked for with_ttl");
    assert!(about(Ttl::Left(left), MINUTE), "{left:?}");
    s.set_for(&key, "w", TtlChange::Keep).await;
    assert!(about(s.ttl(&key).await, MINUTE), "kept");
    s.set_for(&key, "v", TtlChange::Clear).await;
    assert_eq!(s.ttl(&key).await, Ttl::Persistent, "cleared");
    s.set_for(&key, "v", TtlChange::Keep).await;
    assert_eq!(s.ttl(&key).await, Ttl::Persistent, "there was none to keep");
    s.set_for(&s.key("new"), "v", TtlChange::Keep).await;
    assert_eq!(s.ttl(&s.key("new")).await, Ttl::Persistent, "a new key gets none");
    // The year 2100: far enough not to depend on whose clock it is.
    s.set_for(&key, "v", TtlChange::At(4_102_444_800_000)).await;
    assert!(matches!(s.ttl(&key).await, Ttl::Left(left) if left > HOUR), "{:?}", s.ttl(&key).await);
}

async fn impossible(s: Subject) {
    let key = s.key("k");
    s.set(&key, "v").await;
    for ttl in [Duration::ZERO, Duration::MAX, Duration::from_millis(i64::MAX.unsigned_abs())] {
        let op = set(&key, "w", TtlChange::For(ttl), Condition::Always);
        assert_eq!(s.refused(op).await, ErrorKind::InvalidArgument, "{ttl:?}");
        let entries = vec![(key.clone(), Bytes::from("w"))];
        let many = Op::SetMany { entries, ttl: TtlChange::For(ttl), all_absent: false };
        assert_eq!(s.refused(many).await, ErrorKind::InvalidArgument, "{ttl:?}");
    }
    let far = expire(&key, TtlChange::For(Duration::MAX), ExpireCondition::Always);
    assert_eq!(s.refused(far).await, ErrorKind::InvalidArgument);
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"v"[..]));
    assert_eq!(s.ttl(&key).await, Ttl::Persistent);
}

async fn past(s: Subject) {
    for (number, at) in [1, 1_000_000_000_000].into_iter().enumerate() {
        let key = s.key(number.to_string());
        assert!(s.set_for(&key, "v", TtlChange::At(at)).await.applied);
        assert_eq!(s.get(&key).await, None, "set with an expiry in the past");
        s.set(&key, "v").await;
        s.set_for(&key, "w", TtlChange::At(at)).await;
        assert_eq!(s.get(&key).await, None, "what was there is gone as well");
        s.set(&key, "v").await;
        assert!(s.written(expire(&key, TtlChange::At(at), ExpireCondition::Always)).await.applied);
        assert_eq!(s.get(&key).await, None, "expire with a time in the past deletes");
    }
}

async fn extremes(s: Subject) {
    let key = s.key("short");
    s.set_for(&key, "v", TtlChange::For(Duration::from_millis(1))).await;
    s.until_gone(&key).await;
    s.set_for(&key, "v", TtlChange::For(Duration::from_nanos(1))).await;
    s.until_gone(&key).await;
    assert_eq!(s.ttl(&key).await, Ttl::Missing);
    s.set_for(&key, "v", TtlChange::For(CENTURY)).await;
    assert!(about(s.ttl(&key).await, CENTURY), "{:?}", s.ttl(&key).await);
}

async fn absent_to_all(s: Subject) {
    let (key, live) = (s.key("k"), s.key("live"));
    s.set(&live, "v").await;
    let again = async || {
        s.set_for(&key, "7", TtlChange::For(Duration::from_millis(1))).await;
        s.until_gone(&key).await;
    };
    again().await;
    let keys = vec![key.clone(), live.clone()];
    let records = s
        .done(Op::GetMany { keys: keys.clone() })
        .await
        .into_records()
        .expect("GetMany answers Records");
    assert_eq!(records.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
    assert_eq!(s.integer(Op::Exists { keys }).await, 1);
    assert_eq!(s.integer(Op::Length { key: key.clone() }).await, 0);
    assert_eq!(s.count(&s.prefix()).await, 1);
    assert_eq!(
        s.scan(&s.prefix(), 100).await.into_iter().collect::<Vec<_>>(),
        std::slice::from_ref(&live)
    );
    assert!(!s.delete(&key).await);
    assert_eq!(s.integer(Op::DeleteMany { keys: vec![key.clone()] }).await, 0);
    assert!(!s.written(expire(&key, TtlChange::For(HOUR), ExpireCondition::Always)).await.applied);
    assert!(!s.written(set(&key, "v", TtlChange::Clear, Condition::Present)).await.applied);
    let rename = Op::Move { from: key.clone(), to: s.key("to"), keep_source: false, replace: true };
    assert!(matches!(s.refused(rename).await, ErrorKind::NoSuchKey | ErrorKind::Unsupported));
    assert_eq!(s.computed(Op::Increment { key: key.clone(), by: 1 }).await, 1, "counts from 0");
    assert_eq!(s.ttl(&key).await, Ttl::Persistent, "the old TTL is not inherited");
    again().await;
    assert_eq!(s.computed(Op::Append { key: key.clone(), value: Bytes::from("x") }).await, 1);
    again().await;
    assert!(s.written(set(&key, "v", TtlChange::Keep, Condition::Absent)).await.applied);
    assert_eq!(s.ttl(&key).await, Ttl::Persistent, "there is no TTL to keep");
}

async fn not_early(s: Subject) {
    let key = s.key("k");
    let ttl = Duration::from_millis(400);
    // From before the write was sent: the key cannot expire sooner than this.
    let begun = tokio::time::Instant::now();
    s.set_for(&key, "v", TtlChange::For(ttl)).await;
    loop {
        let found = s.get(&key).await.is_some();
        let elapsed = begun.elapsed();
        if !found {
            // A clock that counts whole milliseconds may be one ahead.
            assert!(elapsed + Duration::from_millis(2) >= ttl, "gone after {elapsed:?}");
            return;
        }
        assert!(elapsed < SLACK, "never expired");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A TTL that is not of whole seconds comes back as it was, less the time that has passed.
async fn precise(s: Subject) {
    let key = s.key("k");
    let ttl = Duration::from_millis(90_567);
    let begun = tokio::time::Instant::now();
    let exact = |left: Ttl| {
        let passed = begun.elapsed() + Duration::from_millis(2);
        assert!(
            matches!(left, Ttl::Left(left) if left <= ttl && left + passed >= ttl),
            "{left:?} after {passed:?}"
        );
    };
    s.set_for(&key, "v", TtlChange::For(ttl)).await;
    exact(s.ttl(&key).await);
    exact(s.get(&key).await.and_then(|record| record.ttl).map_or(Ttl::Persistent, Ttl::Left));
    s.set(&key, "v").await;
    assert!(s.written(expire(&key, TtlChange::For(ttl), ExpireCondition::Always)).await.applied);
    exact(s.ttl(&key).await);
}

async fn conditions(s: Subject) {
    use ExpireCondition::{Always, Greater, HasNone, HasOne, Less};
    let (none, later, sooner) = (TtlChange::Clear, TtlChange::For(HOUR), TtlChange::For(MINUTE));
    let half = TtlChange::For(HOUR / 2);
    for (before, condition, after, applied) in [
        (none, Always, later, true),
        (none, HasNone, later, true),
        (none, HasOne, later, false),
        (none, Greater, later, false),
        (none, Less, later, true),
        (half, Always, later, true),
        (half, HasNone, later, false),
        (half, HasOne, later, true),
        (half, Greater, later, true),
        (half, Greater, sooner, false),
        (half, Less, later, false),
        (half, Less, sooner, true),
    ] {
        let key = s.key(format!("{before:?} {condition:?} {after:?}"));
        assert!(
            !s.written(expire(&key, after, condition)).await.applied,
            "a missing key: {condition:?}"
        );
        s.set_for(&key, "v", before).await;
        let written = s.written(expire(&key, after, condition)).await;
        assert_eq!(written.applied, applied, "{condition:?} from {before:?} to {after:?}");
        let expected = if applied { after } else { before };
        let ttl = s.ttl(&key).await;
        let as_expected = match expected {
            TtlChange::For(expected) => about(ttl, expected),
            TtlChange::Clear | TtlChange::Keep | TtlChange::At(_) => ttl == Ttl::Persistent,
        };
        assert!(as_expected, "{condition:?} from {before:?} to {after:?} left {ttl:?}");
        assert_eq!(s.value(&key).await.as_deref(), Some(&b"v"[..]), "the value stays");
    }
}

async fn expire_forms(s: Subject) {
    let key = s.key("k");
    let always = |ttl| expire(&key, ttl, ExpireCondition::Always);
    s.set_for(&key, "v", TtlChange::For(MINUTE)).await;
    assert!(s.written(always(TtlChange::Clear)).await.applied);
    assert_eq!(s.ttl(&key).await, Ttl::Persistent);
    assert!(!s.written(always(TtlChange::Clear)).await.applied, "there was none to clear");
    assert!(s.written(always(TtlChange::At(4_102_444_800_000))).await.applied);
    assert!(matches!(s.ttl(&key).await, Ttl::Left(left) if left > HOUR));
    assert_eq!(s.refused(always(TtlChange::Keep)).await, ErrorKind::InvalidArgument);
    assert!(s.written(always(TtlChange::For(Duration::ZERO))).await.applied);
    assert_eq!(s.get(&key).await, None, "zero deletes");
    s.set(&key, "v").await;
    assert!(s.written(always(TtlChange::For(Duration::from_millis(1)))).await.applied);
    s.until_gone(&key).await;
}

async fn kept(s: Subject) {
    let key = s.key("k");
    let fresh = || s.set_for(&key, "7", TtlChange::For(MINUTE));
    let writes = [
        Op::Increment { key: key.clone(), by: 1 },
        Op::IncrementFloat { key: key.clone(), by: 0.5 },
        Op::Append { key: key.clone(), value: Bytes::from("1") },
        Op::SetRange { key: key.clone(), offset: 1, value: Bytes::from("1") },
    ];
    for write in writes {
        fresh().await;
        let name = write.name();
        s.done(write).await;
        assert!(about(s.ttl(&key).await, MINUTE), "{name} left {:?}", s.ttl(&key).await);
    }
}
