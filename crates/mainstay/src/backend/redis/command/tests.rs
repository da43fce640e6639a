use super::*;
use crate::reply::Written;

fn words(command: &Cmd) -> String {
    let words = command.args_iter().map(|word| match word {
        redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => "cursor".to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn native(request: Request) -> String {
    let Request::Native(command) = request else { panic!("{request:?} is not one command") };
    words(&command)
}

fn script_words(request: Request) -> String {
    let Request::Script(_, command) = request else { panic!("{request:?} is not a script") };
    words(&command).split_once(' ').expect("EVALSHA and more").1[41..].to_owned()
}

fn key() -> Key {
    Key::from("k")
}

fn value() -> Bytes {
    Bytes::from_static(b"v")
}

fn set_words(ttl: TtlChange, condition: Condition) -> String {
    let request = set(&key(), &value(), ttl, &condition, false);
    native(request.expect("a request"))
}

#[test]
fn set_is_one_command_where_it_can_be() {
    use Condition::{Absent, Always, Present};
    let for_1ms = TtlChange::For(Duration::from_nanos(1));
    assert_eq!(set_words(TtlChange::Clear, Always), "SET k v");
    assert_eq!(set_words(for_1ms, Always), "SET k v PX 1");
    assert_eq!(set_words(TtlChange::Keep, Present), "SET k v XX KEEPTTL");
    assert_eq!(set_words(TtlChange::At(5), Absent), "SET k v NX PXAT 5");
    assert_eq!(set_words(TtlChange::At(-5), Absent), "SET k v NX PXAT 1");
}

#[test]
fn set_is_a_script_where_it_must_be() {
    let script = |condition, want_previous| {
        let ttl = TtlChange::For(Duration::from_secs(1));
        let request = set(&key(), &value(), ttl, &condition, want_previous);
        script_words(request.expect("a request"))
    };
    assert_eq!(script(Condition::Absent, true), "1 k ABSENT  1 v PX 1000");
    assert_eq!(script(Condition::Always, true), "1 k ALWAYS  1 v PX 1000");
    assert_eq!(script(Condition::ValueIs(value()), false), "1 k IS v 0 v PX 1000");
    assert_eq!(script(Condition::ValueIsNot(value()), true), "1 k ISNOT v 1 v PX 1000");
}

#[test]
fn what_redis_cannot_do_is_refused_before_it_is_sent() {
    let version = crate::entry::Version { epoch: 1, counter: 1 };
    let condition = Condition::VersionIs(version);
    let refused = set(&key(), &value(), TtlChange::Clear, &condition, false);
    assert_eq!(refused.expect_err("no versions").kind(), ErrorKind::Unsupported);
    let refused = delete(&key(), &condition, false);
    assert_eq!(refused.expect_err("no versions").kind(), ErrorKind::Unsupported);
    for ttl in [Duration::ZERO, Duration::MAX] {
        let refused = expiry(TtlChange::For(ttl)).expect_err("no such TTL");
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(fits(3, 2).expect_err("too long").kind(), ErrorKind::TooLarge);
    let refused = set_range(&key(), u64::MAX, &value(), 10).expect_err("too long");
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    let refused = increment_float(&key(), f64::NAN).expect_err("no number");
    assert_eq!(refused.kind(), ErrorKind::Overflow);
}

#[test]
fn expiries_are_commands_from_7_0_on() {
    let second = TtlChange::For(Duration::from_secs(1));
    let expire = |ttl, condition, is_7| expire(&key(), ttl, condition, is_7).expect("a request");
    assert_eq!(native(expire(second, ExpireCondition::Always, false)), "PEXPIRE k 1000");
    assert_eq!(native(expire(second, ExpireCondition::Greater, true)), "PEXPIRE k 1000 GT");
    assert_eq!(
        script_words(expire(TtlChange::At(-9), ExpireCondition::Less, false)),
        "1 k PEXPIREAT 0 LT"
    );
    let now = TtlChange::For(Duration::ZERO);
    assert_eq!(native(expire(now, ExpireCondition::HasNone, true)), "PEXPIRE k 0 NX");
    assert_eq!(native(expire(TtlChange::Clear, ExpireCondition::Greater, true)), "PERSIST k");
    let never = expire(TtlChange::Clear, ExpireCondition::Less, true);
    assert!(matches!(never, Request::Answered(Reply::Written(Written { applied: false, .. }))));
}
