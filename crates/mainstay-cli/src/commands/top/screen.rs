//! The terminal while the display is on it, given back on every way out.
//! It must not know what is drawn.

use std::io::{IsTerminal, stdin, stdout};

use crossterm::{cursor::Show, execute};
use ratatui::{DefaultTerminal, Frame};

use crate::exit::Failure;

/// The terminal. A panic gives it back before it is reported; everything else by the end of this.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Whether there is one to draw on and to read keys from.
    pub(super) fn is_there() -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        stdout().is_terminal() && stdin().is_terminal() && !dumb
    }

    pub(super) fn open() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(|error| {
            give_back();
            Failure::new(format!("cannot use the terminal: {error}"))
        })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        self.0.draw(draw)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A panic has given the screen back before it was reported; a second time would put the cursor over the report.
        if std::thread::panicking() {
            drop(execute!(stdout(), Show));
        } else {
            give_back();
        }
    }
}

/// Nothing is left to do for a terminal that takes nothing more.
fn give_back() {
    drop(ratatui::try_restore());
    drop(execute!(stdout(), Show));
}
