//! The thresholds as JUnit XML, one test case each, for what shows test results.
//! It must not judge.

use std::fmt::Write;

use super::{Report, millis};

/// The document.
pub fn junit(report: &Report) -> String {
    let failures = report.thresholds.iter().filter(|verdict| !verdict.met).count();
    let (name, seconds) = (escape(&report.scenario.name), millis(report.end_ms()) / 1e3);
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" time=\"{seconds:.3}\"",
        report.thresholds.len()
    );
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  \
         <testsuite name=\"mainstay drill {name}\" {counts}>\n"
    );
    for verdict in &report.thresholds {
        let case = escape(&verdict.threshold.label());
        // Writing to a string cannot fail.
        let _ = write!(text, "    <testcase classname=\"mainstay.drill.{name}\" name=\"{case}\"");
        if verdict.met {
            text.push_str("/>\n");
        } else {
            let shown = escape(&verdict.shown);
            let advice: Vec<String> = report
                .advice
                .iter()
                .map(|advice| format!("{} = {}: {}", advice.setting, advice.now, advice.because))
                .collect();
            let _ = writeln!(
                text,
                ">\n      <failure message=\"{shown}\">{}</failure>\n    </testcase>",
                escape(&advice.join("\n"))
            );
        }
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// For text and attributes of XML and HTML; what neither may hold is left out.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}
