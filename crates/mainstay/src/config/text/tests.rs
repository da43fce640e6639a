//! Quantities and redaction.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn durations_are_read() {
    for (text, millis) in [
        ("0s", 0),
        ("250ms", 250),
        ("5s", 5_000),
        ("1.5h", 5_400_000),
        ("10m", 600_000),
        ("7d", 604_800_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
}

#[test]
fn what_is_no_duration_is_refused_with_the_fix() {
    for (text, expected) in [
        ("5", format!("5 has no unit: {DURATION_RULE}; write \"5s\" if that is what is meant")),
        ("", format!("``: {DURATION_RULE}")),
        ("s", format!("`s`: {DURATION_RULE}")),
        ("5 s", format!("`5 s`: {DURATION_RULE}")),
        ("-5s", format!("`-5s`: {DURATION_RULE}")),
        ("1.2.3s", format!("`1.2.3s`: {DURATION_RULE}")),
        ("redis://user:secret@host:6379/0", DURATION_RULE.to_owned()),
        ("300000000000d", "`d` times that number is too large".to_owned()),
    ] {
        assert_eq!(parse_duration(text), Err(expected), "{text}");
    }
}

#[test]
fn sizes_are_read() {
    assert_eq!(parse_size("64MiB"), Ok(64 << 20));
    assert_eq!(parse_size("1.5KB"), Ok(1500));
    assert_eq!(
        parse_size("64"),
        Err(format!("64 has no unit: {SIZE_RULE}; write \"64MiB\" if that is what is meant"))
    );
}

#[test]
fn urls_are_redacted() {
    for (url, shown) in [
        ("", ""),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:pw@host:6379/0", "redis://***@host:6379/0"),
        ("postgres://u:p@h1,h2:5432/db?sslmode=require", "postgres://***@h1,h2:5432/db?***"),
        ("redis://u:p/w@host", "redis://***@host"),
        ("redis://u:p?w@host", "redis://***"),
        ("redis://host?password=a@b", "redis://***"),
        ("redis://host#password", "redis://host?***"),
        ("redis+unix:///run/redis.sock?password=x", "redis+unix:///run/redis.sock?***"),
        ("sqlite:./data/app.db", "sqlite:./data/app.db"),
        ("host=db password=pw:x", "***"),
        ("secret", "***"),
    ] {
        assert_eq!(redact_url(url), shown, "{url}");
    }
}

proptest! {
    #[test]
    fn durations_survive_writing_and_reading(nanos in 0_u64..u64::MAX / 1000) {
        let duration = Duration::from_micros(nanos / 1000);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }

    #[test]
    fn sizes_survive_writing_and_reading(bytes in any::<u64>()) {
        prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
    }

    #[test]
    fn no_password_survives_redaction(
        scheme in "redis|rediss|postgres|mysql|redis-sentinel",
        user in "[a-z]{0,4}",
        // Upper case, so that it cannot be a part of the rest by chance; with what a careless user does not escape.
        password in "[A-Z][A-Z0-9/?#@:&=%]{3,20}[A-Z]",
        query in "(\\?[a-z]{1,5}=[a-z@/]{1,5})?",
    ) {
        let shown = redact_url(&format!("{scheme}://{user}:{password}@host:1/db{query}"));
        prop_assert!(!shown.chars().any(|c| c.is_ascii_uppercase()), "{}", shown);
    }

    #[test]
    fn any_text_is_read_or_refused_in_one_short_line(text in "[0-9a-zA-Z.\\n -]{0,40}") {
        if let Ok(bytes) = parse_size(&text) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
        if let Err(problem) = parse_duration(&text) {
            prop_assert!(problem.len() < 200 && !problem.contains('\n'), "{}", problem);
        }
        prop_assert!(redact_url(&text).len() <= text.len() + "***@?***".len());
    }
}

/// Found by the fuzz target `quantities`.
#[test]
fn what_is_finer_than_a_microsecond_is_written_as_it_was_read() {
    for (text, micros) in [(".999999999999s", 999_999), ("0.0001us", 1), ("1.5us", 1), ("0us", 0)] {
        let read = parse_duration(text).unwrap();
        assert_eq!(read, Duration::from_micros(micros), "{text}");
        assert_eq!(parse_duration(&format_duration(read)), Ok(read), "{text}");
    }
}

#[test]
fn an_option_is_named_unless_it_may_be_a_piece_of_a_password() {
    assert_eq!(shown_option("redis://h?nonsense=1", "nonsense"), "nonsense");
    for (url, name) in
        [("redis://u:pa?ss@h", "ss@h"), ("redis://u:pa?ss=1@h", "ss"), ("r://h?a%20b", "a%20b")]
    {
        assert_ne!(shown_option(url, name), name, "{url}");
    }
}
