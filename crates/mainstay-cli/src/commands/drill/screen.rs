//! A drill as it runs, on the terminal: the timeline on stdout, a bar on stderr.
//! It must not decide anything.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mainstay_drill::{
    machine::{Phase, Times},
    report::{clock, number},
    scenario::Scenario,
    session::Session,
    watch::{Line, Listener, Second},
};

use crate::output::{Format, Output, Tone};

/// Times are written in this many columns, words in that many.
const WORD: usize = 9;

/// The terminal.
pub(super) struct Screen {
    output: Output,
    bar: ProgressBar,
    progress: Mutex<Progress>,
}

/// What the bar says.
#[derive(Debug, Default)]
struct Progress {
    phase: &'static str,
    requests: u64,
    refused: u64,
    attempts: u64,
}

impl Screen {
    pub(super) fn new(output: Output, scenario: &Scenario) -> Self {
        let times = Times::around(scenario.hold, scenario.recovery, scenario.fault.flapping());
        let bar = ProgressBar::with_draw_target(
            Some(times.least().as_secs().max(1)),
            ProgressDrawTarget::stderr_with_hz(5),
        );
        let style = ProgressStyle::with_template("{bar:30} {elapsed} of about {len}s  {msg}");
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { output, bar, progress: Mutex::default() }
    }

    /// Says what stands behind each backend.
    pub(super) fn began(&self, session: &Session) {
        let places = session.places();
        let places = places.iter().map(|place| format!("{}: {}", place.backend, place.what));
        self.print(&format!(
            "{}   load on redis://{}",
            places.collect::<Vec<_>>().join("; "),
            session.resp()
        ));
        session.notes().iter().for_each(|note| self.print(&format!("note: {note}")));
    }

    /// A line of its own.
    pub(super) fn say(&self, line: &str) {
        self.print(line);
    }

    pub(super) fn ended(&self) {
        self.bar.finish_and_clear();
    }

    fn print(&self, line: &str) {
        if self.output.format == Format::Text {
            // Whoever read it may have gone; the drill goes on, and its exit code says how it ended.
            self.bar.suspend(|| drop(self.output.line(line)));
        }
    }
}

impl Listener for Screen {
    fn line(&self, line: &Line) {
        let tone = if line.bad { Tone::Bad } else { Tone::Good };
        let word = self.output.paint(tone, &format!("{:<WORD$}", line.word));
        self.print(format!("{}  {word} {}", clock(line.at_ms), line.text).trim_end());
    }

    fn phase(&self, phase: Phase) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.phase = phase.as_str();
    }

    fn second(&self, at: Duration, second: &Second) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.requests += second.sources.values().sum::<u64>();
        progress.refused += second.sources.get("none").copied().unwrap_or(0);
        progress.attempts += second.backends.values().map(|backend| backend.attempts).sum::<u64>();
        self.bar.set_position(at.as_secs());
        self.bar.set_message(format!(
            "{}: {} requests, {} refused, {} attempts to connect",
            progress.phase,
            number(progress.requests),
            number(progress.refused),
            number(progress.attempts)
        ));
    }
}
