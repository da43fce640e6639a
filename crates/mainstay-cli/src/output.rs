//! What goes to stdout: text for people, JSON for programs, or nothing; and colours, where they are wanted.
//! It must not know any command.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value as Json;

/// For whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// JSON; a stream is one object a line.
    Json,
    /// Nothing: the exit code says it.
    Quiet,
}

/// Stdout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    color: bool,
}

/// A colour with a meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Good,
    Warning,
    Bad,
    Faint,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
        }
    }

    /// The text in this colour, if colours are wanted.
    pub(crate) fn paint(self, text: &str, color: bool) -> String {
        if color { format!("\x1b[{}m{text}\x1b[0m", self.code()) } else { text.to_owned() }
    }
}

/// Whether this stream shows colours: a terminal, and `NO_COLOR` is not set.
pub(crate) fn wants_color(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !refused && !dumb
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, color: wants_color(&io::stdout()) }
    }

    /// The text in this colour, if colours are wanted.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        tone.paint(text, self.color)
    }

    /// A line for people, or the document for programs.
    pub(crate) fn show(&self, text: impl FnOnce() -> String, json: &Json) -> io::Result<()> {
        match self.format {
            Format::Text => self.line(&text()),
            Format::Json => self.line(&json.to_string()),
            Format::Quiet => Ok(()),
        }
    }

    /// A line, whatever the format.
    pub(crate) fn line(&self, line: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
    }

    /// Bytes as they are; a terminal gets a new line after them.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        if stdout.is_terminal() && !bytes.ends_with(b"\n") {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    }
}
