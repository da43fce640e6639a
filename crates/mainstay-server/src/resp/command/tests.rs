use std::time::Duration;

use mainstay::{Condition, ExpireCondition, Key, TtlChange};

use super::{sequence::Filter, *};
use crate::resp::{cursor::Place, passing::is_of_the_connection};

const NOW: i64 = 1_700_000_000_000;

/// Splits at blanks; `""` is an empty argument.
fn words(line: &str) -> Vec<Bytes> {
    line.split(' ')
        .map(|word| Bytes::copy_from_slice(if word == "\"\"" { b"" } else { word.as_bytes() }))
        .collect()
}

fn read_with(line: &str, cursors: &Cursors) -> Parsed<Job> {
    let args = words(line);
    let spec = find(&args[0]).unwrap_or_else(|| panic!("no command {line:?}"));
    if !spec.takes(args.len()) {
        return Err(Failure::arity(spec.name));
    }
    let Handler::Data(read) = spec.handler else { panic!("{line:?} is no data command") };
    let clock = Clock::starting_at(NOW);
    read(&Request { args: &args, clock: &clock, cursors, allow_flush: false })
}

fn read(line: &str) -> Parsed<Job> {
    read_with(line, &Cursors::default())
}

fn op(line: &str) -> Op {
    match read(line) {
        Ok(Job::Op(op, _)) => op,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn steps(line: &str) -> Sequence {
    match read(line) {
        Ok(Job::Sequence(steps)) => *steps,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn the_table_is_sorted_and_complete_in_itself() {
    assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
    for spec in TABLE {
        let found = find(spec.name.to_ascii_uppercase().as_bytes()).unwrap();
        assert!(std::ptr::eq(found, *spec), "{}", spec.name);
        let least = usize::try_from(spec.arity.abs()).unwrap();
        assert!(spec.takes(least) && (least == 1 || !spec.takes(least - 1)), "{}", spec.name);
        assert!(spec.summary.ends_with('.') && !spec.group.is_empty(), "{}", spec.name);
    }
    assert!(find(b"nope").is_none() && find(&[b'x'; 100]).is_none() && find(b"").is_none());
}

const SYNTAX: &str = "ERR syntax error";
const INTEGER: &str = "ERR value is not an integer or out of range";

/// What is refused while the arguments are read, in the words of Redis 7.
const REFUSALS: &[(&str, &str)] = &[
    ("get", "ERR wrong number of arguments for 'get' command"),
    ("GET a b", "ERR wrong number of arguments for 'get' command"),
    ("set a", "ERR wrong number of arguments for 'set' command"),
    ("set a b nx xx", SYNTAX),
    ("set a b nx ifeq c", SYNTAX),
    ("set a b ifeq", SYNTAX),
    ("set a b ex", SYNTAX),
    ("set a b foo", SYNTAX),
    ("set a b foo bar", SYNTAX),
    ("set a b ex 1 px 1", SYNTAX),
    ("set a b keepttl ex 1", SYNTAX),
    ("set a b ex 1 keepttl", SYNTAX),
    ("set a b ex x", INTEGER),
    ("set a b ex 1.5", INTEGER),
    ("set a b ex 0", "ERR invalid expire time in 'set' command"),
    ("set a b pxat -1", "ERR invalid expire time in 'set' command"),
    ("set a b ex 9223372036854775807", "ERR invalid expire time in 'set' command"),
    ("set a b px 9223372036854775807", "ERR invalid expire time in 'set' command"),
    ("setex a 0 b", "ERR invalid expire time in 'setex' command"),
    ("setex a x b", INTEGER),
    ("psetex a -1 b", "ERR invalid expire time in 'psetex' command"),
    ("getex a foo", SYNTAX),
    ("getex a persist ex 1", SYNTAX),
    ("getex a ex 0", "ERR invalid expire time in 'getex' command"),
    ("mset a", "ERR wrong number of arguments for 'mset' command"),
    ("mset a b c", "ERR wrong number of arguments for 'mset' command"),
    ("msetnx a b c", "ERR wrong number of arguments for 'msetnx' command"),
    ("delex a ifeq", SYNTAX),
    ("delex a foo b", SYNTAX),
    ("incrby n x", INTEGER),
    ("incrby n 9223372036854775808", INTEGER),
    ("decrby n -9223372036854775808", "ERR decrement would overflow"),
    ("incrbyfloat n x", "ERR value is not a valid float"),
    ("incrbyfloat n nan", "ERR value is not a valid float"),
    ("incrbyfloat n inf", "ERR increment would produce NaN or Infinity"),
    ("getrange a x 1", INTEGER),
    ("setrange a -1 x", "ERR offset is out of range"),
    ("setrange a 536870912 x", "ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
    ("expire a x", INTEGER),
    ("expire a 1 foo", "ERR Unsupported option foo"),
    ("expire a 1 nx xx", "ERR NX and XX, GT or LT options at the same time are not compatible"),
    ("expire a 1 gt lt", "ERR GT and LT options at the same time are not compatible"),
    ("expire a 9223372036854775807", "ERR invalid expire time in 'expire' command"),
    ("pexpire a 9223372036854775807", "ERR invalid expire time in 'pexpire' command"),
    ("expireat a 9223372036854775807", "ERR invalid expire time in 'expireat' command"),
    ("scan x", "ERR invalid cursor"),
    ("scan 99999999999999999999", "ERR invalid cursor"),
    ("scan 7", "ERR invalid cursor"),
    ("scan 0 count 0", SYNTAX),
    ("scan 0 count x", INTEGER),
    ("scan 0 match", SYNTAX),
    ("scan 0 foo bar", SYNTAX),
    ("copy a a", "ERR source and destination objects are the same"),
    ("copy a b foo", SYNTAX),
    ("copy a b db x", INTEGER),
    ("copy a b db 1", "ERR DB index is out of range"),
    ("flushall foo", SYNTAX),
    (
        "flushdb",
        "ERR FLUSHDB and FLUSHALL are refused here: set resp.allow_flush = true to allow them",
    ),
];

#[test]
fn refusals_have_the_words_of_redis() {
    for (line, words) in REFUSALS {
        match read(line) {
            Err(failure) => assert_eq!(failure.text(), *words, "{line:?}"),
            Ok(job) => panic!("{line:?} was taken: {job:?}"),
        }
    }
}

#[test]
fn every_data_command_refuses_too_few_arguments_by_name() {
    for spec in TABLE.iter().filter(|spec| matches!(spec.handler, Handler::Data(_))) {
        if spec.arity.abs() > 1 {
            let expected = format!("ERR wrong number of arguments for '{}' command", spec.name);
            assert_eq!(read(spec.name).unwrap_err().text(), expected);
        }
    }
}

#[test]
fn an_unknown_command_is_repeated_in_short() {
    for (line, words) in [
        ("foo", "ERR unknown command 'foo', with args beginning with: "),
        ("foo bar baz", "ERR unknown command 'foo', with args beginning with: 'bar' 'baz' "),
        ("f\r\no a\nb", "ERR unknown command 'f  o', with args beginning with: 'a b' "),
    ] {
        assert_eq!(unknown(&words_of(line)).text(), words);
    }
    let long = unknown(&vec![Bytes::from(vec![b'x'; 1000]); 100]);
    assert!(long.text().len() < 350, "{}", long.text());
}

fn words_of(line: &str) -> Vec<Bytes> {
    line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn set(ttl: TtlChange, condition: Condition, want_previous: bool) -> Op {
    let (key, value) = (Key::from("k"), Bytes::from("v"));
    Op::Set { key, value, ttl, condition, want_previous }
}

#[test]
fn set_reads_its_options_in_any_order_and_case() {
    let old = || Bytes::from("old");
    for (line, expected) in [
        ("set k v", set(TtlChange::Clear, Condition::Always, false)),
        (
            "SET k v EX 60 NX",
            set(TtlChange::For(Duration::from_secs(60)), Condition::Absent, false),
        ),
        (
            "set k v xx px 5 get",
            set(TtlChange::For(Duration::from_millis(5)), Condition::Present, true),
        ),
        ("set k v exat 2", set(TtlChange::At(2_000), Condition::Always, false)),
        ("set k v pxat 3", set(TtlChange::At(3), Condition::Always, false)),
        ("set k v keepttl", set(TtlChange::Keep, Condition::Always, false)),
        ("set k v ifeq old", set(TtlChange::Clear, Condition::ValueIs(old()), false)),
        (
            "set k v ex 1 IFNE old",
            set(TtlChange::For(Duration::from_secs(1)), Condition::ValueIsNot(old()), false),
        ),
        ("set k v get get", set(TtlChange::Clear, Condition::Always, true)),
        ("setnx k v", set(TtlChange::Clear, Condition::Absent, false)),
        ("setex k 7 v", set(TtlChange::For(Duration::from_secs(7)), Condition::Always, false)),
        ("psetex k 7 v", set(TtlChange::For(Duration::from_millis(7)), Condition::Always, false)),
        ("getset k v", set(TtlChange::Clear, Condition::Always, true)),
    ] {
        assert_eq!(op(line), expected, "{line:?}");
    }
}

#[test]
fn expiries_become_conditions() {
    let key = || Key::from("k");
    let expire = |ttl, condition| Op::Expire { key: key(), ttl, condition };
    let seconds = |seconds| TtlChange::For(Duration::from_secs(seconds));
    for (line, expected) in [
        ("expire k 5", expire(seconds(5), ExpireCondition::Always)),
        ("expire k -5", expire(seconds(0), ExpireCondition::Always)),
        (
            "pexpire k 5 nx",
            expire(TtlChange::For(Duration::from_millis(5)), ExpireCondition::HasNone),
        ),
        ("expireat k 5 xx", expire(TtlChange::At(5_000), ExpireCondition::HasOne)),
        ("pexpireat k -5 gt", expire(TtlChange::At(-5), ExpireCondition::Greater)),
        ("expire k 5 xx gt", expire(seconds(5), ExpireCondition::Greater)),
        ("expire k 5 LT", expire(seconds(5), ExpireCondition::Less)),
        ("persist k", expire(TtlChange::Clear, ExpireCondition::Always)),
    ] {
        assert_eq!(op(line), expected, "{line:?}");
    }
    assert_eq!(steps("expire k 5 lt xx"), Sequence::ExpireSooner { key: key(), ttl: seconds(5) });
    assert_eq!(
        steps("getex k persist"),
        Sequence::GetAndExpire { key: key(), ttl: TtlChange::Clear }
    );
}

#[test]
fn many_keys_become_one_operation() {
    let keys = || vec![Key::from("a"), Key::from("b")];
    assert_eq!(op("mget a b"), Op::GetMany { keys: keys() });
    assert_eq!(op("unlink a b"), Op::DeleteMany { keys: keys() });
    assert_eq!(op("touch a b"), Op::Exists { keys: keys() });
    let entries = vec![(Key::from("a"), Bytes::from("1")), (Key::from("b"), Bytes::new())];
    assert_eq!(
        op("msetnx a 1 b \"\""),
        Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: true }
    );
    let delete = |condition| Op::Delete { key: Key::from("a"), condition, want_previous: false };
    assert_eq!(op("del a"), delete(Condition::Always));
    assert_eq!(op("delex a ifne x"), delete(Condition::ValueIsNot(Bytes::from("x"))));
}

#[test]
fn a_scan_goes_on_under_the_prefix_it_was_begun_with() {
    let scan = |prefix: &'static str, cursor: Option<&'static str>, limit, filter| Sequence::Scan {
        prefix: Bytes::from(prefix),
        cursor: cursor.map(Bytes::from),
        limit,
        filter,
        hashes: None,
    };
    assert_eq!(steps("scan 0"), scan("", None, 10, Filter::Everything));
    assert_eq!(
        steps("scan 0 match user:* count 99999999"),
        scan("user:", None, 10_000, Filter::Prefix(Bytes::from("user:")))
    );
    let pattern = Filter::Pattern(Bytes::from("user:*:x"));
    assert_eq!(steps("scan 0 match user:*:x"), scan("user:", None, 10, pattern.clone()));
    assert_eq!(steps("scan 0 type list"), scan("", None, 10, Filter::Nothing));
    let of_type = |line| match steps(line) {
        Sequence::Scan { filter: Filter::Everything, hashes, .. } => hashes,
        other => panic!("{other:?}"),
    };
    assert_eq!(of_type("scan 0 type hash"), Some(true));
    assert_eq!(of_type("scan 0 type string"), Some(false));

    let cursors = Cursors::default();
    let number = cursors.issue(Place { prefix: Bytes::from("us"), next: Bytes::from("p2") });
    let Ok(Job::Sequence(next)) = read_with(&format!("scan {number} match user:*:x"), &cursors)
    else {
        panic!("the cursor is known")
    };
    assert_eq!(*next, scan("us", Some("p2"), 10, pattern));
    let refused = read_with(&format!("scan {number} match other:*"), &cursors).unwrap_err();
    assert_eq!(refused, Failure::CURSOR);
}

/// The table of `docs/resp.md`.
fn documented() -> String {
    let upper = |specs: &[&Spec]| {
        let names = specs.iter().map(|spec| format!("`{}`", spec.name.to_ascii_uppercase()));
        names.collect::<Vec<_>>().join(" ")
    };
    let mut groups: Vec<&str> = TABLE.iter().map(|spec| spec.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut text = "| group | commands |\n|---|---|\n".to_owned();
    for group in groups {
        let of: Vec<&Spec> = TABLE.iter().copied().filter(|spec| spec.group == group).collect();
        text.push_str(&format!("| {group} | {} |\n", upper(&of)));
    }
    let (never, passed): (Vec<&Spec>, Vec<&Spec>) =
        FOREIGN.iter().copied().partition(|spec| is_of_the_connection(spec.name));
    let (admin, plain): (Vec<&Spec>, Vec<&Spec>) =
        passed.into_iter().partition(|spec| spec.is_admin());
    text.push_str(&format!("| never passed through | {} |\n", upper(&never)));
    text.push_str(&format!("| passed through only by name | {} |\n", upper(&admin)));
    text.push_str(&format!("| passed through | {} |\n", upper(&plain)));
    text
}

#[test]
fn the_page_names_every_command() {
    let page = include_str!("../../../../../docs/resp.md");
    let begin = "<!-- commands: checked by a test -->\n";
    let (_, rest) = page.split_once(begin).expect("the table begins");
    let (table, _) = rest.split_once("<!-- end of commands -->").expect("the table ends");
    assert!(table == documented(), "the table of docs/resp.md is to be:\n{}", documented());
}

#[test]
fn the_keys_of_a_call_are_found_wherever_they_stand() {
    let keys = |line: &str| {
        let args = words(line);
        let name = args[0].to_ascii_lowercase();
        let spec = find(&name).or_else(|| find_foreign(&name, || false)).unwrap();
        let keys: Vec<String> = spec
            .keys_in(&args)
            .into_iter()
            .map(|key| String::from_utf8_lossy(key).into())
            .collect();
        keys.join(" ")
    };
    for (line, expected) in [
        ("get a", "a"),
        ("mset a 1 b 2", "a b"),
        ("eval x 2 a b c", "a b"),
        ("eval x 9 a", ""),
        ("eval x -1 a", ""),
        ("ping", ""),
        ("rename a b", "a b"),
        ("lpush l x", "l"),
        ("blpop a b 0", "a b"),
        ("brpoplpush a b 0", "a b"),
        ("zunionstore d 2 a b", "d a b"),
        ("zinter 2 a b withscores", "a b"),
        ("lmpop 1 l left", "l"),
        ("blmpop 0 2 a b left", "a b"),
        ("xread count 1 block 0 streams a b 0 0", "a b"),
        ("xreadgroup group g c streams a >", "a"),
        ("xreadgroup group streams c streams a >", "a"),
        ("xreadgroup group g streams count 1 streams a b > >", "a b"),
        ("sort l store d by nosort store e", "l d e"),
        ("sort l by store store e", "l e"),
        ("sort l get limit limit 0 1 store e", "l e"),
        ("georadius g 1 2 3 km count 1 store a storedist b", "g a b"),
        ("georadiusbymember g store 3 km store b", "g b"),
        ("sort l by nosort store d", "l d"),
        ("georadius g 1 2 3 km storedist d", "g d"),
        ("object encoding k", "k"),
        ("xgroup create s g $", "s"),
        ("bitop and d a b", "d a b"),
        ("pfmerge d a", "d a"),
        ("json.set doc $ 1", "doc"),
    ] {
        assert_eq!(keys(line), expected, "{line}");
    }
}

#[test]
fn how_long_a_call_may_wait_is_read_from_its_options() {
    let wait = |line: &str| {
        let args = words(line);
        let spec = find_foreign(&args[0].to_ascii_lowercase(), || false).unwrap();
        let Handler::Pass(wait) = spec.handler else { panic!("{line}") };
        wait.of(&args)
    };
    let seconds = |seconds| Some(Some(Duration::from_secs(seconds)));
    assert_eq!(wait("blpop a b 3"), seconds(3));
    assert_eq!(wait("blpop a 0"), Some(None));
    assert_eq!(wait("bzmpop 2 1 a min"), seconds(2));
    assert_eq!(wait("xread streams a 0"), None);
    assert_eq!(wait("xread block 1000 streams a 0"), seconds(1));
    assert_eq!(wait("xreadgroup group block 0 streams a >"), None);
    assert_eq!(wait("xreadgroup group block c block 0 streams a >"), Some(None));
    assert_eq!(wait("lpush a b"), None);
    // What changes a group is never repeated.
    assert!(!find_foreign(b"xgroup", || false).unwrap().is_read());
}

#[test]
fn what_may_be_passed_through_is_sorted_and_nothing_of_our_own() {
    assert!(FOREIGN.windows(2).all(|pair| pair[0].name < pair[1].name));
    assert!(FOREIGN.iter().all(|spec| find(spec.name.as_bytes()).is_none()));
    assert!(find_foreign(b"nope", || false).is_none());
    assert!(find_foreign(b"nope", || true).is_some());
    assert!(find_foreign(b"mainstay.nope", || false).is_none());
}
