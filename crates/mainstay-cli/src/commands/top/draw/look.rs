//! Words, shapes and colours: how a state looks, how a time reads, how a text is broken into lines.
//! It must not let a colour say anything that a word or a shape does not.

use ratatui::{
    style::{Color, Modifier, Style},
    text::Span,
};

use crate::output::Tone;

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Look {
    pub(in super::super) color: bool,
}

impl Look {
    pub(super) fn style(self, tone: Option<Tone>) -> Style {
        let style = Style::new();
        match tone {
            Some(Tone::Faint) => style.add_modifier(Modifier::DIM),
            Some(Tone::Good) if self.color => style.fg(Color::Green),
            Some(Tone::Warning) if self.color => style.fg(Color::Yellow),
            Some(Tone::Bad) if self.color => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            Some(Tone::Bad) => style.add_modifier(Modifier::BOLD),
            Some(Tone::Good | Tone::Warning) | None => style,
        }
    }

    pub(super) fn span(self, tone: Option<Tone>, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(tone))
    }

    pub(super) fn faint(self, text: impl Into<String>) -> Span<'static> {
        self.span(Some(Tone::Faint), text)
    }

    /// A title of a part.
    pub(super) fn title(self, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), Style::new().add_modifier(Modifier::BOLD))
    }
}

/// The shape beside a word.
pub(super) fn shape(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "\u{25cf}",
        Tone::Warning => "\u{25b2}",
        Tone::Bad => "\u{2716}",
        Tone::Faint => "-",
    }
}

/// The tone of a health.
pub(super) fn health(word: &str) -> Tone {
    match word {
        "up" => Tone::Good,
        "degraded" => Tone::Warning,
        _ => Tone::Bad,
    }
}

/// A duration without needless digits.
pub(super) fn span(ms: f64) -> String {
    let seconds = (ms.max(0.0) / 1000.0).floor();
    if seconds < 1.0 {
        "<1s".to_owned()
    } else if seconds < 120.0 {
        format!("{seconds}s")
    } else if seconds < 7200.0 {
        format!("{}m", (seconds / 60.0).floor())
    } else if seconds < 172_800.0 {
        format!("{}h", (seconds / 3600.0).floor())
    } else {
        format!("{}d", (seconds / 86_400.0).floor())
    }
}

/// A rate: one digit behind the point where it is small.
pub(super) fn rate(a_second: f64) -> String {
    match a_second {
        // The sum of no rates is a negative zero.
        0.0 => "0".to_owned(),
        9.95.. => format!("{a_second:.0}"),
        _ => format!("{a_second:.1}"),
    }
}

/// Lines of at most this width, broken between words; a word that is longer stands alone and is cut.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The columns that a text takes.
pub(super) fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// The first lines; the last of them says when there were more.
pub(super) fn first(mut lines: Vec<String>, max: usize) -> Vec<String> {
    if lines.len() > max {
        lines.truncate(max);
        if let Some(last) = lines.last_mut() {
            last.push_str(" \u{2026}");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_rates_are_short() {
        let spans = [0.0, 999.0, 1000.0, 41_900.0, 180_000.0, 7_200_000.0, 200_000_000.0];
        assert_eq!(spans.map(span), ["<1s", "<1s", "1s", "41s", "3m", "2h", "2d"]);
        let rates = [0.0, -0.0, 0.04, 9.94, 9.96, 1234.4];
        assert_eq!(rates.map(rate), ["0", "0", "0.0", "9.9", "10", "1234"]);
    }

    #[test]
    fn texts_are_broken_between_words() {
        assert_eq!(wrap("a bb ccc dddddddd e", 6), ["a bb", "ccc", "dddddddd", "e"]);
        assert_eq!(wrap("", 6), Vec::<String>::new());
        assert_eq!(first(wrap("a b c", 1), 2), ["a", "b \u{2026}"]);
    }
}
