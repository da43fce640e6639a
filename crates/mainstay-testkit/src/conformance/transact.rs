//! Several keys in one step, under expectations.
//! A cluster may refuse keys of different slots; then it must refuse, and change nothing.

use super::{Check, Subject};
use bytes::Bytes;
use mainstay::{Change, ErrorKind, Key, Op, Ttl, TtlChange};
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) const CHECKS: &[Check] = &[
    Check::new("transact: one key, every kind of change", |s| Box::pin(one_key(s))),
    Check::new("transact: expectations decide", |s| Box::pin(expectations(s))),
    Check::new("transact: what is refused changes nothing", |s| Box::pin(refusals(s))),
    Check::new("transact: an expired key is a missing key", |s| Box::pin(expired(s))),
    Check::new("transact: several keys, all or none", |s| Box::pin(several(s)))
        .when(|c| c.atomic_many),
    Check::new("transact: done or refused, never half", |s| Box::pin(done_or_refused(s)))
        .when(|c| !c.atomic_many),
    Check::new("transact: 16 tasks count two keys up together", |s| Box::pin(together(s)))
        .when(|c| c.atomic_many),
];

const MINUTE: Duration = Duration::from_secs(60);
const TIMED: TtlChange = TtlChange::For(MINUTE);

fn put(key: &Key, value: &str, ttl: TtlChange) -> (Key, Change) {
    (key.clone(), Change::Put { value: Bytes::copy_from_slice(value.as_bytes()), ttl })
}

fn expect(key: &Key, value: Option<&str>) -> (Key, Option<Bytes>) {
    (key.clone(), value.map(|value| Bytes::copy_from_slice(value.as_bytes())))
}

fn op(expected: Vec<(Key, Option<Bytes>)>, changes: Vec<(Key, Change)>) -> Op {
    Op::Transact { expected, changes }
}

async fn applied(
    s: &Subject,
    expected: Vec<(Key, Option<Bytes>)>,
    changes: Vec<(Key, Change)>,
) -> bool {
    s.written(op(expected, changes)).await.applied
}

async fn is_timed(s: &Subject, key: &Key) -> bool {
    matches!(s.ttl(key).await, Ttl::Left(left) if left <= MINUTE && left > MINUTE / 2)
}

async fn one_key(s: Subject) {
    let key = s.key("a\0b");
    let to = |change: Change| vec![(key.clone(), change)];
    assert!(applied(&s, vec![expect(&key, None)], vec![put(&key, "1", TIMED)]).await);
    assert!(is_timed(&s, &key).await);
    let kept = vec![put(&key, "2", TtlChange::Keep)];
    assert!(applied(&s, vec![expect(&key, Some("1"))], kept).await);
    assert!(is_timed(&s, &key).await, "a kept expiry stays");
    assert!(applied(&s, vec![], to(Change::Expire(TtlChange::Clear))).await);
    assert_eq!(s.ttl(&key).await, Ttl::Persistent);
    assert!(applied(&s, vec![expect(&key, Some("2"))], to(Change::Expire(TIMED))).await);
    assert!(is_timed(&s, &key).await);
    assert!(applied(&s, vec![], vec![put(&key, "", TtlChange::Clear)]).await);
    assert_eq!(
        (s.value(&key).await.as_deref(), s.ttl(&key).await),
        (Some(&b""[..]), Ttl::Persistent)
    );
    assert!(applied(&s, vec![expect(&key, Some(""))], to(Change::Delete)).await);
    assert_eq!(s.get(&key).await, None);
    assert!(applied(&s, vec![expect(&key, None)], to(Change::Delete)).await, "nothing to delete");
    assert!(applied(&s, vec![], to(Change::Expire(TIMED))).await, "nothing to expire");
    assert_eq!(s.get(&key).await, None);
    let past = TtlChange::At(1_000_000_000_000);
    assert!(applied(&s, vec![], vec![put(&key, "gone", past)]).await);
    assert_eq!(s.get(&key).await, None);
    s.set(&key, "v").await;
    assert!(applied(&s, vec![], to(Change::Expire(TtlChange::For(Duration::ZERO)))).await);
    assert_eq!(s.get(&key).await, None);
}

async fn expectations(s: Subject) {
    let key = s.key("a");
    let change = || vec![put(&key, "new", TtlChange::Clear)];
    for (held, expected, holds) in [
        (None, None, true),
        (None, Some(""), false),
        (None, Some("old"), false),
        (Some("old"), None, false),
        (Some("old"), Some("ol"), false),
        (Some("old"), Some("old"), true),
        (Some(""), None, false),
        (Some(""), Some(""), true),
    ] {
        match held {
            Some(held) => drop(s.set(&key, held).await),
            None => drop(s.delete(&key).await),
        }
        let done = applied(&s, vec![expect(&key, expected)], change()).await;
        assert_eq!(done, holds, "{expected:?} of {held:?}");
        let left = if holds { Some("new") } else { held };
        assert_eq!(s.value(&key).await.as_deref(), left.map(str::as_bytes));
    }
    assert!(applied(&s, vec![], vec![]).await, "nothing is expected, nothing changes");
    let version = s.version(&key).await;
    assert!(applied(&s, vec![expect(&key, Some("new"))], vec![]).await);
    assert_eq!(s.version(&key).await, version, "what was only looked at keeps its version");
}

async fn refusals(s: Subject) {
    let key = s.key("a");
    s.set_for(&key, "v", TIMED).await;
    let twice = vec![put(&key, "1", TtlChange::Clear), (key.clone(), Change::Delete)];
    assert_eq!(s.refused(op(vec![], twice)).await, ErrorKind::InvalidArgument);
    for change in [
        Change::Expire(TtlChange::Keep),
        Change::Put { value: Bytes::new(), ttl: TtlChange::For(Duration::ZERO) },
        Change::Put { value: Bytes::new(), ttl: TtlChange::For(Duration::MAX) },
    ] {
        let changes = vec![(key.clone(), change)];
        assert_eq!(s.refused(op(vec![], changes)).await, ErrorKind::InvalidArgument);
    }
    let long = Bytes::from(vec![0; s.capabilities().value_max + 1]);
    let changes = vec![(key.clone(), Change::Put { value: long, ttl: TtlChange::Clear })];
    assert_eq!(s.refused(op(vec![], changes)).await, ErrorKind::TooLarge);
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"v"[..]));
    assert!(is_timed(&s, &key).await);
}

async fn expired(s: Subject) {
    let key = s.key("a");
    s.set_for(&key, "v", TtlChange::For(Duration::from_millis(5))).await;
    s.until_gone(&key).await;
    assert!(!applied(&s, vec![expect(&key, Some("v"))], vec![put(&key, "w", TIMED)]).await);
    assert!(applied(&s, vec![expect(&key, None)], vec![put(&key, "w", TtlChange::Keep)]).await);
    assert_eq!(s.ttl(&key).await, Ttl::Persistent, "a new key has no expiry to keep");
}

async fn several(s: Subject) {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| s.key(name));
    for key in [&a, &b, &c] {
        s.set(key, "old").await;
    }
    let changes = || {
        let expire = (b.clone(), Change::Expire(TIMED));
        vec![
            put(&d, "4", TIMED),
            (c.clone(), Change::Delete),
            expire,
            put(&a, "1", TtlChange::Clear),
        ]
    };
    let expected = |last| vec![expect(&d, last), expect(&a, Some("old")), expect(&c, Some("old"))];
    assert!(!applied(&s, expected(Some("4")), changes()).await);
    assert_eq!(
        (s.value(&a).await.as_deref(), s.ttl(&b).await),
        (Some(&b"old"[..]), Ttl::Persistent)
    );
    assert!(s.get(&c).await.is_some() && s.get(&d).await.is_none());
    assert!(applied(&s, expected(None), changes()).await);
    assert_eq!(s.value(&a).await.as_deref(), Some(&b"1"[..]));
    assert_eq!(s.value(&b).await.as_deref(), Some(&b"old"[..]));
    assert!(is_timed(&s, &b).await && is_timed(&s, &d).await);
    assert_eq!(s.get(&c).await, None);
    // One change that no backend takes: none is made.
    let bad = vec![put(&a, "2", TtlChange::Clear), (b.clone(), Change::Expire(TtlChange::Keep))];
    assert_eq!(s.refused(op(vec![], bad)).await, ErrorKind::InvalidArgument);
    assert_eq!(s.value(&a).await.as_deref(), Some(&b"1"[..]));
}

async fn done_or_refused(s: Subject) {
    for number in 0..20 {
        let [a, b] = ["a", "b"].map(|name| s.key(format!("{name}{number}")));
        let changes = vec![put(&a, "1", TtlChange::Clear), put(&b, "1", TtlChange::Clear)];
        let both = match s.execute(&op(vec![expect(&a, None)], changes)).await {
            Ok(reply) => reply.into_written().is_ok_and(|written| written.applied),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
                assert!(error.message().starts_with("CROSSSLOT "), "{error}");
                false
            }
        };
        assert_eq!([s.get(&a).await.is_some(), s.get(&b).await.is_some()], [both, both]);
    }
    // A tag puts them in one slot.
    let [a, b] =
        ["{t}a", "{t}b"].map(|name| Key::from([&b"{x}"[..], name.as_bytes()].concat().as_slice()));
    let changes = vec![put(&a, "1", TIMED), put(&b, "1", TIMED)];
    assert!(applied(&s, vec![], changes).await);
    assert!(applied(&s, vec![], vec![(a, Change::Delete), (b, Change::Delete)]).await);
}

async fn together(s: Subject) {
    const TASKS: u64 = 16;
    const EACH: u64 = 5;
    let [a, b] = ["a", "b"].map(|name| s.key(name));
    let mut running = JoinSet::new();
    for task in 0..TASKS {
        let (s, a, b) = (s.clone(), a.clone(), b.clone());
        running.spawn(async move {
            for _ in 0..EACH {
                count_up(&s, [&a, &b], task).await;
            }
        });
    }
    running.join_all().await;
    let expected = (TASKS * EACH).to_string();
    for key in [&a, &b] {
        assert_eq!(s.value(key).await.as_deref(), Some(expected.as_bytes()));
    }
}

/// Reads both, writes both, until nobody came in between.
async fn count_up(s: &Subject, keys: [&Key; 2], task: u64) {
    for turn in 0..10_000_u64 {
        let reply = s.done(Op::GetMany { keys: keys.map(Key::clone).to_vec() }).await;
        let records = reply.into_records().expect("GetMany answers Records");
        let held: Vec<Option<Bytes>> =
            records.into_iter().map(|record| record.map(|record| record.value)).collect();
        assert_eq!(held[0], held[1], "one step changes both");
        let number = |held: &Option<Bytes>| {
            let text = held.as_deref().map(String::from_utf8_lossy);
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        let changes = keys
            .iter()
            .zip(&held)
            .map(|(key, held)| put(key, &(number(held) + 1).to_string(), TtlChange::Clear));
        let expected = keys.into_iter().cloned().zip(held.iter().cloned());
        let op = op(expected.collect(), changes.collect());
        if s.written(op).await.applied {
            return;
        }
        tokio::time::sleep(Duration::from_millis((turn + task) % 7)).await;
    }
    assert_eq!(task, u64::MAX, "a task never got its turn");
}
