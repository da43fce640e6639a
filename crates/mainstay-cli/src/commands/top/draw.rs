//! The whole display: which part gets which rows.
//! It must not know where the state comes from; it draws into a buffer and nothing else.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::Line,
};

use super::state::State;

mod backends;
mod events;
mod head;
mod help;
mod lists;
mod look;
#[cfg(test)]
mod tests;

pub(super) use look::Look;

/// The title of the events and three of them: what they get before the lesser parts get anything.
const EVENTS_MIN: usize = 4;

/// The parts from top to bottom.
const EVENTS: usize = 7;
const PARTS: usize = 9;

/// Which part is served first: head, sentence, backends, events, figures, keys, details, routes, the rest.
const ORDER: [usize; PARTS] = [0, 1, 3, EVENTS, 2, 8, 4, 5, 6];

/// Draws it all; returns how many events there was room for.
pub(super) fn draw(state: &State, now: i64, look: Look, area: Rect, buffer: &mut Buffer) -> usize {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let list_max = (height / 4).max(4);
    let mut parts: [Vec<Line<'static>>; PARTS] = [
        head::first(state, now, look, width),
        head::sentence(state, look, width),
        head::figures(state, look, width),
        backends::table(state, now, look, width, list_max),
        backends::details(state, now, look, width),
        lists::routes(state, look, list_max),
        lists::rest(state, now, look),
        Vec::new(),
        vec![help::footer(look)],
    ];
    let mut wanted = parts.each_ref().map(Vec::len);
    wanted[EVENTS] = EVENTS_MIN;
    let rows = share(height, wanted);
    let room = rows[EVENTS].saturating_sub(1);
    parts[EVENTS] = events::lines(state, look, width, room);
    let mut y = area.y;
    for (lines, rows) in parts.iter().zip(rows) {
        for row in 0..rows {
            if let Some(line) = lines.get(row) {
                put(buffer, area, y, line);
            }
            y = y.saturating_add(1);
        }
    }
    // What is old looks so: the words say it too.
    if state.stale(now).is_some() {
        buffer.set_style(area, Style::new().add_modifier(Modifier::DIM));
    }
    if state.help {
        help::draw(look, area, buffer);
    }
    room
}

/// Rows for each part: in their order, and what is left for the events.
fn share(height: usize, wanted: [usize; PARTS]) -> [usize; PARTS] {
    let mut left = height;
    let mut rows = [0; PARTS];
    for part in ORDER {
        rows[part] = wanted[part].min(left);
        left -= rows[part];
    }
    rows[EVENTS] += left;
    rows
}

/// One line; one that is too long ends in a mark that says so.
fn put(buffer: &mut Buffer, area: Rect, y: u16, line: &Line<'_>) {
    buffer.set_line(area.x, y, line, area.width);
    if line.width() > usize::from(area.width) && area.width > 0 {
        buffer.set_string(area.right() - 1, y, "\u{2026}", Style::new());
    }
}
