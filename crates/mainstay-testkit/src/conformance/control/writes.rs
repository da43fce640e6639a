//! A record with caches before it, every kind of write: guarded, it means what it means by itself, or nothing happens.
//! Knows nothing of waiting or draining.

use super::super::Check;
use super::super::subject::{Subject, set};
use super::cache::{BOUNDED, Cache, strict};
use super::script::{NAMES, script};
use bytes::Bytes;
use mainstay::op::Under;
use mainstay::reply::Committed;
use mainstay::{Condition, ErrorKind, Key, Op, Record, Reply, TtlChange, Written};
use std::collections::BTreeSet;
use std::time::Duration;

pub(in super::super) const CHECKS: &[Check] = &[
    Check::new("control writes: under a mark", |s| Box::pin(marked(s))).when(|c| c.control),
    Check::new("control writes: around an active cache", |s| Box::pin(around(s)))
        .when(|c| c.control),
    Check::new("control writes: around a degraded cache", |s| Box::pin(around_degraded(s)))
        .when(|c| c.control),
    Check::new("control writes: around a cache that nobody leased", |s| {
        Box::pin(around_unknown(s))
    })
    .when(|c| c.control),
    Check::new("control writes: versions rise and stand", |s| Box::pin(versions(s)))
        .when(|c| c.control),
    Check::new("control writes: overtaken, nothing is applied", |s| Box::pin(overtaken(s)))
        .when(|c| c.control),
    Check::new("control writes: a mark has its time", |s| Box::pin(in_time(s))).when(|c| c.control),
    Check::new("control writes: the caller's errors leave no dirty row", |s| Box::pin(errors(s)))
        .when(|c| c.control),
];

const MINUTE: Duration = Duration::from_secs(60);

/// What can be compared between two runs: all but the versions' numbers and the exact time that is left.
fn outline(reply: Reply) -> String {
    let record = |record: Record| (record.value, record.version.is_some(), record.ttl.is_some());
    match reply {
        Reply::Record(found) => format!("{:?}", found.map(record)),
        Reply::Written(Written { applied, version, previous, outcome }) => {
            format!("{applied} {} {:?} {outcome:?}", version.is_some(), previous.map(record))
        }
        other => format!("{other:?}"),
    }
}

async fn answer(s: &Subject, op: Op) -> Result<String, ErrorKind> {
    match s.execute(&op).await {
        Ok(Reply::Committed(Committed::Done(reply))) => Ok(outline(*reply)),
        Ok(reply) => Ok(outline(reply)),
        Err(error) => Err(error.kind()),
    }
}

/// Runs the script plainly and guarded; returns the keys of the guarded writes that changed something.
async fn alike(cache: &Cache, under: Under) -> BTreeSet<Key> {
    let s = &cache.s;
    let pairs = script(|name| s.key(format!("plain/{name}")))
        .into_iter()
        .zip(script(|name| s.key(format!("guarded/{name}"))));
    let mut changed = BTreeSet::new();
    for (plain, guarded) in pairs {
        let what = format!("{guarded:?} {under:?}");
        let keys = mainstay::backend::semantics::keys_of(&guarded);
        let expected = answer(s, plain).await;
        assert_eq!(answer(s, cache.guarded(guarded, under)).await, expected, "{what}");
        if expected.is_ok_and(|text| text.starts_with("true")) {
            changed.extend(keys);
        }
        for name in NAMES {
            let get = |side: &str| Op::Get { key: s.key(format!("{side}/{name}")), with_ttl: true };
            let expected = answer(s, get("plain")).await;
            assert_eq!(answer(s, get("guarded")).await, expected, "{name} after {what}");
        }
    }
    changed
}

async fn marked(s: Subject) {
    let cache = Cache::active(&s).await;
    alike(&cache, cache.mark(1).await).await;
    assert_eq!(cache.dirty().await, [], "a mark makes nothing dirty");
}

async fn around(s: Subject) {
    let cache = Cache::active(&s).await;
    let changed = alike(&cache, BOUNDED).await;
    let dirty = cache.dirty_keys().await;
    assert!(changed.len() > 6 && dirty.is_superset(&changed), "{dirty:?} of {changed:?}");
    let named: BTreeSet<Key> = NAMES.iter().map(|name| s.key(format!("guarded/{name}"))).collect();
    assert!(named.is_superset(&dirty), "only keys of guarded writes: {dirty:?}");
}

async fn around_degraded(s: Subject) {
    let cache = Cache::active(&s).await;
    assert!(cache.degrade(1, "why").await);
    alike(&cache, BOUNDED).await;
    assert_eq!(cache.dirty().await, [], "while degraded none are needed");
    let never_used = Cache::degraded(&s).await;
    let set = set(&s.key("first"), "v", TtlChange::Clear, Condition::Always);
    assert!(never_used.written(set, strict(MINUTE, MINUTE)).await.applied, "degraded since ever");
}

async fn around_unknown(s: Subject) {
    let cache = Cache::unknown(&s);
    alike(&cache, BOUNDED).await;
    let set = set(&s.key("a"), "v", TtlChange::Clear, Condition::Always);
    assert!(cache.written(set.clone(), strict(MINUTE, MINUTE)).await.applied);
    assert_eq!(cache.dirty().await, []);
    let mark = Under::Mark { epoch: 0, deadline_us: i64::MAX };
    assert_eq!(cache.commit(set, mark).await, Committed::Overtaken);
}

async fn versions(s: Subject) {
    let cache = Cache::active(&s).await;
    let (key, mark) = (s.key("a"), cache.mark(1).await);
    let put = set(&key, "v", TtlChange::Clear, Condition::Always);
    let remove =
        Op::Delete { key: key.clone(), condition: Condition::Always, want_previous: false };
    let mut last = None;
    for under in [mark, BOUNDED, mark] {
        for write in [&put, &put, &remove] {
            let version = cache.written(write.clone(), under).await.version;
            assert!(version.is_some() && version > last, "{version:?} after {last:?}");
            last = version;
            if *write == put {
                assert_eq!(s.version(&key).await, version);
            }
        }
        let plain = s.set(&key, "plain").await.version.expect("a record gives versions");
        assert!(Some(plain) > last, "guarded and plain writes share one order");
        let swap = set(&key, "swapped", TtlChange::Clear, Condition::VersionIs(plain));
        let swapped = cache.written(swap.clone(), under).await;
        assert!(swapped.applied && swapped.version > Some(plain));
        assert!(!cache.written(swap, under).await.applied, "once only");
        last = swapped.version;
    }
}

async fn overtaken(s: Subject) {
    let cache = Cache::active(&s).await;
    let names = NAMES.map(|name| s.key(name));
    for key in &names[..6] {
        s.set(key, "41").await;
    }
    let mut state = Vec::new();
    for key in &names {
        state.push(s.get(key).await);
    }
    let passed = Under::Mark { epoch: 1, deadline_us: cache.now_us().await };
    let marks = [passed, cache.mark(0).await, cache.mark(2).await];
    for write in script(|name| s.key(name)) {
        for under in marks {
            let ended = cache.commit(write.clone(), under).await;
            assert_eq!(ended, Committed::Overtaken, "{write:?} {under:?}");
        }
    }
    let (before, after) = (cache.mark(1).await, cache.mark(2).await);
    assert!(cache.degrade(1, "why").await);
    for write in script(|name| s.key(name)) {
        for under in [before, after] {
            assert_eq!(cache.commit(write.clone(), under).await, Committed::Overtaken);
        }
    }
    for (key, record) in names.iter().zip(state) {
        assert_eq!(s.get(key).await, record, "value and version stand");
    }
    assert_eq!(cache.dirty().await, []);
}

async fn in_time(s: Subject) {
    let cache = Cache::active(&s).await;
    let deadline_us = cache.now_us().await + 20_000;
    let mark = Under::Mark { epoch: 1, deadline_us };
    cache.until_us(deadline_us).await;
    let writes = [
        set(&s.key("a"), "late", TtlChange::Clear, Condition::Always),
        Op::Delete { key: s.key("a"), condition: Condition::Always, want_previous: false },
        Op::Increment { key: s.key("a"), by: 1 },
    ];
    for write in writes {
        assert_eq!(cache.commit(write, mark).await, Committed::Overtaken);
    }
    assert_eq!(s.get(&s.key("a")).await, None);
}

async fn errors(s: Subject) {
    let cache = Cache::active(&s).await;
    let [text, other] = ["text", "other"].map(|name| s.key(name));
    s.set(&text, "not a number").await;
    let too_large = Bytes::from(vec![0; s.capabilities().value_max + 1]);
    let wrong = [
        (Op::Increment { key: text.clone(), by: 1 }, ErrorKind::NotInteger),
        (Op::IncrementFloat { key: text.clone(), by: 1.0 }, ErrorKind::NotFloat),
        (
            Op::Move { from: other.clone(), to: text.clone(), keep_source: false, replace: true },
            ErrorKind::NoSuchKey,
        ),
        (set(&other, too_large, TtlChange::Clear, Condition::Always), ErrorKind::TooLarge),
        (
            set(&other, "v", TtlChange::For(Duration::ZERO), Condition::Always),
            ErrorKind::InvalidArgument,
        ),
    ];
    for (write, kind) in &wrong {
        assert_eq!(s.refused(cache.guarded(write.clone(), BOUNDED)).await, *kind);
        assert_eq!(cache.dirty().await, [], "after {kind:?}");
    }
    cache.done(set(&text, "text", TtlChange::Clear, Condition::Always), BOUNDED).await;
    let before = cache.dirty().await;
    assert_eq!(before.len(), 1);
    for (write, kind) in &wrong {
        assert_eq!(s.refused(cache.guarded(write.clone(), BOUNDED)).await, *kind);
        assert_eq!(s.refused(cache.guarded(write.clone(), cache.mark(1).await)).await, *kind);
    }
    assert_eq!(cache.dirty().await, before, "and what was dirty is so as before");
}
