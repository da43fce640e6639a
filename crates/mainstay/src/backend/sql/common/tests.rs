use std::time::Duration;

use bytes::Bytes;

use super::*;

#[test]
fn a_prefix_ends_where_its_last_byte_that_can_rise_has_risen() {
    assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
    assert_eq!(prefix_end(b"a\xff\xff"), Some(b"b".to_vec()));
    assert_eq!(prefix_end(b"\xff\xff"), None);
    assert_eq!(prefix_end(b""), None);
}

#[test]
fn an_expiry_is_checked_before_it_is_sent() {
    assert_eq!(Expiry::of(TtlChange::Keep).unwrap(), None);
    let ttl = Expiry::of(TtlChange::For(Duration::from_micros(1500))).unwrap();
    assert_eq!(ttl, Some(Expiry { after: Some(2), at: None }));
    for refused in [Duration::ZERO, Duration::from_millis(i64::MAX.unsigned_abs())] {
        let error = Expiry::of(TtlChange::For(refused)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn of_a_key_named_twice_the_last_value_counts() {
    let (one, two) = (Key::from("b"), Key::from("a"));
    let entries =
        [(one.clone(), Bytes::from("1")), (two.clone(), Bytes::from("2")), (one, Bytes::from("3"))];
    let values: Vec<&[u8]> = last_of_each(&entries).into_values().map(|value| &**value).collect();
    assert_eq!(values, [b"2", b"3"]);
}

#[test]
fn a_full_page_goes_on_after_its_last_key() {
    let keys = vec![Key::from("a"), Key::from("b")];
    let full = page(keys.clone(), 2).into_page().unwrap();
    assert_eq!(full.next.as_deref(), Some(b"b".as_slice()));
    assert_eq!(page(keys, 3).into_page().unwrap().next, None);
}

#[test]
fn a_locked_row_is_live_only_with_a_value_that_has_not_expired() {
    let row = |value: Option<&'static str>, expires_at| LockedRow {
        key: Key::from("k"),
        version: Version { epoch: 1, counter: 7 },
        value: value.map(Bytes::from),
        expires_at,
    };
    let live = row(Some("v"), Some(11)).into_slot(2, 10);
    assert_eq!(live.next, Version { epoch: 2, counter: 8 });
    assert_eq!(live.stored.unwrap().version, Version { epoch: 1, counter: 7 });
    assert!(row(Some("v"), Some(10)).into_slot(2, 10).stored.is_none(), "expired");
    assert!(row(None, Some(5)).into_slot(2, 10).stored.is_none(), "a tombstone");
}

#[test]
fn a_newer_schema_is_refused_with_the_way_out() {
    assert!(check_schema(SCHEMA_VERSION).unwrap());
    assert!(!check_schema(0).unwrap());
    let error = check_schema(SCHEMA_VERSION + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.message().contains("upgrade"), "{error}");
}

#[test]
fn a_text_of_many_lines_becomes_one() {
    assert_eq!(one_line("a\n  b\tc"), "a b c");
    assert_eq!(one_line(&"x".repeat(400)).chars().count(), 301);
}
