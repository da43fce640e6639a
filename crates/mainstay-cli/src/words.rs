//! How an event reads in one line, as the server logs it, and the day and the time of it.
//! It must not know where events come from, nor where the line goes.

use serde_json::Value as Json;

use crate::output::Tone;

/// A part of a line, and its colour.
pub(crate) type Piece = (Option<Tone>, String);

/// `12:04:11.250Z  redis    breaker closed -> open: 5 failures in a row`.
pub(crate) fn event(event: &Json) -> Vec<Piece> {
    let time = clock(event["unix_ms"].as_i64().unwrap_or(0));
    let backend = event["backend"].as_str().unwrap_or("-");
    let mut pieces = vec![(Some(Tone::Faint), time), (None, format!("  {backend:<8} "))];
    pieces.extend(what(event));
    let reason = event["reason"].as_str().filter(|reason| !reason.is_empty());
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let actor = event["actor"].as_str().filter(|actor| *actor != "system");
    let actor = actor.map_or_else(String::new, |actor| format!(" (by {actor})"));
    pieces.push((None, format!("{reason}{actor}{}", retry(event))));
    pieces
}

/// What happened, without time, backend and reason.
fn what(event: &Json) -> Vec<Piece> {
    let kind = event["kind"].as_str().unwrap_or("event");
    let text = |key: &str| event[key].as_str().unwrap_or("?");
    let number = |key: &str| event[key].as_u64().unwrap_or(0);
    let plain = |text: String| vec![(None, text)];
    match kind {
        "breaker" | "health" | "lifecycle" => {
            let tone = match text("to") {
                "closed" | "up" => Tone::Good,
                "open" | "down" | "isolated" => Tone::Bad,
                _ => Tone::Warning,
            };
            let from = (None, format!("{kind} {} -> ", text("from")));
            vec![from, (Some(tone), text("to").to_owned())]
        }
        "connection" if event["connected"] == true => vec![
            (Some(Tone::Good), "connected".to_owned()),
            (None, format!(", attempt {}", number("attempt"))),
        ],
        "connection" => plain(format!("connection failed, attempt {}", number("attempt"))),
        "stuck_reset" => plain(format!("client rebuilt after {} attempts", number("attempts"))),
        "drain" if event["drained"] == true => plain("out of use".to_owned()),
        "drain" => plain("back in use".to_owned()),
        "drill" => plain(format!("fault {}", text("state"))),
        "readmission" => plain(format!("readmitted, {} keys caught up", number("keys"))),
        "flapping" if event["active"] == true => vec![
            (Some(Tone::Bad), "flapping".to_owned()),
            (None, format!(": out of service {} times", number("switches"))),
        ],
        "flapping" => plain("no longer flapping".to_owned()),
        "config" if text("state") == "reloaded" => plain(format!(
            "configuration reloaded, {} applied, {} need a restart",
            number("applied"),
            number("restart")
        )),
        "config" => plain(format!("configuration {}, nothing changed", text("state"))),
        "storage" | "copies" | "lock" | "journal" | "history" | "certificate" => {
            plain(format!("{kind} {}", text("state")))
        }
        other => plain(other.to_owned()),
    }
}

/// `; next try in 4.2s`, where the event says so.
fn retry(event: &Json) -> String {
    let ms = event["retry_in_ms"].as_f64().filter(|ms| *ms >= 1.0);
    ms.map_or_else(String::new, |ms| format!("; next try in {:.1}s", ms / 1000.0))
}

/// `2026-02-28`, in UTC.
pub(crate) fn day(event: &Json) -> String {
    // Whatever the server says, the loop ends: the last day of the year 9999.
    let days = event["unix_ms"].as_i64().unwrap_or(0).div_euclid(86_400_000);
    let mut days = days.clamp(0, 2_932_896);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

/// The time of day in UTC.
pub(crate) fn clock(unix_ms: i64) -> String {
    let of_day = unix_ms.rem_euclid(86_400_000);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use mainstay::EventKind;
    use serde_json::json;

    use super::*;

    fn line(json: &Json) -> String {
        event(json).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn events_read_as_they_are_logged() {
        for kind in [
            EventKind::Breaker { from: "closed", to: "half_open" },
            EventKind::Health { from: "up", to: "down" },
            EventKind::Connection { connected: true, attempt: 3 },
            EventKind::Connection { connected: false, attempt: 2 },
            EventKind::StuckReset { attempts: 50 },
            EventKind::Drain { drained: true },
            EventKind::Drain { drained: false },
            EventKind::Drill { state: "injected" },
            EventKind::Readmission { keys: 7 },
            EventKind::Storage { state: "closing" },
            EventKind::Lifecycle { from: "up", to: "suspect" },
            EventKind::Copies { state: "degraded" },
            EventKind::Lock { state: "lost" },
            EventKind::Flapping { active: true, switches: 6 },
            EventKind::Flapping { active: false, switches: 2 },
            EventKind::History { state: "damaged" },
        ] {
            let json = serde_json::to_value(&kind).unwrap();
            let shown = line(&json);
            assert_eq!(shown, format!("00:00:00.000Z  {:<8} {kind}", "-"));
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (unix_ms, expected) in [
            (0, "1970-01-01"),
            (951_782_400_000_i64, "2000-02-29"),
            (1_709_251_199_999, "2024-02-29"),
            (1_767_225_599_999, "2025-12-31"),
        ] {
            assert_eq!(day(&json!({ "unix_ms": unix_ms })), expected);
        }
    }

    #[test]
    fn events_read_as_one_line() {
        for (event, expected) in [
            (
                json!({"id": 1, "unix_ms": 43_451_250, "backend": "redis", "kind": "breaker",
                       "from": "closed", "to": "open", "reason": "5 failures in a row"}),
                "12:04:11.250Z  redis    breaker closed -> open: 5 failures in a row",
            ),
            (
                json!({"id": 1, "unix_ms": 0, "backend": "redis", "kind": "breaker",
                       "from": "closed", "to": "isolated", "reason": "forced: upgrade",
                       "actor": "cli 127.0.0.1", "retry_in_ms": 60_000.0}),
                "00:00:00.000Z  redis    breaker closed -> isolated: forced: upgrade (by cli 127.0.0.1); next try in 60.0s",
            ),
            (
                json!({"id": 2, "unix_ms": -1, "kind": "storage", "state": "open", "reason": ""}),
                "23:59:59.999Z  -        storage open",
            ),
            (
                json!({"id": 3, "unix_ms": 0, "backend": "db", "kind": "connection",
                       "connected": false, "attempt": 2, "reason": "refused"}),
                "00:00:00.000Z  db       connection failed, attempt 2: refused",
            ),
        ] {
            assert_eq!(line(&event), expected);
        }
    }
}
