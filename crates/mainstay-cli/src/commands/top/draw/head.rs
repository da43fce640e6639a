//! The top: the state in a word and a sentence, what is old, the key figures.
//! It must not judge: the server has.

use ratatui::{
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{
    super::{
        document::{Document, Kpi},
        state::State,
    },
    look::{self, Look, shape, wrap},
};
use crate::{output::Tone, words};

const SENTENCE_MAX: usize = 4;
const WARNINGS_MAX: usize = 2;

/// A figure as it is written, and how good it is.
type Cell = (Option<Tone>, String);

/// `● HEALTHY  mainstay 0.1.0  up 3h  127.0.0.1:6391`, and a line for each thing that makes it not of now.
pub(super) fn first(state: &State, now: i64, look: Look, width: usize) -> Vec<Line<'static>> {
    let document = &state.view().document;
    let (tone, word) = headline(document);
    let state_style = look.style(Some(tone)).add_modifier(Modifier::BOLD);
    let up = look::span(document.uptime_ms as f64 + state.elapsed(now));
    let mut spans = vec![
        Span::styled(format!("{} {word}", shape(tone)), state_style),
        Span::raw(format!("  mainstay {}  up {up}  {}", document.version, state.server)),
    ];
    if state.is_paused() {
        let style = Style::new().add_modifier(Modifier::REVERSED);
        spans.insert(1, Span::styled(" PAUSED: p goes on ", style));
        spans.insert(1, Span::raw("  "));
    }
    let mut lines = vec![Line::from(spans)];
    if let Some((since, why)) = state.stale(now) {
        let text = format!("stale since {}: {why}; trying again", seconds(since));
        let text = look::first(wrap(&text, width), 2).into_iter();
        let style = look.style(Some(Tone::Bad)).add_modifier(Modifier::REVERSED);
        lines.extend(text.map(|line| Line::from(Span::styled(line, style))));
    }
    lines
}

/// The word and how good it is.
fn headline(document: &Document) -> (Tone, &'static str) {
    match document.health.as_str() {
        _ if document.draining => (Tone::Warning, "DRAINING"),
        "up" => (Tone::Good, "HEALTHY"),
        "degraded" => (Tone::Warning, "DEGRADED"),
        "down" => (Tone::Bad, "DOWN"),
        _ => (Tone::Warning, "UNKNOWN"),
    }
}

/// `12:04:11Z`.
pub(super) fn seconds(unix_ms: i64) -> String {
    let clock = words::clock(unix_ms);
    let (time, _) = clock.split_once('.').unwrap_or((&clock, ""));
    format!("{time}Z")
}

/// The sentence of the status, and its warnings.
pub(super) fn sentence(state: &State, look: Look, width: usize) -> Vec<Line<'static>> {
    let document = &state.view().document;
    let sentence = look::first(wrap(&document.sentence, width), SENTENCE_MAX);
    let mut lines: Vec<Line<'static>> = sentence.into_iter().map(Line::from).collect();
    for warning in document.warnings.iter().take(WARNINGS_MAX) {
        let word = look.span(Some(Tone::Warning), format!("{} warning: ", shape(Tone::Warning)));
        lines.push(Line::from(vec![word, Span::raw(warning.clone())]));
    }
    if let Some(more) = document.warnings.len().checked_sub(WARNINGS_MAX + 1) {
        lines.push(Line::from(look.faint(format!("{} more warnings", more + 1))));
    }
    lines
}

/// The key figures with their targets, as many in a line as there is room for.
pub(super) fn figures(state: &State, look: Look, width: usize) -> Vec<Line<'static>> {
    let view = state.view();
    let kpis = &view.document.kpis;
    let requests =
        view.rates.as_ref().map_or_else(|| "-".to_owned(), |rates| look::rate(rates.requests));
    let cells = [
        figure("errors", &kpis.error_rate),
        figure("fallback", &kpis.fallback_rate),
        (None, format!("requests {requests}/s")),
        figure("hit rate", &kpis.hit_rate),
        figure("connects", &kpis.connection_success),
        figure("recovery", &kpis.recovery_time),
    ];
    let widths = [6, 3, 2].map(|in_line| column_widths(&cells, in_line));
    let fits =
        |widths: &&Vec<usize>| widths.iter().map(|column| column + 2).sum::<usize>() <= width + 2;
    let widths = widths.iter().find(fits).cloned().unwrap_or_else(|| column_widths(&cells, 1));
    let line = |cells: &[Cell]| {
        let padded = |((tone, text), width): (&Cell, &usize)| {
            let fill = " ".repeat(width + 2 - look::columns(text));
            [look.span(*tone, text.clone()), Span::raw(fill)]
        };
        Line::from(cells.iter().zip(&widths).flat_map(padded).collect::<Vec<_>>())
    };
    cells.chunks(widths.len()).map(line).collect()
}

/// The widths of so many columns, filled line by line.
fn column_widths(cells: &[Cell], in_line: usize) -> Vec<usize> {
    let mut widths = vec![0; in_line];
    for (index, (_, text)) in cells.iter().enumerate() {
        let width = &mut widths[index % in_line];
        *width = look::columns(text).max(*width);
    }
    widths
}

/// `fallback 12.5 % ✗ not < 5 %`.
fn figure(name: &str, kpi: &Kpi) -> Cell {
    let written = |value: f64| match kpi.unit.as_str() {
        "ratio" => format!("{} %", (value * 1000.0).round() / 10.0),
        _ => format!("{} s", (value * 10.0).round() / 10.0),
    };
    let value = kpi.value.map_or_else(|| "-".to_owned(), written);
    let target = match (kpi.target.above, kpi.target.below) {
        (Some(bound), _) => format!("> {}", written(bound)),
        (None, Some(bound)) => format!("< {}", written(bound)),
        (None, None) => String::new(),
    };
    match kpi.met {
        Some(true) => (Some(Tone::Good), format!("{name} {value} \u{2713} {target}")),
        Some(false) => (Some(Tone::Bad), format!("{name} {value} \u{2717} not {target}")),
        None => (None, format!("{name} {value} ({target})")),
    }
}
