//! What happened: the newest at the bottom.
//! It must not know what an event means.

use ratatui::text::{Line, Span};

use super::{
    super::state::State,
    head,
    look::{Look, columns},
};
use crate::output::Tone;

/// A title and so many events.
pub(super) fn lines(state: &State, look: Look, width: usize, room: usize) -> Vec<Line<'static>> {
    let events = &state.view().events;
    let below = state.below(room);
    let end = events.len() - below;
    let start = end.saturating_sub(room);
    let mut title = vec![look.title("EVENTS")];
    if start > 0 {
        title.push(look.faint(format!("  {start} older")));
    }
    if below > 0 {
        title.push(Span::raw(format!("  {below} newer below")));
    }
    if let Some(since) = state.stream_lost {
        let text = format!("  no events since {}; trying again", head::seconds(since));
        title.push(look.span(Some(Tone::Bad), text));
    }
    let used: usize = title.iter().map(|span| columns(&span.content)).sum();
    title.push(look.faint(format!(" {}", "\u{2500}".repeat(width.saturating_sub(used + 1)))));
    let mut lines = vec![Line::from(title)];
    for event in events.range(start..end) {
        let spans = event.iter().map(|(tone, text)| look.span(*tone, text.clone()));
        lines.push(Line::from(spans.collect::<Vec<_>>()));
    }
    if events.is_empty() {
        lines.push(Line::from(look.faint("none yet")));
    }
    lines
}
