//! Scans and counts by prefix.
//! Knows nothing of what a cursor holds.

use super::{Check, Subject};
use bytes::Bytes;
use mainstay::{Key, Op, TtlChange};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) const CHECKS: &[Check] = &[
    Check::new("scan: every key under a prefix and no other", |s| Box::pin(prefixes(s))),
    Check::new("scan: prefixes of special bytes", |s| Box::pin(special(s))),
    Check::new("scan: pages of every size", |s| Box::pin(pages(s))),
    Check::new("scan: nothing under the prefix", |s| Box::pin(nothing(s))),
    Check::new("scan: deleted and expired keys are not seen", |s| Box::pin(gone(s))),
    Check::new("scan: while others write, a key that stays is seen", |s| {
        Box::pin(while_writing(s))
    }),
];

fn under(s: &Subject, name: &[u8]) -> Bytes {
    s.key(name).bytes().clone()
}

async fn fill(s: &Subject, names: &[&[u8]]) {
    let entries = names.iter().map(|name| (s.key(name), Bytes::from("v"))).collect();
    s.done(Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false }).await;
}

async fn expect(s: &Subject, prefix: &[u8], names: &[&[u8]]) {
    let expected: BTreeSet<Key> = names.iter().map(|name| s.key(name)).collect();
    assert_eq!(
        s.scan(&under(s, prefix), 10).await,
        expected,
        "under {:?}",
        prefix.escape_ascii().to_string()
    );
    let count = i64::try_from(expected.len()).unwrap_or(0);
    assert_eq!(
        s.count(&under(s, prefix)).await,
        count,
        "under {:?}",
        prefix.escape_ascii().to_string()
    );
}

async fn prefixes(s: Subject) {
    fill(&s, &[b"user:1", b"user:2", b"user:10", b"user", b"usher", b"User:1", b"zebra"]).await;
    expect(&s, b"user:", &[b"user:1", b"user:2", b"user:10"]).await;
    expect(&s, b"user:1", &[b"user:1", b"user:10"]).await;
    expect(&s, b"user", &[b"user", b"user:1", b"user:2", b"user:10"]).await;
    expect(&s, b"zebra", &[b"zebra"]).await;
    expect(&s, b"zebras", &[]).await;
    let everything = s.scan(&Bytes::new(), 500).await;
    assert!(
        everything.contains(&s.key("zebra")) && everything.contains(&s.key("User:1")),
        "the empty prefix"
    );
}

async fn special(s: Subject) {
    let names: [&[u8]; 12] = [
        b"*",
        b"*1",
        b"?1",
        b"[a]1",
        b"\\1",
        b"%1",
        b"_1",
        b"'1",
        b"\xFF",
        b"\xFF\xFF",
        b"\xFF\xFF1",
        b"\0\0",
    ];
    fill(&s, &names).await;
    fill(&s, &[b"a", b"ab", b"1"]).await;
    for prefix in
        [&b"*"[..], b"?", b"[", b"[a]", b"\\", b"%", b"_", b"'", b"\xFF", b"\xFF\xFF", b"\0"]
    {
        let expected: Vec<&[u8]> =
            names.into_iter().filter(|name| name.starts_with(prefix)).collect();
        expect(&s, prefix, &expected).await;
    }
}

async fn pages(s: Subject) {
    let names: Vec<String> = (0..57).map(|number| format!("k{number}")).collect();
    fill(&s, &names.iter().map(String::as_bytes).collect::<Vec<_>>()).await;
    let expected: BTreeSet<Key> = names.iter().map(|name| s.key(name)).collect();
    for limit in [1, 2, 7, 56, 57, 58, 10_000] {
        assert_eq!(s.scan(&s.prefix(), limit).await, expected, "pages of {limit}");
    }
}

async fn nothing(s: Subject) {
    assert_eq!(s.scan(&s.prefix(), 10).await, BTreeSet::new());
    assert_eq!(s.count(&s.prefix()).await, 0);
}

async fn gone(s: Subject) {
    fill(&s, &[b"deleted", b"live"]).await;
    assert!(s.delete(&s.key("deleted")).await);
    for number in 0..20 {
        let key = s.key(format!("expired{number}"));
        s.set_for(&key, "v", TtlChange::For(Duration::from_millis(1))).await;
        s.until_gone(&key).await;
    }
    expect(&s, b"", &[b"live"]).await;
}

/// Others insert and delete keys between the keys that stay; never more than a few hundred at once, or a scan in small
/// pages would never catch up.
async fn churn(s: Subject, worker: usize) {
    for round in 0.. {
        let key = s.key(format!("{:03}/{worker}", (round * 37 + worker) % 200));
        s.set_for(&key, "v", TtlChange::For(Duration::from_secs(60))).await;
        if round % 3 != 0 {
            s.delete(&key).await;
        }
        tokio::task::yield_now().await;
    }
}

async fn while_writing(s: Subject) {
    let names: Vec<String> = (0..200).map(|number| format!("{number:03}")).collect();
    fill(&s, &names.iter().map(String::as_bytes).collect::<Vec<_>>()).await;
    let mut writers = JoinSet::new();
    for worker in 0..4 {
        writers.spawn(churn(s.clone(), worker));
    }
    for limit in [3, 17, 100] {
        let found = s.scan(&s.prefix(), limit).await;
        let missed: Vec<&String> =
            names.iter().filter(|name| !found.contains(&s.key(name))).collect();
        assert!(missed.is_empty(), "pages of {limit} missed {missed:?}");
    }
    assert!(writers.try_join_next().is_none(), "the writers were writing all the while");
    writers.shutdown().await;
}
