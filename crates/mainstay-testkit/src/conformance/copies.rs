//! Copies: what marks, publishes, tokens, fills and drains leave behind, by `semantics::copies`.
//! Knows nothing of engines, nor of when a road asks for them.

mod edges;
mod random;
mod verbs;

use super::{Check, Subject};
use bytes::Bytes;
use mainstay::Version;
use mainstay::op::CopyValue;
use std::time::Duration;

pub(super) const CHECKS: &[Check] = &[
    check("copies: a write hides the value until it is published", |s| Box::pin(published(s))),
    check("copies: of overlapping writers the newest value is left", |s| Box::pin(overlapping(s))),
    check("copies: versions are compared as numbers, whole", |s| Box::pin(versions(s))),
    check("copies: an expired mark taints those beside it", |s| Box::pin(expired_mark(s))),
    check("copies: a withdrawn mark leaves nothing", |s| Box::pin(withdrawn(s))),
    check("copies: a fill needs its token", |s| Box::pin(filled(s))),
    check("copies: a drain takes values and tokens and taints marks", |s| Box::pin(drained(s))),
    check("copies: a publish whose mark was lost leaves nothing older", |s| Box::pin(lost_mark(s))),
    check("copies: times count from the mark and from the token", |s| Box::pin(times(s))),
    check("copies: what is not an entry is never a value", |s| Box::pin(edges::garbage(s))),
    check("copies: any bytes, none, and two megabytes less a little", |s| {
        Box::pin(edges::any_bytes(s))
    }),
    check("copies: many keys in one call, one named twice", |s| Box::pin(edges::many(s))),
    check("copies: of 64 readers one gets the token", |s| Box::pin(edges::one_token(s))),
    check("copies: the beacon rises by one", |s| Box::pin(edges::beacon(s))),
    check("copies: random sequences do what the pure functions do", |s| Box::pin(random::run(s))),
];

const fn check(
    name: &'static str,
    run: fn(Subject) -> futures_util::future::BoxFuture<'static, ()>,
) -> Check {
    Check::new(name, run).when(|c| c.copies)
}

/// Longer than any check takes.
const LONG: Duration = Duration::from_secs(600);
/// Over at once.
const NOW: Duration = Duration::ZERO;

/// The copy of a version: its value is the counter.
fn copy(counter: u64) -> CopyValue {
    CopyValue {
        value: Bytes::from(counter.to_string()),
        version: Version { epoch: 1, counter },
        life: LONG,
        ttl: None,
    }
}

async fn published(s: Subject) {
    let key = s.key("k");
    s.mark(&key, 1, LONG).await;
    assert_eq!(s.shows(&key).await, "M");
    assert!(!s.token(&key, 9).await, "nobody fills beside a mark");
    assert!(s.publish(&key, 1, copy(5)).await);
    assert_eq!(s.shows(&key).await, "V5");
    assert!(!s.publish(&key, 1, copy(5)).await, "repeated");
    assert_eq!(s.shows(&key).await, "V5");
    s.mark(&key, 2, LONG).await;
    assert_eq!(s.shows(&key).await, "M", "the next write hides it again");
}

async fn overlapping(s: Subject) {
    for (first, second) in [(5, 6), (6, 5)] {
        let key = s.key(format!("{first}"));
        s.mark(&key, 1, LONG).await;
        s.mark(&key, 2, LONG).await;
        assert!(s.publish(&key, 1, copy(first)).await);
        assert_eq!(s.shows(&key).await, "M");
        assert!(s.publish(&key, 2, copy(second)).await);
        assert_eq!(s.shows(&key).await, "V6");
    }
}

async fn versions(s: Subject) {
    let big = u64::MAX;
    let rising = [(0, 0), (0, 9), (0, 10), (0, 1 << 32), (0, (1 << 53) + 1), (0, (1 << 53) + 2)];
    let more = [(0, big - 1), (0, big), (1, 0), (9, big), (10, 0), (u32::MAX, 0), (u32::MAX, big)];
    let rising: Vec<Version> =
        rising.into_iter().chain(more).map(|(epoch, counter)| Version { epoch, counter }).collect();
    for pair in rising.windows(2) {
        for order in [[0, 1], [1, 0]] {
            let key = s.key(format!("{} {} {order:?}", pair[0].epoch, pair[0].counter));
            s.mark(&key, 1, LONG).await;
            s.mark(&key, 2, LONG).await;
            for (nonce, which) in [1, 2].into_iter().zip(order) {
                assert!(
                    s.publish(&key, nonce, CopyValue { version: pair[which], ..copy(7) }).await
                );
            }
            let (_, version, ..) = s.seen_value(&key).await;
            assert_eq!(version, pair[1], "of {pair:?} in the order {order:?}");
        }
    }
}

async fn expired_mark(s: Subject) {
    let key = s.key("k");
    s.mark(&key, 1, LONG).await;
    s.mark(&key, 2, Duration::from_millis(20)).await;
    s.passed(&key, Duration::from_millis(20)).await;
    assert_eq!(s.shows(&key).await, "M");
    assert!(s.publish(&key, 1, copy(6)).await);
    assert_eq!(s.shows(&key).await, "-", "the other write may have committed a newer value");
    s.mark(&key, 3, Duration::from_millis(20)).await;
    s.until_gone(&key).await;
    assert!(s.token(&key, 9).await);
    let key = s.key("at once");
    s.mark(&key, 1, NOW).await;
    assert_eq!(s.shows(&key).await, "-");
    s.mark(&key, 2, LONG).await;
    s.mark(&key, 3, NOW).await;
    assert!(!s.publish(&key, 3, copy(7)).await, "its mark is over");
    assert!(s.publish(&key, 2, copy(6)).await);
    assert_eq!(s.shows(&key).await, "-");
}

async fn withdrawn(s: Subject) {
    let key = s.key("k");
    s.mark(&key, 1, LONG).await;
    s.mark(&key, 2, LONG).await;
    s.unmark(&key, 1).await;
    s.unmark(&key, 1).await;
    assert_eq!(s.shows(&key).await, "M");
    assert!(s.publish(&key, 2, copy(6)).await);
    assert_eq!(s.shows(&key).await, "-");
    s.mark(&key, 3, LONG).await;
    s.unmark(&key, 3).await;
    assert_eq!(s.shows(&key).await, "-", "the last one");
    s.mark(&key, 4, LONG).await;
    s.unmark(&key, 99).await;
    s.publish(&key, 4, copy(7)).await;
    assert_eq!(s.shows(&key).await, "-", "also one that is not found taints");
    s.mark(&key, 5, LONG).await;
    assert!(s.publish(&key, 5, copy(8)).await);
    s.unmark(&key, 5).await;
    assert_eq!(s.shows(&key).await, "V8", "a late unmark leaves a value alone");
}

async fn filled(s: Subject) {
    let key = s.key("k");
    assert!(s.token(&key, 7).await);
    assert!(!s.token(&key, 8).await);
    assert_eq!(s.shows(&key).await, "L");
    assert!(!s.fill(&key, 8, copy(4)).await);
    assert!(s.fill(&key, 7, copy(5)).await);
    assert_eq!(s.shows(&key).await, "V5");
    assert!(!s.fill(&key, 7, copy(4)).await, "repeated");
    assert!(!s.token(&key, 9).await, "there is a value");
    let key = s.key("overtaken");
    assert!(s.token(&key, 7).await);
    s.mark(&key, 1, LONG).await;
    assert!(!s.fill(&key, 7, copy(5)).await, "a write has taken the token's place");
    assert!(s.publish(&key, 1, copy(6)).await);
    assert_eq!(s.shows(&key).await, "V6");
}

async fn drained(s: Subject) {
    let key = s.key("k");
    s.drain(&key).await;
    assert!(s.token(&key, 7).await);
    s.drain(&key).await;
    assert!(!s.fill(&key, 7, copy(4)).await);
    assert!(s.token(&key, 8).await);
    assert!(s.fill(&key, 8, copy(4)).await);
    s.drain(&key).await;
    assert_eq!(s.shows(&key).await, "-");
    s.mark(&key, 1, LONG).await;
    s.drain(&key).await;
    assert_eq!(s.shows(&key).await, "M");
    assert!(s.publish(&key, 1, copy(5)).await);
    assert_eq!(s.shows(&key).await, "-");
}

async fn lost_mark(s: Subject) {
    let key = s.key("k");
    assert!(s.token(&key, 7).await);
    assert!(s.fill(&key, 7, copy(4)).await);
    assert!(!s.publish(&key, 1, copy(3)).await);
    assert!(!s.publish(&key, 1, copy(4)).await);
    assert_eq!(s.shows(&key).await, "V4", "not older than what was committed");
    assert!(!s.publish(&key, 1, copy(5)).await);
    assert_eq!(s.shows(&key).await, "-");
    assert!(!s.publish(&key, 1, copy(5)).await);
    assert_eq!(s.shows(&key).await, "-");
    s.mark(&key, 2, LONG).await;
    assert!(!s.publish(&key, 1, copy(7)).await);
    assert!(s.publish(&key, 2, copy(6)).await);
    assert_eq!(s.shows(&key).await, "-", "version 7 was committed");
    assert!(s.token(&key, 8).await);
    assert!(!s.publish(&key, 1, copy(7)).await);
    assert!(!s.fill(&key, 8, copy(6)).await, "the token is gone");
}

async fn times(s: Subject) {
    let dated = CopyValue { ttl: Some(Duration::from_secs(9)), ..copy(5) };
    for by in ["mark", "token"] {
        let key = s.key(by);
        let before = s.beacon(&key, None).await.now_ms;
        if by == "mark" {
            s.mark(&key, 1, LONG).await;
        } else {
            assert!(s.token(&key, 1).await);
        }
        let after = s.beacon(&key, None).await.now_ms;
        s.passed(&key, Duration::from_millis(20)).await;
        let put = if by == "mark" {
            s.publish(&key, 1, dated.clone()).await
        } else {
            s.fill(&key, 1, dated.clone()).await
        };
        assert!(put);
        let (.., expires_at, taken_at) = s.seen_value(&key).await;
        assert!((before..=after).contains(&taken_at), "{by}: {before} {taken_at} {after}");
        assert_eq!(expires_at, Some(taken_at + 9_000), "{by}");
    }
    let short = CopyValue { life: Duration::from_millis(20), ..copy(5) };
    let key = s.key("late");
    assert!(s.token(&key, 1).await);
    s.mark(&s.key("late mark"), 1, LONG).await;
    s.passed(&key, short.life).await;
    assert!(s.fill(&key, 1, short.clone()).await, "put, and over already");
    assert_eq!(s.shows(&key).await, "-");
    assert!(s.publish(&s.key("late mark"), 1, short.clone()).await);
    assert_eq!(s.shows(&s.key("late mark")).await, "-");
    s.mark(&key, 2, LONG).await;
    assert!(s.publish(&key, 2, short).await);
    s.until_gone(&key).await;
}
