use std::time::Duration;

use super::*;

const BOUNDS: Bounds = Bounds { value_max: 1024 };

fn slot(value: Option<&'static str>, expires_at: Option<i64>) -> Slot {
    let version = Version { epoch: 1, counter: 7 };
    let stored = value.map(|value| Stored { value: Bytes::from(value), expires_at, version });
    Slot { key: Key::from("k"), stored, next: version.next(), change: Change::Keep }
}

fn run(op: &Op, slot: &mut Slot) -> Result<Reply> {
    apply(op, std::slice::from_mut(slot), 1_000, BOUNDS)
}

fn set(ttl: TtlChange, condition: Condition) -> Op {
    Op::Set { key: Key::from("k"), value: Bytes::from("new"), ttl, condition, want_previous: true }
}

#[test]
fn a_set_replaces_value_and_expiry_and_returns_the_previous() {
    let mut slot = slot(Some("old"), Some(1_500));
    let reply =
        run(&set(TtlChange::Clear, Condition::Always), &mut slot).unwrap().into_written().unwrap();
    assert_eq!(slot.change, Change::Put { value: Bytes::from("new"), expires_at: None });
    assert_eq!(reply.previous.unwrap().ttl, Some(Duration::from_millis(500)));
    assert_eq!(reply.version, Some(Version { epoch: 1, counter: 8 }));
}

#[test]
fn conditions_decide_over_absent_and_present_keys() {
    let version = Version { epoch: 1, counter: 7 };
    for (condition, absent, present) in [
        (Condition::Always, true, true),
        (Condition::Absent, true, false),
        (Condition::Present, false, true),
        (Condition::VersionIs(version), false, true),
        (Condition::VersionIs(version.next()), false, false),
        (Condition::ValueIs(Bytes::from("old")), false, true),
        (Condition::ValueIsNot(Bytes::from("old")), true, false),
    ] {
        for (value, expected) in [(None, absent), (Some("old"), present)] {
            let mut slot = slot(value, None);
            let reply = run(&set(TtlChange::Keep, condition.clone()), &mut slot)
                .unwrap()
                .into_written()
                .unwrap();
            assert_eq!(reply.applied, expected, "{condition:?} on {value:?}");
            assert_eq!(slot.change != Change::Keep, expected);
        }
    }
}

#[test]
fn a_ttl_is_above_zero_and_fits() {
    for ttl in [Duration::ZERO, Duration::MAX] {
        let error =
            run(&set(TtlChange::For(ttl), Condition::Always), &mut slot(None, None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(expiry_after(TtlChange::For(Duration::from_nanos(1)), None, 5).unwrap(), Some(6));
}

#[test]
fn an_expiry_in_the_past_removes() {
    let mut slot = slot(Some("old"), None);
    run(&set(TtlChange::At(999), Condition::Always), &mut slot).unwrap();
    assert_eq!(slot.change, Change::Remove);
}

#[test]
fn expire_conditions_count_no_expiry_as_infinitely_far() {
    let to = |at, condition| Op::Expire { key: Key::from("k"), ttl: TtlChange::At(at), condition };
    for (current, condition, applies) in [
        (None, ExpireCondition::Greater, false),
        (None, ExpireCondition::Less, true),
        (Some(3_000), ExpireCondition::Greater, false),
        (Some(3_000), ExpireCondition::Less, true),
        (None, ExpireCondition::HasOne, false),
        (Some(3_000), ExpireCondition::HasNone, false),
    ] {
        let reply = run(&to(2_000, condition), &mut slot(Some("v"), current))
            .unwrap()
            .into_written()
            .unwrap();
        assert_eq!(reply.applied, applies, "{condition:?} on {current:?}");
    }
}

#[test]
fn counters_refuse_what_redis_refuses() {
    let by = |by| Op::Increment { key: Key::from("k"), by };
    for text in ["", " 1", "+1", "01", "1.0", "x", "9223372036854775808"] {
        assert_eq!(
            run(&by(1), &mut slot(Some(text), None)).unwrap_err().kind(),
            ErrorKind::NotInteger,
            "{text:?}"
        );
    }
    let error = run(&by(1), &mut slot(Some("9223372036854775807"), None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overflow);
    let reply = run(&by(-3), &mut slot(None, None)).unwrap().into_written().unwrap();
    assert_eq!(reply.outcome, Outcome::Integer(-3));
}

#[test]
fn floats_are_written_plainly() {
    for (number, text) in [
        (3.0e3, "3000"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-0.5, "-0.5"),
        (10.6, "10.6"),
        (0.0, "0"),
    ] {
        assert_eq!(format_float(number), text);
    }
}

#[test]
fn ranges_follow_redis() {
    let value = Bytes::from("This is a string");
    for (start, end, expected) in [
        (0, 3, "This"),
        (-3, -1, "ing"),
        (0, -1, "This is a string"),
        (10, 100, "string"),
        (5, 2, ""),
        (-1, -5, ""),
    ] {
        assert_eq!(range_of(&value, start, end), expected, "{start} {end}");
    }
}

#[test]
fn set_range_fills_the_gap_and_respects_the_limit() {
    let patch = |offset, value: &'static str| Op::SetRange {
        key: Key::from("k"),
        offset,
        value: Bytes::from(value),
    };
    let mut target = slot(Some("ab"), Some(5_000));
    run(&patch(4, "x"), &mut target).unwrap();
    assert_eq!(
        target.change,
        Change::Put { value: Bytes::from_static(b"ab\0\0x"), expires_at: Some(5_000) }
    );
    assert_eq!(
        run(&patch(u64::MAX, "x"), &mut slot(None, None)).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    let mut untouched = slot(None, None);
    run(&patch(9, ""), &mut untouched).unwrap();
    assert_eq!(untouched.change, Change::Keep);
}

#[test]
fn a_transaction_changes_all_slots_or_none() {
    use crate::op::Change as Wanted;
    let version = Version { epoch: 1, counter: 7 };
    let named = |name: &str, value: Option<&'static str>, expires_at| {
        let stored = value.map(|value| Stored { value: Bytes::from(value), expires_at, version });
        Slot { key: Key::from(name), stored, next: version.next(), change: Change::Keep }
    };
    let slots = || {
        vec![
            named("a", Some("1"), Some(5_000)),
            named("b", None, None),
            named("c", Some("3"), None),
        ]
    };
    let put = |ttl| Wanted::Put { value: Bytes::from("new"), ttl };
    let op = |c: Option<&'static str>, a: Wanted| Op::Transact {
        expected: vec![(Key::from("c"), c.map(Bytes::from)), (Key::from("b"), None)],
        changes: vec![
            (Key::from("c"), Wanted::Delete),
            (Key::from("b"), put(TtlChange::Keep)),
            (Key::from("a"), a),
        ],
    };
    let (mut held, new) = (slots(), Bytes::from("new"));
    let reply = apply(&op(Some("3"), put(TtlChange::Keep)), &mut held, 1_000, BOUNDS).unwrap();
    assert!(reply.into_written().unwrap().applied);
    assert_eq!(held[0].change, Change::Put { value: new.clone(), expires_at: Some(5_000) });
    assert_eq!(held[1].change, Change::Put { value: new, expires_at: None });
    assert_eq!(held[2].change, Change::Remove);
    for refused in [op(Some("4"), Wanted::Delete), op(None, Wanted::Delete)] {
        let mut held = slots();
        let reply = apply(&refused, &mut held, 1_000, BOUNDS).unwrap();
        assert!(!reply.into_written().unwrap().applied);
        assert!(held.iter().all(|slot| slot.change == Change::Keep));
    }
    for (ttl, change) in [
        (TtlChange::Clear, Change::Expire { expires_at: None }),
        (TtlChange::At(9_000), Change::Expire { expires_at: Some(9_000) }),
        (TtlChange::At(900), Change::Remove),
        (TtlChange::For(Duration::ZERO), Change::Remove),
        (TtlChange::At(5_000), Change::Keep),
    ] {
        let mut held = slots();
        apply(&op(Some("3"), Wanted::Expire(ttl)), &mut held, 1_000, BOUNDS).unwrap();
        assert_eq!(held[0].change, change, "{ttl:?}");
    }
    let mut held = slots();
    let error = apply(&op(Some("3"), Wanted::Expire(TtlChange::Keep)), &mut held, 1_000, BOUNDS);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(held.iter().all(|slot| slot.change == Change::Keep));
}
