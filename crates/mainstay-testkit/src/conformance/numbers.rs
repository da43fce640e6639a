//! Counters, whole and fractional.
//! Knows nothing of races: those are in `concurrency`.

use super::subject::fail;
use super::{Check, Subject};
use mainstay::{ErrorKind, Key, Op, Outcome};

pub(super) const CHECKS: &[Check] = &[
    Check::new("numbers: increment counts from zero to both ends", |s| Box::pin(increment(s))),
    Check::new("numbers: increment refuses overflow and changes nothing", |s| {
        Box::pin(overflow(s))
    }),
    Check::new("numbers: increment refuses what is not an integer", |s| Box::pin(not_integer(s))),
    Check::new("numbers: increment by a float", |s| Box::pin(float(s))),
    Check::new("numbers: increment by a float refuses what is none", |s| Box::pin(not_float(s))),
];

fn add(key: &Key, by: i64) -> Op {
    Op::Increment { key: key.clone(), by }
}

async fn increment(s: Subject) {
    let key = s.key("k");
    for (by, sum) in
        [(1, 1), (0, 1), (41, 42), (-50, -8), (8, 0), (i64::MAX, i64::MAX), (i64::MIN, -1)]
    {
        assert_eq!(s.computed(add(&key, by)).await, sum, "+ {by}");
        assert_eq!(
            s.value(&key).await.as_deref(),
            Some(sum.to_string().as_bytes()),
            "stored as decimal text"
        );
    }
    s.set(&key, "-9223372036854775808").await;
    assert_eq!(s.computed(add(&key, 0)).await, i64::MIN);
}

async fn overflow(s: Subject) {
    let key = s.key("k");
    for (start, by) in [(i64::MAX, 1), (i64::MIN, -1), (1, i64::MAX), (-2, i64::MIN)] {
        let text = start.to_string();
        s.set(&key, text.clone()).await;
        assert_eq!(s.refused(add(&key, by)).await, ErrorKind::Overflow, "{start} + {by}");
        assert_eq!(s.value(&key).await.as_deref(), Some(text.as_bytes()));
    }
}

async fn not_integer(s: Subject) {
    let key = s.key("k");
    for text in
        ["", "abc", " 1", "1 ", "+1", "01", "-0", "1.5", "1e3", "9223372036854775808", "1\0"]
    {
        s.set(&key, text).await;
        assert_eq!(s.refused(add(&key, 1)).await, ErrorKind::NotInteger, "{text:?}");
        assert_eq!(s.value(&key).await.as_deref(), Some(text.as_bytes()));
    }
    s.set(&key, &b"\xFF\xFE"[..]).await;
    assert_eq!(s.refused(add(&key, 1)).await, ErrorKind::NotInteger, "not even text");
}

/// Adds, and checks that the answer is what is now stored.
async fn add_float(s: &Subject, key: &Key, by: f64) -> String {
    let op = Op::IncrementFloat { key: key.clone(), by };
    match s.written(op.clone()).await.outcome {
        Outcome::Text(text) => {
            assert_eq!(s.value(key).await.as_ref(), Some(&text), "the answer is what is stored");
            String::from_utf8_lossy(&text).into_owned()
        }
        other @ (Outcome::None | Outcome::Integer(_)) => {
            fail(&op, &format!("{other:?}, where a text is due"))
        }
    }
}

async fn float(s: Subject) {
    let key = s.key("k");
    for (start, by, sum) in [
        (None, 10.5, 10.5),
        (Some("10.50"), 0.1, 10.6),
        (Some("5.0e3"), 200.0, 5200.0),
        (Some("3"), -5.5, -2.5),
        (Some("0.1"), 0.2, 0.3),
        (Some("-1.5"), 1.5, 0.0),
        (Some("1"), 1e-10, 1.000_000_000_1),
    ] {
        match start {
            Some(text) => drop(s.set(&key, text).await),
            None => assert!(!s.delete(&key).await, "counts from a missing key"),
        }
        let text = add_float(&s, &key, by).await;
        let number: f64 = text.parse().unwrap_or(f64::NAN);
        assert!((number - sum).abs() < 1e-12, "{start:?} + {by} = {text}");
        assert!(!text.contains(['e', 'E', '+']), "no exponent: {text}");
    }
    s.set(&key, "3.0").await;
    assert_eq!(add_float(&s, &key, 2.0).await, "5", "no trailing zeros");
}

async fn not_float(s: Subject) {
    let key = s.key("k");
    for text in ["", "abc", "1.5x", "nan", "1 "] {
        s.set(&key, text).await;
        let refused = s.refused(Op::IncrementFloat { key: key.clone(), by: 1.0 }).await;
        assert_eq!(refused, ErrorKind::NotFloat, "{text:?}");
        assert_eq!(s.value(&key).await.as_deref(), Some(text.as_bytes()));
    }
    s.set(&key, "1").await;
    for by in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = s.refused(Op::IncrementFloat { key: key.clone(), by }).await;
        let fits = matches!(
            refused,
            ErrorKind::NotFloat | ErrorKind::Overflow | ErrorKind::InvalidArgument
        );
        assert!(fits, "{by}: {refused:?}");
        assert_eq!(s.value(&key).await.as_deref(), Some(&b"1"[..]));
    }
}
