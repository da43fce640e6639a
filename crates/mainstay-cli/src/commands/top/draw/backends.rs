//! The backends: a line each, and the details of one.
//! It must not leave out the state of a backend, however narrow it is: what gives way are the figures.

use ratatui::{
    style::Modifier,
    text::{Line, Span},
};

use super::{
    super::{
        document::{Backend, LastError},
        state::State,
    },
    look::{self, Look, columns, health, shape, wrap},
};
use crate::output::Tone;

const DETAILS_MAX: usize = 4;

/// Columns between two columns.
const GAP: usize = 2;

/// A last error that has less room is left to the details.
const ERROR_MIN: usize = 20;

type Cell = (Option<Tone>, String);

struct Column {
    title: &'static str,
    is_number: bool,
    cells: Vec<Cell>,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|(_, text)| columns(text));
        cells.max().unwrap_or(0).max(columns(self.title))
    }
}

/// A heading and a line for each backend; at most `max` lines of them, the chosen one among them.
pub(super) fn table(
    state: &State,
    now: i64,
    look: Look,
    width: usize,
    max: usize,
) -> Vec<Line<'static>> {
    let backends = &state.view().document.backends;
    let elapsed = state.elapsed(now);
    let columns = fitting(state, elapsed, width);
    let selected = state.selected();
    let start = (selected + 1).saturating_sub(max);
    let mut title: Vec<Span<'static>> = vec![Span::raw("  ")];
    for column in &columns {
        title.push(look.title(pad(column.title, column)));
        title.push(Span::raw(" ".repeat(GAP)));
    }
    let mut lines = vec![Line::from(title)];
    let shown = backends.len().min(start + max);
    for row in start..shown {
        let marker = if row == selected { "> " } else { "  " };
        let mut spans = vec![Span::raw(marker)];
        for column in &columns {
            let (tone, text) = &column.cells[row];
            let mut style = look.style(*tone);
            if row == selected && column.title == "BACKEND" {
                style = style.add_modifier(Modifier::BOLD);
            }
            spans.push(Span::styled(pad(text, column), style));
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        spans.pop();
        lines.push(Line::from(spans));
    }
    if shown - start < backends.len() {
        let text = format!("  {} of {} backends; Tab goes on", shown - start, backends.len());
        lines.push(Line::from(look.faint(text)));
    }
    lines
}

/// To the width of its column.
fn pad(text: &str, column: &Column) -> String {
    let fill = " ".repeat(column.width().saturating_sub(columns(text)));
    if column.is_number { format!("{fill}{text}") } else { format!("{text}{fill}") }
}

/// The columns that there is room for. The first three stay; of the others the last go first.
fn fitting(state: &State, elapsed: f64, width: usize) -> Vec<Column> {
    let mut chosen = all(state, elapsed);
    let taken = |chosen: &[Column]| chosen.iter().map(|column| column.width() + GAP).sum::<usize>();
    while chosen.len() > 3 && taken(&chosen) > width {
        chosen.pop();
    }
    let left = width.saturating_sub(taken(&chosen) + 2);
    let backends = &state.view().document.backends;
    if left >= ERROR_MIN && backends.iter().any(|backend| backend.last_error.is_some()) {
        let cells = backends.iter().map(|backend| (None, error(backend, elapsed))).collect();
        chosen.push(Column { title: "LAST ERROR", is_number: false, cells });
    }
    chosen
}

fn all(state: &State, elapsed: f64) -> Vec<Column> {
    let view = state.view();
    let column = |title, is_number, cell: &dyn Fn(usize, &Backend) -> Cell| {
        let cells = view.document.backends.iter().enumerate();
        Column { title, is_number, cells: cells.map(|(row, backend)| cell(row, backend)).collect() }
    };
    let rate = |backend: &Backend| view.rates.as_ref()?.backends.get(&backend.name).copied();
    vec![
        column("BACKEND", false, &|row, backend| (None, name(row, backend))),
        column("HEALTH", false, &|_, backend| health_cell(backend, elapsed)),
        column("BREAKER", false, &|_, backend| breaker_cell(backend, elapsed)),
        column("REQ/S", true, &|_, backend| {
            (None, rate(backend).map_or_else(|| "-".to_owned(), look::rate))
        }),
        column("FAILED", true, &|_, backend| {
            let (failures, calls) = (backend.breaker.failures, backend.breaker.calls);
            ((failures > 0).then_some(Tone::Warning), format!("{failures}/{calls}"))
        }),
        column("P50/P99 MS", true, &|_, backend| {
            let (p50, p99) = (backend.latency_p50_ms, backend.latency_p99_ms);
            (None, format!("{}/{}", latency(p50), latency(p99)))
        }),
        column("IN FLIGHT", true, &|_, backend| {
            (None, format!("{}/{}", backend.inflight, backend.inflight_max))
        }),
        column("ENGINE", false, &|_, backend| (None, backend.engine.clone())),
    ]
}

/// `1 redis`: the number that chooses it, and its name.
fn name(row: usize, backend: &Backend) -> String {
    const NAME_MAX: usize = 16;
    let name: String = backend.name.chars().take(NAME_MAX).collect();
    let number = if row < 9 { format!("{}", row + 1) } else { " ".to_owned() };
    format!("{number} {name}")
}

/// `● up 3h, out of use 59s`.
fn health_cell(backend: &Backend, elapsed: f64) -> Cell {
    let tone = match health(&backend.health) {
        Tone::Good if backend.drained || backend.flapping => Tone::Warning,
        tone => tone,
    };
    let since = look::span(backend.health_since_ms + elapsed);
    let mut text = format!("{} {} {since}", shape(tone), backend.health);
    if backend.drained {
        let left = backend.drained_for_ms;
        let left = left.map_or_else(String::new, |ms| format!(" {}", look::span(ms - elapsed)));
        text.push_str(&format!(", drained{left}"));
    }
    if backend.flapping {
        text.push_str(", flapping");
    }
    (Some(tone), text)
}

/// `open, try 4s`, `isolated, forced 59s`.
fn breaker_cell(backend: &Backend, elapsed: f64) -> Cell {
    let breaker = &backend.breaker;
    let tone = match breaker.state.as_str() {
        "closed" if !breaker.forced => Tone::Good,
        "half_open" | "closed" => Tone::Warning,
        _ => Tone::Bad,
    };
    let mut text = breaker.state.replace('_', "-");
    if breaker.forced {
        let left = breaker.forced_for_ms;
        let left = left.map_or_else(String::new, |ms| format!(" {}", look::span(ms - elapsed)));
        text.push_str(&format!(", forced{left}"));
    } else if let Some(ms) = breaker.retry_in_ms {
        text.push_str(&format!(", try {}", look::span(ms - elapsed)));
    }
    (Some(tone), text)
}

fn latency(ms: Option<f64>) -> String {
    ms.map_or_else(
        || "-".to_owned(),
        |ms| if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") },
    )
}

/// `Connection refused (41s ago)`.
fn error(backend: &Backend, elapsed: f64) -> String {
    let written =
        |last: &LastError| format!("{} ({} ago)", last.message, look::span(last.age_ms + elapsed));
    backend.last_error.as_ref().map_or_else(|| "-".to_owned(), written)
}

/// Everything that is known of the chosen backend.
pub(super) fn details(state: &State, now: i64, look: Look, width: usize) -> Vec<Line<'static>> {
    let elapsed = state.elapsed(now);
    let Some(backend) = state.view().document.backends.get(state.selected()) else {
        return Vec::new();
    };
    let (breaker, calls, reconnect) = (&backend.breaker, &backend.calls, &backend.reconnect);
    let mut parts = vec![
        format!("{} ({})", backend.name, backend.engine),
        format!(
            "breaker {} for {} ({})",
            breaker.state.replace('_', "-"),
            look::span(breaker.since_ms + elapsed),
            breaker.reason
        ),
        format!("{} of {} calls failed", breaker.failures, breaker.calls),
    ];
    let next = reconnect.next_in_ms.filter(|_| !reconnect.connected);
    let next = next.map_or_else(String::new, |ms| format!(", next {}", look::span(ms - elapsed)));
    parts.push(match reconnect.connected {
        true => "connected".to_owned(),
        false => format!("not connected, {} attempts{next}", reconnect.attempts),
    });
    let (p50, p99) = (latency(backend.latency_p50_ms), latency(backend.latency_p99_ms));
    parts.push(format!("p50 {p50} ms, p99 {p99} ms"));
    let (inflight, max) = (backend.inflight, backend.inflight_max);
    parts.push(format!("{inflight} of {max} in flight, {} queued", backend.queued));
    parts.push(format!(
        "since start {} answered, {} failed, {} refused, {} shed",
        calls.success, calls.failure, calls.refused, calls.shed
    ));
    if backend.last_error.is_some() {
        parts.insert(1, format!("last error: {}", error(backend, elapsed)));
    }
    let text = look::first(wrap(&parts.join("; "), width.saturating_sub(2)), DETAILS_MAX);
    text.into_iter().map(|line| Line::from(look.faint(format!("  {line}")))).collect()
}
