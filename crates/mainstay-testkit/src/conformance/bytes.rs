//! Any bytes in keys and values; ranges, appends, and sizes up to the limit.
//! Knows nothing of expiry.

use super::subject::{fail, set};
use super::{Check, Subject};
use bytes::Bytes;
use mainstay::{Condition, ErrorKind, Key, Op, TtlChange};

pub(super) const CHECKS: &[Check] = &[
    Check::new("bytes: values of all bytes, and empty ones", |s| Box::pin(values(s))),
    Check::new("bytes: keys of all bytes, the longest, and ones that only look alike", |s| {
        Box::pin(keys(s))
    }),
    Check::new("bytes: the empty key, where it is taken", |s| Box::pin(empty_key(s))),
    Check::new("bytes: append", |s| Box::pin(append(s))),
    Check::new("bytes: get range by Redis's rules", |s| Box::pin(get_range(s))),
    Check::new("bytes: set range fills gaps and grows", |s| Box::pin(set_range(s))),
    Check::new("bytes: length", |s| Box::pin(length(s))),
    Check::new("bytes: large values", |s| Box::pin(large(s))),
    Check::new("bytes: over the limit is refused and changes nothing", |s| Box::pin(too_large(s)))
        .when(|c| c.value_max <= OVER_MAX),
];

/// A limit above this costs more memory than the check is worth.
const OVER_MAX: usize = 64 << 20;
const MIB: usize = 1 << 20;

fn all_bytes() -> Vec<u8> {
    (0..=u8::MAX).collect()
}

async fn values(s: Subject) {
    let cases = [
        Vec::new(),
        vec![0],
        vec![0xFF],
        all_bytes(),
        b"a\0b\r\n".to_vec(),
        "käse \u{1F9C0}".into(),
    ];
    for (number, value) in cases.into_iter().enumerate() {
        let key = s.key(number.to_string());
        s.set(&key, value.clone()).await;
        assert_eq!(s.value(&key).await, Some(Bytes::from(value.clone())));
        let same =
            set(&key, "new", TtlChange::Clear, Condition::ValueIs(Bytes::from(value.clone())));
        assert!(s.written(same).await.applied, "compared as bytes: {value:?}");
    }
}

async fn keys(s: Subject) {
    let longest = vec![0xAB; Key::LEN_MAX - s.prefix().len()];
    let mut names: Vec<Vec<u8>> =
        ["a", "A", "a ", "a\0", "a\0\0", "ä", "a\u{308}", "%", "_", "*", "'", "\\", "\\\\"]
            .map(|name| name.as_bytes().to_vec())
            .to_vec();
    names.extend([
        vec![0],
        vec![0xFF],
        vec![0xFF, 0xFF],
        vec![0x80],
        vec![0xC3, 0x28],
        all_bytes(),
        longest,
    ]);
    for name in &names {
        s.set(&s.key(name), name.clone()).await;
    }
    for name in &names {
        assert_eq!(s.value(&s.key(name)).await, Some(Bytes::from(name.clone())), "key {name:?}");
    }
    assert_eq!(
        s.count(&s.prefix()).await,
        i64::try_from(names.len()).unwrap_or(0),
        "all are different keys"
    );
    for name in &names {
        assert!(s.delete(&s.key(name)).await, "key {name:?}");
        assert_eq!(s.get(&s.key(name)).await, None, "key {name:?}");
    }
}

async fn empty_key(s: Subject) {
    let key = Key::new(Bytes::new());
    let op = set(&key, "empty", TtlChange::Clear, Condition::Always);
    match s.execute(&op).await {
        Err(error) if error.kind() == ErrorKind::InvalidArgument => {}
        Err(error) => fail(&op, &format!("{error:?}")),
        Ok(_) => {
            assert_eq!(s.value(&key).await.as_deref(), Some(&b"empty"[..]));
            assert!(s.delete(&key).await);
            assert_eq!(s.get(&key).await, None);
        }
    }
}

async fn append(s: Subject) {
    let key = s.key("k");
    let append = |value: Vec<u8>| Op::Append { key: key.clone(), value: Bytes::from(value) };
    assert_eq!(s.computed(append(b"ab".to_vec())).await, 2, "a missing key counts as empty");
    assert_eq!(s.computed(append(vec![0, 0xFF])).await, 4);
    assert_eq!(s.computed(append(Vec::new())).await, 4);
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"ab\0\xFF"[..]));
}

async fn get_range(s: Subject) {
    let key = s.key("k");
    s.set(&key, "This is a string").await;
    let cases: [(i64, i64, &str); 13] = [
        (0, 3, "This"),
        (-3, -1, "ing"),
        (0, -1, "This is a string"),
        (10, 100, "string"),
        (-100, 3, "This"),
        (i64::MIN, i64::MAX, "This is a string"),
        (0, 0, "T"),
        (15, 15, "g"),
        (5, 2, ""),
        (-1, -5, ""),
        (16, 20, ""),
        (100, i64::MAX, ""),
        (0, -17, "T"),
    ];
    for (start, end, expected) in cases {
        let reply = s.done(Op::GetRange { key: key.clone(), start, end }).await;
        assert_eq!(
            reply.into_bytes().ok().as_deref(),
            Some(expected.as_bytes()),
            "{start}..={end}"
        );
    }
    let missing = s.done(Op::GetRange { key: s.key("missing"), start: 0, end: -1 }).await;
    assert_eq!(missing.into_bytes().ok(), Some(Bytes::new()));
}

async fn set_range(s: Subject) {
    let key = s.key("k");
    let patch = |key: &Key, offset, value: &'static [u8]| Op::SetRange {
        key: key.clone(),
        offset,
        value: Bytes::from_static(value),
    };
    assert_eq!(s.computed(patch(&key, 3, b"abc")).await, 6);
    assert_eq!(
        s.value(&key).await.as_deref(),
        Some(&b"\0\0\0abc"[..]),
        "a gap is filled with zero bytes"
    );
    assert_eq!(s.computed(patch(&key, 0, b"\xFF\0\xFE")).await, 6);
    assert_eq!(s.computed(patch(&key, 5, b"CDE")).await, 8);
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"\xFF\0\xFEabCDE"[..]));
    assert_eq!(s.computed(patch(&key, 100, b"")).await, 8, "an empty patch changes nothing");
    let none = s.key("none");
    assert_eq!(s.computed(patch(&none, 5, b"")).await, 0);
    assert_eq!(s.get(&none).await, None, "an empty patch creates nothing");
    let far = s.refused(patch(&key, u64::MAX, b"x")).await;
    assert!(matches!(far, ErrorKind::TooLarge | ErrorKind::InvalidArgument), "{far:?}");
    assert_eq!(s.value(&key).await.map(|value| value.len()), Some(8));
}

async fn length(s: Subject) {
    let key = s.key("k");
    let length = || Op::Length { key: key.clone() };
    assert_eq!(s.integer(length()).await, 0, "a missing key");
    s.set(&key, "").await;
    assert_eq!(s.integer(length()).await, 0);
    s.set(&key, "ä\0").await;
    assert_eq!(s.integer(length()).await, 3, "bytes, not characters");
}

async fn large(s: Subject) {
    let key = s.key("k");
    for size in [MIB, 8 * MIB] {
        if size > s.capabilities().value_max {
            continue;
        }
        let value: Bytes = all_bytes().into_iter().cycle().take(size).collect();
        s.set(&key, value.clone()).await;
        assert!(s.value(&key).await == Some(value.clone()), "{size} bytes come back as they were");
        assert_eq!(
            s.integer(Op::Length { key: key.clone() }).await,
            i64::try_from(size).unwrap_or(0)
        );
        let tail = s.done(Op::GetRange { key: key.clone(), start: -2, end: -1 }).await;
        assert_eq!(tail.into_bytes().ok().as_deref(), Some(&[0xFE, 0xFF][..]));
    }
}

async fn too_large(s: Subject) {
    let limit = s.capabilities().value_max;
    let key = s.key("k");
    s.set(&key, "kept").await;
    let over = Bytes::from(vec![b'x'; limit + 1]);
    let plain = set(&key, over.clone(), TtlChange::Clear, Condition::Always);
    assert_eq!(s.refused(plain).await, ErrorKind::TooLarge);
    let appended = Op::Append { key: key.clone(), value: over.slice(..limit) };
    assert_eq!(s.refused(appended).await, ErrorKind::TooLarge, "by the length of the result");
    let many = Op::SetMany {
        entries: vec![(key.clone(), over)],
        ttl: TtlChange::Clear,
        all_absent: false,
    };
    assert_eq!(s.refused(many).await, ErrorKind::TooLarge);
    assert_eq!(s.value(&key).await.as_deref(), Some(&b"kept"[..]));
}
