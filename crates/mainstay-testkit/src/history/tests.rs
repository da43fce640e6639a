//! The recorder under many threads, the report, the renderings and the dump.

use std::sync::Barrier;

use super::story::{Story, v};
use super::*;

/// A run in which everything was done and nothing went wrong.
fn good() -> Story {
    let story = Story::new();
    story.0.mark(MarkKind::Fault("redis killed".to_owned()), 2);
    story.put(1, 7, 1, (1, 5));
    story.get(2, Some(7), v(1), (6, 8));
    story.cas(2, 1, 8, 2, (9, 12));
    story.unknown(3, Call::Put(9), (13, 20));
    story.fail(3, Call::Put(10), (21, 22));
    story.0.mark(MarkKind::Healed, 23);
    story.delete(1, 4, (24, 25));
    story.get_as(1, None, v(4), Freshness::Bounded(10), (26, 27));
    story.0.mark(MarkKind::Recovered, 28);
    story.last(None, v(4));
    story.0.final_copy("redis", "k", v(4));
    story
}

#[test]
fn a_good_run_passes_and_leaves_nothing_unexamined() {
    let report = Report::of(&good().0.trace());
    assert!(report.passed(), "{report}");
    assert_eq!(report.unexamined(), []);
    let expected =
        Counts { reads: 2, durable: 3, weaker: 0, refused: 0, failed: 1, unknown: 1, open: 0 };
    assert_eq!(report.counts, expected);
}

#[test]
fn an_empty_run_says_that_nothing_was_examined() {
    let report = Report::of(&Trace::default());
    assert!(report.passed());
    assert_eq!(report.unexamined(), Promise::ALL);
}

#[test]
fn every_promise_can_be_broken_and_is_counted_as_its_own() {
    let story = good();
    story.put(1, 11, 5, (30, 31));
    story.get(1, Some(7), v(1), (40, 41));
    story.cas(2, 1, 12, 3, (42, 43));
    story.put(2, 12, 3, (44, 45));
    story.0.record_unreachable(2, 44, 45);
    story.0.final_copy("memory", "k", v(1));
    let report = Report::of(&story.0.trace());
    for promise in Promise::ALL {
        assert!(report.seen(promise) > 0, "{promise}:\n{report}");
    }
    assert!(!report.passed());
}

#[test]
fn a_report_shows_the_calls_that_matter_in_the_order_of_time() {
    let story = Story::new();
    story.put(1, 6, 1, (1, 2));
    let old = story.put(1, 7, 2, (3, 4));
    story.0.mark(MarkKind::Fault("redis paused".to_owned()), 5);
    let new = story.put(1, 8, 3, (6, 7));
    let read = story.get(2, Some(7), v(2), (10, 11));
    story.put(1, 9, 4, (100, 101));
    let other = story.0.invoke(1, 1, "other", Call::Put(99), 6).unwrap();
    story.0.unknown(other, 7);
    let trace = story.0.trace();
    let report = Report::of(&trace);
    let violation =
        report.violations().find(|found| found.promise == Promise::Linearizable).unwrap();
    assert_eq!(violation.ops, [old, new, read]);
    let text = trace.explain(violation);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with('>') && lines[0].contains("put 7: v1.2 Durable"), "{text}");
    assert!(lines[1].contains("fault: redis paused"), "{text}");
    assert!(lines[2].starts_with('>') && lines[2].contains("put 8"), "{text}");
    assert!(lines[3].contains("get: 7 v1.2 Linearizable from Record"), "{text}");
    let shown = report.to_string();
    assert!(shown.contains("BAD linearizable register"), "{shown}");
    assert!(shown.contains("oldest linearizable") && shown.contains("3 us"), "{shown}");
    assert!(shown.contains(&text), "{shown}");
}

#[test]
fn an_explanation_is_short_however_long_the_run() {
    let story = Story::new();
    story.put(1, 1_000, 1, (1, 2));
    for n in 0..200 {
        story.put(1, n, n + 2, (10 * n + 10, 10 * n + 15));
    }
    story.get(2, Some(1_000), v(1), (5_000, 5_001));
    let trace = story.0.trace();
    let report = Report::of(&trace);
    for violation in report.violations() {
        assert!(trace.explain(violation).lines().count() <= 20);
    }
    assert!(trace.render_key("k").lines().count() == 202);
}

#[test]
fn many_threads_write_one_history() {
    let history = History::bounded(4_000);
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (history, barrier) = (history.clone(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                for t in 0..1_000 {
                    let id = history.invoke(client, client, "k", Call::Get, t).unwrap();
                    history.unknown(id, t);
                }
            });
        }
    });
    let trace = history.trace();
    assert_eq!((trace.ops.len(), trace.mistakes_seen, trace.refused), (4_000, 0, 0));
    assert!(trace.ops.iter().all(|op| op.ended().is_some_and(|at| at > op.invoked)));
}

#[test]
fn the_dump_is_one_object_a_line_in_the_order_of_time() {
    let text = good().0.trace().jsonl();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2 * 7 + 3 + 1 + 1);
    let times: Vec<u64> = lines.iter().filter_map(|line| line["t"].as_u64()).collect();
    assert!(times.is_sorted(), "{text}");
    let count = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert_eq!((count("invoke"), count("ok"), count("info"), count("fail")), (7, 5, 1, 1));
    let put = &lines[0];
    assert_eq!((&put["f"], &put["v"], &put["k"]), (&"put".into(), &7.into(), &"k".into()));
    let read = lines.iter().find(|line| line["fresh"] == "lin").unwrap();
    assert_eq!(read["ver"], serde_json::json!([1, 1]));
}
