use super::*;

#[test]
fn a_prefix_is_no_pattern() {
    assert_eq!(pattern(b""), b"*");
    assert_eq!(pattern(b"user:"), b"user:*");
    assert_eq!(pattern(b"a*b?[c]\\"), b"a\\*b\\?\\[c\\]\\\\*");
    assert_eq!(pattern(b"\xff\0"), b"\xff\0*");
}

#[test]
fn a_cursor_survives_its_trip() {
    let cursor = Cursor { slot: 16383, run: "ab.c".to_owned(), at: u64::MAX };
    assert_eq!(Cursor::decode(&cursor.encode()).expect("our own"), cursor);
    let nameless = Cursor { slot: 0, run: String::new(), at: 7 };
    assert_eq!(Cursor::decode(&nameless.encode()).expect("our own"), nameless);
    for foreign in [&b""[..], b"17", b"1.2", b"x.2.r", b"\xff"] {
        let error = Cursor::decode(foreign).expect_err("not ours");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
