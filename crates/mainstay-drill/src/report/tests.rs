use super::*;
use crate::scenario::named;

fn verdict(text: &str, met: bool, shown: &str) -> Verdict {
    let threshold = text.parse().unwrap();
    Verdict { threshold, met, value: Some(1.0), shown: shown.to_owned() }
}

fn second(at: u64) -> SecondReport {
    SecondReport {
        requests: 200,
        failed: at % 2,
        p50_ms: Some(0.4),
        p99_ms: (at != 3).then_some(2.0),
        max_ms: 9.0,
        sources: [("db".to_owned(), 100 + at), ("redis".to_owned(), 100 - at)].into(),
        backends: [("db".to_owned(), backend()), ("redis".to_owned(), backend())].into(),
        waiting: 0,
    }
}

fn phase(phase: Phase, from_ms: u64, to_ms: u64) -> PhaseReport {
    PhaseReport {
        phase,
        from_ms,
        to_ms,
        requests: 1000,
        failed: 1,
        stale: 0,
        p50_ms: Some(0.4),
        p99_ms: None,
        max_ms: 9.0,
    }
}

fn span(state: &str, from_ms: u64, to_ms: u64) -> Span {
    Span { state: state.to_owned(), from_ms, to_ms }
}

/// A report of a drill that failed, with something in each of its parts.
pub(crate) fn example() -> Report {
    Report {
        mainstay: "0.1.0".to_owned(),
        scenario: named("redis-outage").unwrap(),
        passed: false,
        began_unix_ms: 1,
        seed: 7,
        places: Vec::new(),
        targets: vec!["redis".to_owned()],
        routes: vec!["* redis -> db(record)".to_owned()],
        notes: vec!["a <note>".to_owned()],
        phases: vec![
            phase(Phase::Steady, 0, 2000),
            phase(Phase::Fault, 2000, 5000),
            phase(Phase::Recovery, 5000, 6000),
            phase(Phase::After, 6000, 8000),
        ],
        opened_ms: Some(120),
        recovery_ms: Some(1900),
        thresholds: vec![
            verdict("failed == 0", false, "4 of 4,000"),
            verdict("recovery < 30s", true, "1.9s after healing"),
        ],
        verification: Verification { examples: vec!["k & r".to_owned()], ..Default::default() },
        locks: Some(LockCounts::default()),
        errors: [("ERR".to_owned(), ErrorReport { count: 1, example: "ERR <b>".to_owned() })]
            .into(),
        seconds: (0..8).map(second).collect(),
        lanes: vec![Lane {
            backend: "redis".to_owned(),
            spans: vec![span("closed", 0, 2100), span("open", 2100, 8000)],
        }],
        timeline: vec![Line {
            at_ms: 100,
            word: "OPEN".to_owned(),
            text: "redis: \"refused\"".to_owned(),
            bad: true,
        }],
        advice: vec![Advice {
            setting: "backends.redis.breaker.failures".to_owned(),
            now: "1000000".to_owned(),
            change: "5".to_owned(),
            because: "off".to_owned(),
        }],
    }
}

fn backend() -> BackendSecond {
    BackendSecond {
        breaker: "closed".to_owned(),
        health: "up".to_owned(),
        ok: 100,
        failed: 1,
        refused: 0,
        inflight: 3,
        attempts: 1,
    }
}

#[test]
fn it_survives_json() {
    let report = example();
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn the_page_is_one_file_with_everything_escaped() {
    let page = html(&example());
    for part in [
        "✗ missed",
        "4 of 4,000",
        "backends.redis.breaker.failures",
        "a &lt;note&gt;",
        "ERR &lt;b&gt;",
        "prefers-color-scheme:dark",
        "class=\"state open\"",
        "class=\"shade fault\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for outside in ["<script", "http://", "https://", "src=", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert_eq!(page.matches("<figure>").count(), 6);
    assert!(!page.contains("NaN"));
}

#[test]
fn each_threshold_is_a_test_case() {
    let xml = junit(&example());
    assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
    assert_eq!(xml.matches("<testcase").count(), 2);
    assert_eq!(xml.matches("<failure").count(), 1);
    assert!(xml.contains("recovery &lt; 30s"));
}

#[test]
fn two_reports_are_compared_line_by_line() {
    let first = example();
    let mut second = first.clone();
    second.recovery_ms = Some(4000);
    second.thresholds[0].met = true;
    let text = compare(&first, &second);
    let line =
        |name: &str| text.lines().find(|line| line[2..].starts_with(name)).unwrap().to_owned();
    assert!(line("recovery ").starts_with('*') && line("recovery ").contains("4.0s"));
    assert!(line("failed requests == 0").contains("✗ 4 of 4,000"));
    assert!(line("stale reads").starts_with(' '));
}

#[test]
fn numbers_and_times_are_for_people() {
    assert_eq!([0, 999, 1000, 1234567].map(number), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!(
        [0, 100, 15_630, 61_000, -2500].map(clock),
        ["00:00.0", "00:00.1", "00:15.6", "01:01.0", "-00:02.5"]
    );
}
