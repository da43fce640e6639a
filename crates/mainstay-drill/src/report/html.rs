//! The report as one HTML file: styles and plots inside, no script, light and dark.
//! It must not judge: it shows what the data says.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    Report, clock,
    junit::escape,
    millis, number,
    plot::{Axis, Frame, Kind, Lane, Series, Shade, State},
};
use crate::{judge::time, machine::Phase, watch::BackendSecond};

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn html(report: &Report) -> String {
    let name = escape(&report.scenario.name);
    let body = [
        head(report),
        advice(report),
        thresholds(report),
        plots(report),
        phases(report),
        verification(report),
        timeline(report),
        setup(report),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{} {name} – Mainstay drill</title><style>\n{STYLE}</style></head><body>\n{}\n</body></html>\n",
        verdict(report),
        body.join("\n")
    )
}

fn verdict(report: &Report) -> &'static str {
    if report.passed { "PASS" } else { "FAIL" }
}

fn head(report: &Report) -> String {
    let class = if report.passed { "pass" } else { "fail" };
    format!(
        "<header><h1><span class=\"verdict {class}\">{}</span>{}</h1><p>{}</p><p>{}</p></header>",
        verdict(report),
        escape(&report.scenario.name),
        escape(&report.scenario.description),
        escape(&report.sentence())
    )
}

fn advice(report: &Report) -> String {
    if report.passed {
        return String::new();
    }
    let mut text = "<section><h2>What to change</h2>".to_owned();
    if report.advice.is_empty() {
        text.push_str(
            "<p>No setting stands out. The timeline and the errors below say what was felt.</p>",
        );
    }
    for advice in &report.advice {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<div class=\"advice\"><code>{}</code> is <code>{}</code>. Write {}.<br><span class=\"dim\">{}.</span></div>",
            escape(&advice.setting),
            escape(&advice.now),
            escape(&advice.change),
            escape(&advice.because)
        );
    }
    text + "</section>"
}

fn thresholds(report: &Report) -> String {
    let rows = report.thresholds.iter().map(|verdict| {
        let (mark, class) = if verdict.met { ("✓ met", "pass") } else { ("✗ missed", "fail") };
        vec![
            format!("<td class=\"{class}\">{mark}</td>"),
            cell(&verdict.threshold.label()),
            cell(&verdict.shown),
        ]
    });
    section("Thresholds", &["", "must hold", "measured"], rows)
}

fn phases(report: &Report) -> String {
    let rows = report.phases.iter().map(|phase| {
        let optional = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), time);
        let length = millis(phase.to_ms.saturating_sub(phase.from_ms));
        let cells = [
            time(length),
            number(phase.requests),
            number(phase.failed),
            number(phase.stale),
            optional(phase.p50_ms),
            optional(phase.p99_ms),
            time(phase.max_ms),
        ];
        let cells = cells.map(|text| format!("<td class=\"n\">{}</td>", escape(&text)));
        [vec![cell(phase.phase.as_str())], cells.to_vec()].concat()
    });
    let heads =
        ["phase", "n:length", "n:requests", "n:failed", "n:stale", "n:p50", "n:p99", "n:slowest"];
    section("Phases", &heads, rows)
}

fn verification(report: &Report) -> String {
    let verification = &report.verification;
    let mut facts = vec![
        ("writes and deletes acknowledged", verification.acknowledged),
        ("keys read back", verification.keys),
        ("acknowledged writes lost", verification.lost),
        ("deleted keys back", verification.deleted_back),
        ("values that nobody wrote", verification.unexplained),
        ("stale reads in all", verification.stale),
    ];
    if let Some(locks) = &report.locks {
        facts.extend([
            ("locks granted", locks.granted),
            ("asked for while held", locks.contended),
            ("two holders at once", locks.overlaps),
            ("tokens out of order", locks.disorder),
            ("lock requests that failed", locks.failed),
        ]);
    }
    let rows = facts
        .into_iter()
        .map(|(name, count)| vec![cell(name), format!("<td class=\"n\">{}</td>", number(count))]);
    let mut text = section("Verification", &["", "n:"], rows);
    for example in &verification.examples {
        let _ = write!(text, "<p class=\"mono bad\">{}</p>", escape(example));
    }
    let errors = report.errors.iter().map(|(kind, errors)| {
        let count = format!("<td class=\"n\">{}</td>", number(errors.count));
        vec![cell(kind), count, format!("<td class=\"mono\">{}</td>", escape(&errors.example))]
    });
    text + &section("Errors", &["kind", "n:count", "the first"], errors)
}

fn timeline(report: &Report) -> String {
    let rows = report.timeline.iter().map(|line| {
        let class = if line.bad { "mono bad" } else { "mono" };
        vec![
            format!("<td class=\"mono\">{}</td>", clock(line.at_ms)),
            format!("<td class=\"{class}\">{}</td>", escape(&line.word)),
            cell(&line.text),
        ]
    });
    section("Timeline, from the fault", &["", "", ""], rows)
}

fn setup(report: &Report) -> String {
    let places = report.places.iter().map(|place| {
        let broken = if report.targets.contains(&place.backend) { "broken" } else { "" };
        vec![cell(&place.backend), cell(&place.what), cell(broken)]
    });
    let mut text = section("Set-up", &["backend", "what it was", ""], places);
    let routes = report.routes.join("; ");
    let _ = write!(
        text,
        "<p class=\"dim\">Routes: {}.<br>Fault: {}, for {}.<br>Load: {}.<br>Mainstay {}, seed {}.</p>",
        escape(&routes),
        escape(report.scenario.fault.as_str()),
        time(report.scenario.hold.as_secs_f64() * 1e3),
        escape(&report.scenario.load.to_string()),
        escape(&report.mainstay),
        report.seed
    );
    for note in &report.notes {
        let _ = write!(text, "<p class=\"dim\">Note: {}.</p>", escape(note));
    }
    text
}

fn plots(report: &Report) -> String {
    let shades = shades(report);
    let frame = Frame { seconds: millis(report.end_ms()) / 1e3, shades: &shades };
    let databases: Vec<&str> = report
        .places
        .iter()
        .filter(|place| place.engine != "redis")
        .map(|place| &*place.backend)
        .collect();
    let attempts = by_backend(report, |_| true, |backend| backend.attempts);
    let load =
        by_backend(report, |name| databases.contains(&name), |backend| backend.ok + backend.failed);
    let lines = |title, axis, series: &[Series]| frame.plot(title, Kind::Lines, axis, series);
    [
        "<section><h2>What happened</h2><p class=\"dim\">Shaded: the fault, then the recovery.</p>"
            .to_owned(),
        lines("Requests a second", Axis::Count, &throughput(report)),
        lines("Latency", Axis::Millis, &latency(report)),
        frame.plot("Who served, requests a second", Kind::Stacked, Axis::Count, &sources(report)),
        frame.lanes("Breakers", &lanes(report)),
        lines("Attempts to connect, a second", Axis::Count, &attempts),
        lines("Load on the database, calls a second", Axis::Count, &load),
        "</section>".to_owned(),
    ]
    .concat()
}

fn shades(report: &Report) -> Vec<Shade> {
    let of = |phase: &super::PhaseReport| {
        let class = match phase.phase {
            Phase::Fault => "fault",
            Phase::Recovery => "recovery",
            Phase::Steady | Phase::After | Phase::Verify => return None,
        };
        Some(Shade { class, from: millis(phase.from_ms) / 1e3, to: millis(phase.to_ms) / 1e3 })
    };
    report.phases.iter().filter_map(of).collect()
}

/// One number of every second.
fn every(
    report: &Report,
    name: &str,
    color: usize,
    pick: impl Fn(&super::SecondReport) -> Option<f64>,
) -> Series {
    let values = report.seconds.iter().map(pick).collect();
    Series { name: name.to_owned(), color, values }
}

fn throughput(report: &Report) -> [Series; 2] {
    [
        every(report, "requests", 0, |second| Some(millis(second.requests))),
        every(report, "failed", 3, |second| Some(millis(second.failed))),
    ]
}

fn latency(report: &Report) -> [Series; 2] {
    [
        every(report, "p50", 0, |second| second.p50_ms),
        every(report, "p99", 1, |second| second.p99_ms),
    ]
}

fn lanes(report: &Report) -> Vec<Lane> {
    let state = |span: &super::Span| State {
        word: span.state.clone(),
        from: millis(span.from_ms) / 1e3,
        to: millis(span.to_ms) / 1e3,
    };
    let lane = |lane: &super::Lane| Lane {
        name: lane.backend.clone(),
        states: lane.spans.iter().map(state).collect(),
    };
    report.lanes.iter().map(lane).collect()
}

fn sources(report: &Report) -> Vec<Series> {
    let mut names: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for second in &report.seconds {
        for name in second.sources.keys() {
            names.entry(name).or_default();
        }
    }
    for (name, values) in &mut names {
        let of = |second: &super::SecondReport| {
            Some(millis(second.sources.get(*name).copied().unwrap_or(0)))
        };
        *values = report.seconds.iter().map(of).collect();
    }
    colored(names)
}

fn by_backend(
    report: &Report,
    wanted: impl Fn(&str) -> bool,
    pick: impl Fn(&BackendSecond) -> u64,
) -> Vec<Series> {
    let mut names: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    let backends = report.seconds.iter().flat_map(|second| second.backends.keys());
    for name in backends.filter(|name| wanted(name) && *name != mainstay::Config::MEMORY) {
        names.entry(name).or_default();
    }
    for (name, values) in &mut names {
        let of = |second: &super::SecondReport| {
            second.backends.get(*name).map(|each| millis(pick(each)))
        };
        *values = report.seconds.iter().map(of).collect();
    }
    colored(names)
}

/// Colours in the order of the names, and the same one for what is always there.
fn colored(names: BTreeMap<&str, Vec<Option<f64>>>) -> Vec<Series> {
    let color = |at: usize, name: &str| match name {
        "db" => 0,
        "redis" => 1,
        "memory" => 2,
        "none" => 3,
        _ => 4 + at % 2,
    };
    let series = names.into_iter().enumerate();
    series
        .map(|(at, (name, values))| Series {
            name: name.to_owned(),
            color: color(at, name),
            values,
        })
        .collect()
}

fn cell(text: &str) -> String {
    format!("<td>{}</td>", escape(text))
}

/// A heading and a table; a head that begins with `n:` is of numbers. Nothing without rows.
fn section(title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<String> = rows.map(|cells| format!("<tr>{}</tr>", cells.concat())).collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = heads.iter().map(|head| match head.strip_prefix("n:") {
        Some(head) => format!("<th class=\"n\">{}</th>", escape(head)),
        None => format!("<th>{}</th>", escape(head)),
    });
    let heads: String = heads.collect();
    format!(
        "<section><h2>{}</h2><div class=\"scroll\"><table><thead><tr>{heads}</tr></thead><tbody>{}</tbody></table></div></section>",
        escape(title),
        rows.concat()
    )
}
