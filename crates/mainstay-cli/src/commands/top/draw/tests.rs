use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, style::Color};
use serde_json::{Value as Json, json};

use super::{
    super::{feed::News, keys::Action, state::State},
    *,
};

/// 12:04:11 of some day.
const NOON: i64 = 1_767_268_800_000 + 251_000;

fn backend(name: &str, engine: &str, health: &str, since_ms: u64) -> Json {
    json!({
        "name": name, "engine": engine, "health": health, "health_since_ms": since_ms,
        "breaker": { "state": "closed", "reason": "start", "since_ms": since_ms, "failures": 0, "calls": 120 },
        "reconnect": { "connected": true, "attempts": 0 },
        "inflight": 3, "inflight_max": 64, "calls": { "success": 1000 },
        "latency_p50_ms": 0.512, "latency_p99_ms": 14.2,
    })
}

fn kpi(value: Option<f64>, target: Json, met: Option<bool>) -> Json {
    json!({ "value": value, "unit": "ratio", "target": target, "met": met })
}

fn normal() -> Json {
    json!({
        "version": "0.1.0", "draining": false, "health": "up", "uptime_ms": 10_800_000,
        "sentence": "redis answers reads of copies, db takes writes.", "warnings": [],
        "backends": [backend("redis", "redis", "up", 10_800_000), backend("db", "postgres", "up", 10_800_000)],
        "routes": [
            { "prefix": "user:", "description": "redis -> db(record)", "promise": "durable", "readable": true, "writable": true },
            { "prefix": "", "description": "memory", "promise": "gone with the process", "readable": true, "writable": true },
        ],
        "requests": [{ "route": "user:", "count": 4000 }],
        "locks": { "mode": "none" },
        "kpis": {
            "error_rate": kpi(Some(0.002), json!({ "below": 0.01 }), Some(true)),
            "fallback_rate": kpi(Some(0.0), json!({ "below": 0.05 }), Some(true)),
            "hit_rate": kpi(Some(0.934), json!({ "above": 0.8 }), Some(true)),
            "connection_success": kpi(Some(1.0), json!({ "above": 0.99 }), Some(true)),
            "recovery_time": { "value": null, "unit": "seconds", "target": { "below": 30.0 }, "met": null },
        },
    })
}

fn outage() -> Json {
    let mut document = normal();
    document["health"] = json!("degraded");
    document["sentence"] = json!(
        "redis has been down for 41 s (Connection refused): db serves reads and writes instead; reads through other \
         Mainstay processes may be up to 2 s old. Next try in 4 s. 1,204 keys wait to be caught up in redis."
    );
    document["warnings"] = json!(["redis goes out of service and comes back too often"]);
    let redis = &mut document["backends"][0];
    redis["health"] = json!("down");
    redis["health_since_ms"] = json!(41_000);
    redis["breaker"] = json!({ "state": "open", "reason": "5 failures in a row", "since_ms": 40_000,
        "retry_in_ms": 4200.5, "failures": 5, "calls": 12 });
    redis["reconnect"] = json!({ "connected": false, "attempts": 7, "next_in_ms": 4200.5 });
    redis["last_error"] = json!({ "kind": "disconnected", "message": "Connection refused (os error 111)", "age_ms": 2000 });
    document["backends"][1]["drained"] = json!(true);
    document["backends"][1]["drained_for_ms"] = json!(59_900.0);
    document["routes"][0]["writable"] = json!(false);
    document["kpis"]["fallback_rate"] = kpi(Some(0.125), json!({ "below": 0.05 }), Some(false));
    document["caches"] = json!([{ "cache": "redis", "record": "db", "phase": "down", "since_ms": 41_000,
        "readable": false, "reason": "the cache does not answer", "dirty_keys": 1204 }]);
    document["journal"] =
        json!({ "depth": 12, "oldest_age_ms": 9000.0, "dead_letters": 1, "full": true });
    document["locks"] =
        json!({ "mode": "redis", "guarantee": "best_effort", "held": 2, "lost": 1 });
    document
}

fn state(document: &Json) -> State {
    let first = serde_json::from_value(document.clone()).unwrap();
    let mut state = State::new("127.0.0.1:6391", Duration::from_secs(1), first, NOON);
    for id in 1..=30 {
        let event = json!({ "id": id, "unix_ms": NOON, "backend": "redis", "kind": "connection",
            "connected": false, "attempt": id, "reason": "Connection refused (os error 111)" });
        state.learn(News::Event(event), NOON);
    }
    state
}

fn buffer(state: &State, now: i64, (width, height): (u16, u16), color: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| {
            draw(state, now, Look { color }, frame.area(), frame.buffer_mut());
        })
        .unwrap();
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    cells.chunks(width).map(|row| row.concat().trim_end().to_owned()).collect()
}

fn shown(state: &State, now: i64, size: (u16, u16)) -> Vec<String> {
    rows(&buffer(state, now, size, false))
}

#[track_caller]
fn assert_shows(rows: &[String], texts: &[&str]) {
    for text in texts {
        assert!(rows.iter().any(|row| row.contains(text)), "{text:?} in\n{}", rows.join("\n"));
    }
}

#[test]
fn all_is_well_at_80_by_24() {
    let mut state = state(&normal());
    let mut later = normal();
    later["uptime_ms"] = json!(10_801_000);
    later["requests"][0]["count"] = json!(4250);
    later["backends"][0]["calls"]["success"] = json!(1240);
    later["backends"][1]["calls"]["success"] = json!(1004);
    state.learn(News::Status(Box::new(serde_json::from_value(later).unwrap())), NOON);
    let rows = shown(&state, NOON, (80, 24));
    let expected = [
        "\u{25cf} HEALTHY  mainstay 0.1.0  up 3h  127.0.0.1:6391",
        "redis answers reads of copies, db takes writes.",
        "errors 0.2 % \u{2713} < 1 %      fallback 0 % \u{2713} < 5 %     requests 250/s",
        "hit rate 93.4 % \u{2713} > 80 %  connects 100 % \u{2713} > 99 %  recovery - (< 30 s)",
        "  BACKEND  HEALTH   BREAKER  REQ/S  FAILED  P50/P99 MS  IN FLIGHT  ENGINE",
        "> 1 redis  \u{25cf} up 3h  closed     240   0/120      0.5/14       3/64  redis",
        "  2 db     \u{25cf} up 3h  closed     4.0   0/120      0.5/14       3/64  postgres",
        "  redis (redis); breaker closed for 3h (start); 0 of 120 calls failed;",
        "  connected; p50 0.5 ms, p99 14 ms; 3 of 64 in flight, 0 queued; since start",
        "  1240 answered, 0 failed, 0 refused, 0 shed",
        "routes   user:  redis -> db(record)  \u{25cf} serves  250/s  durable",
        "         *  memory  \u{25cf} serves  gone with the process",
    ];
    assert_eq!(rows[..expected.len()], expected, "\n{}", rows.join("\n"));
    assert!(rows[12].starts_with("EVENTS  20 older \u{2500}"), "{}", rows[12]);
    assert!(rows[22].starts_with("12:04:11.000Z  redis    connection failed, attempt 30"));
    assert_eq!(rows[23], "q end  p pause  ? help  up/down events  Tab backend");
}

#[test]
fn an_outage_is_told_in_words_and_counts_down() {
    let state = state(&outage());
    let rows = shown(&state, NOON + 1000, (80, 40));
    assert_shows(
        &rows,
        &[
            "\u{25b2} DEGRADED",
            "warning: redis goes out of service",
            "fallback 12.5 % \u{2717} not < 5 %",
            "> 1 redis  \u{2716} down 42s",
            "open, try 3s",
            "\u{25b2} up 3h, drained 58s",
            "5/12",
            "last error: Connection refused (os error 111) (3s ago)",
            "attempts, next 3s;",
            "\u{25b2} reads only",
            "redis before db \u{2716} down 42s, 1204 keys to catch up (the cache",
            "12 writes wait, oldest 10s, 1 dead letters; FULL: it refuses",
            "redis (best_effort): 2 held, 0 waiting, 0 granted, 1 lost",
        ],
    );
}

#[test]
fn a_wide_terminal_has_room_for_the_last_error() {
    let rows = shown(&state(&outage()), NOON, (160, 50));
    let redis = rows.iter().find(|row| row.contains("> 1 redis")).unwrap();
    assert!(redis.ends_with("redis     Connection refused (os error 111) (2s ago)"), "{redis}");
    // Six figures in one line.
    assert_shows(&rows, &["LAST ERROR"]);
    let figures = rows.iter().find(|row| row.contains("errors 0.2 %")).unwrap();
    assert!(figures.contains("recovery - (< 30 s)"), "{figures}");
}

#[test]
fn a_narrow_terminal_keeps_the_states_and_says_what_was_cut() {
    let rows = shown(&state(&outage()), NOON, (60, 24));
    assert_shows(
        &rows,
        &["> 1 redis  \u{2716} down 41s", "open, try 4s", "  2 db     \u{25b2} up 3h, drained 59s"],
    );
    assert!(!rows.iter().any(|row| row.contains("ENGINE")), "{}", rows.join("\n"));
    let event = rows.iter().rfind(|row| row.contains("attempt 30")).unwrap();
    assert!(event.ends_with('\u{2026}') && event.chars().count() == 60, "{event}");
}

#[test]
fn a_lost_server_is_said_with_the_time_and_the_reason() {
    let mut state = state(&normal());
    state.learn(News::Lost("cannot connect to 127.0.0.1:6391".to_owned()), NOON + 1000);
    state.learn(News::StreamLost, NOON + 1000);
    let buffer = buffer(&state, NOON + 5000, (100, 24), false);
    let rows = rows(&buffer);
    let stale = "stale since 12:04:11Z: cannot connect to 127.0.0.1:6391; trying again";
    assert_shows(&rows, &[stale, "no events since 12:04:12Z; trying again"]);
    assert!(buffer.content().iter().all(|cell| cell.modifier.contains(Modifier::DIM)));
    state.act(Action::Pause, NOON + 6000);
    assert_shows(&shown(&state, NOON + 7000, (80, 24)), &["PAUSED", "stale since"]);
}

#[test]
fn older_events_are_reached_and_the_newer_counted() {
    let mut state = state(&normal());
    state.shown(5);
    state.act(Action::PageOlder, NOON);
    let rows = shown(&state, NOON, (80, 24));
    assert_shows(&rows, &["5 newer below", "attempt 25"]);
    assert!(!rows.iter().any(|row| row.contains("attempt 26")));
}

#[test]
fn the_help_lies_over_everything() {
    let mut state = state(&normal());
    state.act(Action::Help, NOON);
    assert_shows(&shown(&state, NOON, (80, 24)), &["none changes anything", "q, Esc, Ctrl-C  end"]);
}

#[test]
fn without_colours_the_words_are_the_same_and_no_cell_has_one() {
    let state = state(&outage());
    let (plain, painted) =
        (buffer(&state, NOON, (120, 40), false), buffer(&state, NOON, (120, 40), true));
    assert_eq!(rows(&plain), rows(&painted));
    let has_color = |buffer: &Buffer| {
        buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(has_color(&painted) && !has_color(&plain));
}

#[test]
fn nothing_that_a_server_says_reaches_the_terminal_as_a_command() {
    let mut document = outage();
    document["sentence"] = json!("a\u{1b}[31mb \u{7}c");
    document["backends"][0]["name"] = json!("re\u{1b}[2Jdis\u{9b}");
    let mut state = state(&document);
    let event =
        json!({ "id": 31, "backend": "x\r\n", "kind": "health", "reason": "\u{1b}]0;x\u{7}" });
    state.learn(News::Event(event), NOON);
    let buffer = buffer(&state, NOON, (120, 40), true);
    assert!(!buffer.content().iter().any(|cell| cell.symbol().contains(char::is_control)));
}

#[test]
fn every_size_is_drawn() {
    let (full, empty) = (state(&outage()), state(&json!({})));
    for width in (0..12).chain([40, 60, 81, 300]) {
        for height in (0..30).chain([100]) {
            for state in [&full, &empty] {
                let area = Rect::new(0, 0, width, height);
                let mut buffer = Buffer::empty(area);
                let room = draw(state, NOON, Look { color: true }, area, &mut buffer);
                assert!(room <= usize::from(height));
            }
        }
    }
}

#[test]
fn more_backends_than_there_is_room_for_are_counted_and_reached() {
    let mut document = normal();
    let many = (0..20).map(|n| backend(&format!("node{n}"), "redis", "up", 1000));
    document["backends"] = many.collect();
    let mut state = state(&document);
    assert_shows(&shown(&state, NOON, (80, 24)), &["> 1 node0", "6 of 20 backends"]);
    state.act(Action::PreviousBackend, NOON);
    assert_shows(&shown(&state, NOON, (80, 24)), &[">   node19"]);
}
