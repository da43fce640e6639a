//! The keys: in the last line, and in a box over everything.
//! It must not list a key that does nothing.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Widget},
};

use super::{super::keys, look::Look, put};

/// The last line.
pub(super) fn footer(look: Look) -> Line<'static> {
    Line::from(look.faint("q end  p pause  ? help  up/down events  Tab backend"))
}

/// The box, in the middle.
pub(super) fn draw(look: Look, area: Rect, buffer: &mut Buffer) {
    const WIDTH: u16 = 64;
    let height = u16::try_from(keys::HELP.len()).unwrap_or(u16::MAX).saturating_add(2);
    let (width, height) = (WIDTH.min(area.width), height.min(area.height));
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let frame = Rect { x, y, width, height };
    Clear.render(frame, buffer);
    let block = Block::bordered().title(" keys; none changes anything at the server ");
    let inside = block.inner(frame);
    block.render(frame, buffer);
    for (y, (key, meaning)) in (inside.top()..inside.bottom()).zip(keys::HELP) {
        let line =
            Line::from(vec![look.title(format!(" {key:<15}")), Span::raw(format!(" {meaning}"))]);
        put(buffer, inside, y, &line);
    }
}
