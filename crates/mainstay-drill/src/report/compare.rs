//! Two reports beside each other.
//! It must not say which is the better one but by their numbers.

use std::fmt::Write;

use super::{Report, number};
use crate::{judge::time, machine::Phase};

/// A table of what differs and what does not, as text.
pub fn compare(first: &Report, second: &Report) -> String {
    let mut rows = vec![row("scenario", &first.scenario.name, &second.scenario.name)];
    rows.push(row("mainstay", &first.mainstay, &second.mainstay));
    rows.push(row("verdict", verdict(first), verdict(second)));
    let recovery = |report: &Report| {
        report.recovery_ms.map_or_else(|| "never".to_owned(), |ms| time(super::millis(ms)))
    };
    rows.push(row("recovery", &recovery(first), &recovery(second)));
    let opened = |report: &Report| {
        report.opened_ms.map_or_else(|| "never".to_owned(), |ms| time(super::millis(ms)))
    };
    rows.push(row("breaker open after", &opened(first), &opened(second)));
    for phase in Phase::LOADED {
        let words = phase.as_str();
        let of = |report: &Report, pick: fn(&super::PhaseReport) -> String| {
            let found = report.phases.iter().find(|each| each.phase == phase);
            found.map_or_else(|| "-".to_owned(), pick)
        };
        let both = |pick: fn(&super::PhaseReport) -> String| (of(first, pick), of(second, pick));
        let (a, b) =
            both(|phase| format!("{} of {}", number(phase.failed), number(phase.requests)));
        rows.push(row(&format!("{words}: failed"), &a, &b));
        let (a, b) = both(|phase| phase.p50_ms.map_or_else(|| "-".to_owned(), time));
        rows.push(row(&format!("{words}: p50"), &a, &b));
        let (a, b) = both(|phase| phase.p99_ms.map_or_else(|| "-".to_owned(), time));
        rows.push(row(&format!("{words}: p99"), &a, &b));
    }
    let count = |pick: fn(&Report) -> u64| (number(pick(first)), number(pick(second)));
    for (name, (a, b)) in [
        ("acknowledged writes lost", count(|report| report.verification.lost)),
        ("deleted keys back", count(|report| report.verification.deleted_back)),
        ("stale reads", count(|report| report.verification.stale)),
    ] {
        rows.push(row(name, &a, &b));
    }
    for verdict in &first.thresholds {
        let twin = second.thresholds.iter().find(|other| other.threshold == verdict.threshold);
        let shown = |verdict: &crate::judge::Verdict| {
            format!("{} {}", if verdict.met { "✓" } else { "✗" }, verdict.shown)
        };
        let other = twin.map_or_else(|| "-".to_owned(), shown);
        rows.push(row(&verdict.threshold.label(), &shown(verdict), &other));
    }
    table(&rows)
}

type Row = [String; 3];

fn row(name: &str, first: &str, second: &str) -> Row {
    [name.to_owned(), first.to_owned(), second.to_owned()]
}

fn verdict(report: &Report) -> &'static str {
    if report.passed { "PASS" } else { "FAIL" }
}

/// In columns; `*` before what differs.
fn table(rows: &[Row]) -> String {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let (name, first) = (width(0), width(1));
    let mut text = String::new();
    for [what, a, b] in rows {
        let mark = if a == b { ' ' } else { '*' };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{mark} {what:<name$}  {a:<first$}  {b}");
    }
    text
}
