//! What a key means.
//! It must not do it; and no key changes anything at the server.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    End,
    /// Closes the help, or else ends.
    Back,
    Pause,
    Help,
    /// One line towards the older events.
    Older,
    Newer,
    PageOlder,
    PageNewer,
    Oldest,
    Newest,
    NextBackend,
    PreviousBackend,
    /// By its number on the screen; 0: whichever fares worst.
    Backend(usize),
}

/// The keys, as the help lists them.
pub(super) const HELP: [(&str, &str); 8] = [
    ("q, Esc, Ctrl-C", "end"),
    ("p", "pause: what is shown stands still"),
    ("up, down", "older and newer events, a line"),
    ("PgUp, PgDn", "older and newer events, a page"),
    ("Home, End", "the oldest events, the newest"),
    ("Tab, Shift-Tab", "the next backend, the one before"),
    ("1 to 9, 0", "the backend of this number; 0: the worst one"),
    ("?", "this help"),
];

/// None for a key that means nothing here.
pub(super) fn action(key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        let interrupt = key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
        return interrupt.then_some(Action::End);
    }
    Some(match key.code {
        KeyCode::Char('q') => Action::End,
        KeyCode::Esc => Action::Back,
        KeyCode::Char('p') => Action::Pause,
        KeyCode::Char('?') => Action::Help,
        KeyCode::Up => Action::Older,
        KeyCode::Down => Action::Newer,
        KeyCode::PageUp => Action::PageOlder,
        KeyCode::PageDown => Action::PageNewer,
        KeyCode::Home => Action::Oldest,
        KeyCode::End => Action::Newest,
        KeyCode::Tab => Action::NextBackend,
        KeyCode::BackTab => Action::PreviousBackend,
        KeyCode::Char(digit) => Action::Backend(usize::try_from(digit.to_digit(10)?).ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_help_says() {
        let plain = |code| action(KeyEvent::new(code, KeyModifiers::NONE));
        let control = |c| action(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
        assert_eq!(plain(KeyCode::Char('q')), Some(Action::End));
        assert_eq!(plain(KeyCode::Esc), Some(Action::Back));
        assert_eq!(control('c'), Some(Action::End));
        assert_eq!(control('p'), None);
        assert_eq!(plain(KeyCode::Char('0')), Some(Action::Backend(0)));
        assert_eq!(plain(KeyCode::Char('9')), Some(Action::Backend(9)));
        assert_eq!(plain(KeyCode::PageUp), Some(Action::PageOlder));
        assert_eq!(plain(KeyCode::BackTab), Some(Action::PreviousBackend));
        assert_eq!(plain(KeyCode::Char('x')), None);
    }

    #[test]
    fn a_key_that_is_let_go_means_nothing() {
        let mut key = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        key.kind = KeyEventKind::Release;
        assert_eq!(action(key), None);
    }
}
