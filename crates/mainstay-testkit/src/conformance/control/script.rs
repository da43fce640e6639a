//! Every kind of write and outcome, in an order in which each finds what the ones before it left.
//! Knows nothing of how they are performed.

use super::super::subject::set;
use bytes::Bytes;
use mainstay::{Change, Condition, ExpireCondition, Key, Op, TtlChange, Version};
use std::time::Duration;

/// The keys that the script writes, and one that it does not.
pub(super) const NAMES: [&str; 11] = ["a", "b", "c", "d", "e", "f", "n", "none", "t", "u", "v"];

const TIMED: TtlChange = TtlChange::For(Duration::from_secs(60));

/// The writes, each on keys that `k` makes of names.
pub(super) fn script(k: impl Fn(&str) -> Key) -> Vec<Op> {
    let k = &k;
    [sets(k), batches(k), expiries(k), relative(k), moves(k), transactions(k), deletes(k)].concat()
}

fn sets(k: &impl Fn(&str) -> Key) -> Vec<Op> {
    let put = |value: &'static str, ttl, condition| set(&k("a"), value, ttl, condition);
    let when = |name: &str, condition| set(&k(name), "new", TtlChange::Keep, condition);
    let (new, other) = (Bytes::from("new"), Bytes::from("other"));
    vec![
        put("1", TtlChange::Clear, Condition::Always),
        put("", TtlChange::Clear, Condition::Always),
        put("timed", TIMED, Condition::Always),
        put("kept", TtlChange::Keep, Condition::Always),
        put("past", TtlChange::At(1_000_000_000_000), Condition::Always),
        put("kept", TtlChange::Keep, Condition::Absent),
        when("a", Condition::Absent),
        when("a", Condition::Present),
        when("none", Condition::Present),
        when("a", Condition::ValueIs(new.clone())),
        when("a", Condition::ValueIs(other)),
        when("a", Condition::ValueIsNot(new)),
        when("a", Condition::VersionIs(Version { epoch: 1, counter: 1 })),
        Op::Set {
            key: k("a"),
            value: Bytes::from("after"),
            ttl: TIMED,
            condition: Condition::Always,
            want_previous: true,
        },
    ]
}

fn batches(k: &impl Fn(&str) -> Key) -> Vec<Op> {
    let many = |names: &[&str], ttl, all_absent| {
        let entry = |name: &&str| (k(name), Bytes::from((*name).to_owned()));
        Op::SetMany { entries: names.iter().map(entry).collect(), ttl, all_absent }
    };
    vec![
        many(&["b", "c", "b"], TIMED, false),
        many(&["c", "d"], TtlChange::Clear, true),
        many(&["d", "e"], TtlChange::Clear, true),
        many(&["a", "b"], TtlChange::Keep, false),
        many(&[], TtlChange::Clear, false),
    ]
}

fn expiries(k: &impl Fn(&str) -> Key) -> Vec<Op> {
    let expire = |name: &str, ttl, condition| Op::Expire { key: k(name), ttl, condition };
    vec![
        expire("c", TtlChange::Clear, ExpireCondition::Always),
        expire("c", TtlChange::Clear, ExpireCondition::Always),
        expire("c", TIMED, ExpireCondition::HasOne),
        expire("c", TIMED, ExpireCondition::Always),
        expire("none", TIMED, ExpireCondition::Always),
        expire("c", TtlChange::For(Duration::ZERO), ExpireCondition::Always),
    ]
}

fn relative(k: &impl Fn(&str) -> Key) -> Vec<Op> {
    let patch = |offset, value: &'static str| Op::SetRange {
        key: k("t"),
        offset,
        value: Bytes::from(value),
    };
    vec![
        Op::Increment { key: k("n"), by: 5 },
        Op::Increment { key: k("n"), by: -7 },
        Op::Increment { key: k("b"), by: 1 },
        Op::IncrementFloat { key: k("f"), by: 1.5 },
        Op::Append { key: k("t"), value: Bytes::from("head") },
        Op::Append { key: k("t"), value: Bytes::from("-tail") },
        patch(6, "\0!"),
        patch(0, ""),
    ]
}

fn moves(k: &impl Fn(&str) -> Key) -> Vec<Op> {
    let go = |from: &str, to: &str, keep_source, replace| Op::Move {
        from: k(from),
        to: k(to),
        keep_source,
        replace,
    };
    vec![
        go("t", "u", false, false),
        go("t", "u", false, false),
        go("u", "b", false, false),
        go("u", "b", true, true),
        go("b", "v", false, true),
        go("v", "b", true, false),
    ]
}

fn transactions(k: &impl Fn(&str) -> Key) -> Vec<Op> {
    let put = |name: &str, ttl| (k(name), Change::Put { value: Bytes::from("put"), ttl });
    let change = |expected: Option<&'static str>| Op::Transact {
        expected: vec![(k("none"), None), (k("d"), expected.map(Bytes::from))],
        changes: vec![
            put("d", TIMED),
            put("v", TtlChange::Clear),
            (k("n"), Change::Delete),
            (k("c"), Change::Expire(TIMED)),
        ],
    };
    vec![change(Some("other")), change(Some("d")), change(None), change(Some("put"))]
}

fn deletes(k: &impl Fn(&str) -> Key) -> Vec<Op> {
    let delete = |condition, want_previous| Op::Delete { key: k("b"), condition, want_previous };
    vec![
        delete(Condition::ValueIs(Bytes::from("other")), false),
        delete(Condition::Always, true),
        delete(Condition::Always, false),
        Op::DeleteMany { keys: vec![k("d"), k("none"), k("d"), k("e")] },
        Op::DeleteMany { keys: Vec::new() },
    ]
}
