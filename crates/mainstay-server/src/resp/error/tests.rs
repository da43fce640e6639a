use std::{sync::Arc, time::Duration};

use super::*;

fn line(error: Error) -> String {
    Failure::from(error).text().to_owned()
}

#[test]
fn the_callers_kinds_have_redis_words() {
    for (kind, message, expected) in [
        (
            ErrorKind::WrongType,
            "x",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (ErrorKind::NotInteger, "x", "ERR value is not an integer or out of range"),
        (ErrorKind::NotFloat, "x", "ERR value is not a valid float"),
        (ErrorKind::Overflow, "x", "ERR increment or decrement would overflow"),
        (
            ErrorKind::Overflow,
            "increment would produce NaN or Infinity",
            "ERR increment would produce NaN or Infinity",
        ),
        (ErrorKind::NoSuchKey, "x", "ERR no such key"),
        (ErrorKind::TooLarge, "too long", "ERR too long"),
        (ErrorKind::Fenced, "superseded", "FENCED superseded"),
        (ErrorKind::InvalidArgument, "ERR once", "ERR once"),
        (ErrorKind::Internal, "oops", "ERR internal error: oops"),
    ] {
        assert_eq!(line(Error::new(kind, message)), expected);
    }
}

#[test]
fn trouble_names_the_backend_the_outcome_and_the_time() {
    let redis: Arc<str> = Arc::from("redis");
    let open = Error::new(ErrorKind::BreakerOpen, "breaker open")
        .at(&redis)
        .retry_after(Duration::from_millis(4200));
    assert_eq!(line(open.clone()), "UNAVAILABLE redis breaker open; retry_after_ms=4200");
    let lost = Error::new(ErrorKind::Timeout, "no answer")
        .at(&Arc::from("db"))
        .with_effect(Effect::Unknown);
    assert_eq!(line(lost.clone()), "UNAVAILABLE db no answer; outcome unknown");
    assert_eq!(
        line(Error::unavailable(vec![open, lost])),
        "UNAVAILABLE redis breaker open, db no answer; outcome unknown; retry_after_ms=4200"
    );
    assert_eq!(line(Error::unavailable(vec![])), "UNAVAILABLE no backend is configured");
}

#[test]
fn a_line_is_one_line_and_short() {
    let error = Error::new(ErrorKind::Timeout, "é\r\n".repeat(400))
        .with_effect(Effect::Unknown)
        .retry_after(Duration::from_millis(5));
    let text = line(error);
    assert!(text.len() <= LINE_MAX && !text.contains(['\r', '\n']), "{text}");
    assert!(text.ends_with("; outcome unknown; retry_after_ms=5"), "{text}");
}
