//! How a drill ended, for people.
//! It must not judge.

use std::{fmt::Write, path::Path};

use mainstay_drill::{
    looped::Looped,
    report::{Report, number},
};

use crate::output::{Output, Tone};

/// The thresholds, the advice, the verdict.
pub(super) fn text(report: &Report, page: &Path, output: Output) -> String {
    let mut text = "THRESHOLDS\n".to_owned();
    let labels = report.thresholds.iter().map(|verdict| verdict.threshold.label());
    let width = labels.map(|label| label.chars().count()).max().unwrap_or(0);
    for verdict in &report.thresholds {
        let mark = match verdict.met {
            true => output.paint(Tone::Good, "✓"),
            false => output.paint(Tone::Bad, "✗"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {mark} {:<width$}  {}", verdict.threshold.label(), verdict.shown);
    }
    for (kind, errors) in &report.errors {
        let _ = writeln!(text, "ERROR  {} × {kind}: {}", number(errors.count), errors.example);
    }
    for example in report.verification.examples.iter().take(3) {
        let _ = writeln!(text, "WRONG  {example}");
    }
    for advice in &report.advice {
        let setting = output.paint(Tone::Warning, &advice.setting);
        let _ = writeln!(text, "CHANGE {setting} (now {}): {}", advice.now, advice.change);
        let _ = writeln!(text, "       {}", advice.because);
    }
    let verdict = match report.passed {
        true => output.paint(Tone::Good, "PASS"),
        false => output.paint(Tone::Bad, "FAIL"),
    };
    let _ = write!(text, "{verdict}   report: {}   json: --output json", page.display());
    text
}

/// The loop test.
pub(super) fn looped(looped: &Looped, output: Output) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<18}{value}");
    };
    line("iterations", &number(looped.iterations));
    for (source, count) in &looped.sources {
        line(&format!("  from {source}"), &number(*count));
    }
    line("errors", &number(looped.errors));
    line("wrong", &number(looped.wrong));
    let after = |ms: Option<u64>, what: &str| {
        ms.map_or_else(|| "no".to_owned(), |ms| format!("{} ms after {what}", number(ms)))
    };
    line("restart detected", &after(looped.detected_ms, "it"));
    line("recovered", &after(looped.recovery_ms, "healing"));
    if let Some(example) = &looped.example {
        line("first problem", example);
    }
    let verdict = match looped.succeeded() {
        true => output.paint(Tone::Good, "PASS"),
        false => output.paint(Tone::Bad, "FAIL"),
    };
    text + &verdict
}
