//! Copies at the edges: foreign bytes, large values, many keys, many readers, and the beacon.
//! Knows nothing of engines.

use super::super::Subject;
use super::super::subject::deadline;
use super::{LONG, copy};
use bytes::Bytes;
use mainstay::op::{CopyOp, CopyValue};
use mainstay::{Key, Op, TtlChange, Version};
use std::collections::BTreeSet;

pub(super) async fn garbage(s: Subject) {
    let shapes: [&[u8]; 9] = [
        b"",
        b"V",
        b"Vshort",
        b"hello",
        b"L",
        b"Ltoo short",
        b"M",
        b"M\x01\xff\xff\xff\xff",
        &[b'L'; 26],
    ];
    for (at, bytes) in shapes.into_iter().enumerate() {
        let put = async |name: &str| {
            let key = s.key(format!("{at}{name}"));
            s.set_for(&key, Bytes::from_static(bytes), TtlChange::Clear).await;
            key
        };
        let key = put("drain").await;
        s.drain(&key).await;
        assert_eq!(s.shows(&key).await, "-", "{bytes:?}");
        let key = put("publish").await;
        assert!(!s.publish(&key, 1, copy(5)).await);
        assert_eq!(s.shows(&key).await, "-", "{bytes:?}");
        let key = put("token").await;
        assert!(s.token(&key, 1).await, "{bytes:?}");
        assert!(s.fill(&key, 1, copy(5)).await);
        assert_eq!(s.shows(&key).await, "V5", "{bytes:?}");
        let key = put("mark").await;
        s.mark(&key, 1, LONG).await;
        assert!(s.publish(&key, 1, copy(6)).await, "{bytes:?}");
        assert_eq!(s.shows(&key).await, "V6", "{bytes:?}");
        let key = put("others").await;
        s.unmark(&key, 1).await;
        assert!(!s.fill(&key, 1, copy(5)).await);
        assert_eq!(s.value(&key).await.as_deref(), Some(bytes), "left alone");
    }
}

pub(super) async fn any_bytes(s: Subject) {
    let every: Vec<u8> = (0..=255).collect();
    let large = vec![b'x'; s.capabilities().value_max.min(2 << 20) - 64];
    for (name, value) in [("every", every), ("none", Vec::new()), ("large", large)] {
        let key = s.key(name);
        let copy = CopyValue { value: Bytes::from(value.clone()), ..copy(5) };
        let (first, second) = (u128::MAX, 0);
        s.mark(&key, first, LONG).await;
        s.mark(&key, second, LONG).await;
        assert!(s.publish(&key, first, copy.clone()).await, "{name}");
        let newer = CopyValue { version: Version { epoch: 1, counter: 4 }, ..copy.clone() };
        assert!(s.publish(&key, second, newer).await, "{name}");
        let (held, version, expires_at, _) = s.seen_value(&key).await;
        assert!(held == value, "{name}: other bytes");
        assert_eq!((version, expires_at), (copy.version, None), "{name}");
    }
}

pub(super) async fn many(s: Subject) {
    let keys: Vec<Key> = (0..200).map(|number| s.key(format!("{number}"))).collect();
    s.mark(&keys[3], 99, LONG).await;
    let token = CopyOp::Token { keys: keys.clone(), token: 7, life: LONG };
    let granted = s.copy_flags(token).await;
    let expected: Vec<bool> = (0..200).map(|number| number != 3).collect();
    assert_eq!(granted, expected, "in the order of the keys");
    s.drain(&keys[5]).await;
    let entries = (0..).zip(&keys).map(|(number, key)| (key.clone(), copy(number))).collect();
    let put = s.copy_flags(CopyOp::Fill { entries, token: 7 }).await;
    let expected: Vec<bool> = (0..200).map(|number| number != 3 && number != 5).collect();
    assert_eq!(put, expected, "in the order of the entries");
    assert_eq!(s.shows(&keys[150]).await, "V150");
    let twice: Vec<Key> = keys.iter().chain(&keys[..1]).cloned().collect();
    s.copy_done(CopyOp::Mark { keys: twice.clone(), nonce: 1, life: LONG }).await;
    for key in &keys {
        assert_eq!(s.shows(key).await, "M");
    }
    s.copy_done(CopyOp::Unmark { keys: keys.clone(), nonce: 1, clean: false }).await;
    assert_eq!(s.shows(&keys[0]).await, "M", "marked twice");
    assert_eq!(s.shows(&keys[3]).await, "M", "another write's");
    assert_eq!(s.shows(&keys[150]).await, "-");
    s.copy_done(CopyOp::Unmark { keys: twice, nonce: 1, clean: false }).await;
    s.copy_done(CopyOp::Drain { keys: Vec::new() }).await;
    let none = CopyOp::Token { keys: Vec::new(), token: 7, life: LONG };
    assert!(s.copy_flags(none).await.is_empty(), "no keys at all");
    let token =
        CopyOp::Token { keys: vec![keys[9].clone(), keys[9].clone()], token: 8, life: LONG };
    assert_eq!(s.copy_flags(token).await, [true, false], "named twice");
}

pub(super) async fn one_token(s: Subject) {
    let key = s.key("k");
    let readers = (1..=64).map(|reader| {
        let op = CopyOp::Token { keys: vec![key.clone()], token: reader, life: LONG };
        let (backend, op) = (s.backend().clone(), Op::Copy(op));
        async move { backend.execute(&op, deadline()).await.expect("a token is answered") }
    });
    let granted = futures_util::future::join_all(readers).await;
    let granted: Vec<bool> =
        granted.into_iter().flat_map(|reply| reply.into_flags().expect("Flags")).collect();
    assert_eq!(granted.iter().filter(|granted| **granted).count(), 1);
}

pub(super) async fn beacon(s: Subject) {
    let key = s.key("beacon");
    let first = s.beacon(&key, None).await;
    assert_eq!(first.beacon, 0, "there is none");
    assert!(!first.identity.is_empty() && first.now_ms > 0, "{first:?}");
    assert_eq!(s.get(&key).await, None, "asking leaves no trace");
    let mut raised = BTreeSet::new();
    for expected in 1..=3 {
        let beacon = s.beacon(&key, Some(expected - 1)).await;
        assert_eq!(beacon.beacon, expected);
        assert!(beacon.now_ms >= first.now_ms);
        raised.insert(beacon.identity);
    }
    let last = s.beacon(&key, None).await;
    assert_eq!((last.beacon, &last.identity), (3, &first.identity));
    for other in [0, 2, 4, u64::MAX] {
        let beacon = s.beacon(&key, Some(other)).await.beacon;
        assert_eq!(beacon, 3, "it is raised only from where it stands, not from {other}");
    }
    assert_eq!(raised, BTreeSet::from([last.identity]), "the same server");
}
