//! What is shown, and what news and keys make of it.
//! It must not read a clock, a socket or a terminal: time is an argument, in Unix milliseconds.

use std::{collections::VecDeque, time::Duration};

use super::{document::Document, feed::News, keys::Action, rates::Rates};
use crate::{
    output::Tone,
    words::{self, Piece},
};

/// As many events as the server keeps.
const EVENTS_MAX: usize = 1000;

/// A status that is overdue by this much is stale though no attempt has failed yet.
const OVERDUE: Duration = Duration::from_secs(2);

/// What has been learnt.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) document: Document,
    /// None until two documents of one run of the server are there.
    pub(super) rates: Option<Rates>,
    /// When the document came.
    pub(super) taken: i64,
    /// Oldest first.
    pub(super) events: VecDeque<Vec<Piece>>,
}

/// The whole display.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// `host:port` of the server.
    pub(super) server: String,
    live: View,
    /// Since when it stands still, and what is shown meanwhile.
    paused: Option<(i64, Box<View>)>,
    /// Why the last attempt to read the status failed.
    lost: Option<String>,
    /// Since when there is no stream of events.
    pub(super) stream_lost: Option<i64>,
    stale_after_ms: i64,
    /// Index of the backend chosen by hand.
    selected: Option<usize>,
    /// Events below the last one shown.
    scroll: usize,
    /// Events that the display has room for.
    page: usize,
    pub(super) help: bool,
}

impl State {
    pub(super) fn new(server: &str, interval: Duration, first: Document, now: i64) -> Self {
        let stale_after = interval.saturating_add(OVERDUE).as_millis();
        Self {
            server: server.to_owned(),
            live: View { document: first, taken: now, ..View::default() },
            paused: None,
            lost: None,
            stream_lost: None,
            stale_after_ms: i64::try_from(stale_after).unwrap_or(i64::MAX),
            selected: None,
            scroll: 0,
            page: 1,
            help: false,
        }
    }

    /// What is shown.
    pub(super) fn view(&self) -> &View {
        self.paused.as_ref().map_or(&self.live, |(_, view)| view)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Since when what is known is old, and why.
    pub(super) fn stale(&self, now: i64) -> Option<(i64, &str)> {
        let overdue = now.saturating_sub(self.live.taken) > self.stale_after_ms;
        let why = self.lost.as_deref().or(overdue.then_some("the server does not answer"))?;
        Some((self.live.taken, why))
    }

    /// How far ages and countdowns have gone on since the document came. They stand still with the display.
    pub(super) fn elapsed(&self, now: i64) -> f64 {
        let now = match &self.paused {
            Some((since, _)) => *since,
            None if self.stale(now).is_some() => self.view().taken,
            None => now,
        };
        now.saturating_sub(self.view().taken).max(0) as f64
    }

    /// The backend whose details are shown: the chosen one, or the first of those that fare worst.
    pub(super) fn selected(&self) -> usize {
        let backends = &self.view().document.backends;
        let rank = |health: &str| match health {
            "up" => 2,
            "degraded" => 1,
            _ => 0,
        };
        let worst = || {
            let ranked = backends.iter().enumerate();
            ranked.min_by_key(|(_, backend)| rank(&backend.health)).map_or(0, |(index, _)| index)
        };
        self.selected.filter(|index| *index < backends.len()).unwrap_or_else(worst)
    }

    /// Events below the last one shown, if the display has room for this many.
    pub(super) fn below(&self, rows: usize) -> usize {
        self.scroll.min(self.view().events.len().saturating_sub(rows))
    }

    /// The display has had room for so many events.
    pub(super) fn shown(&mut self, rows: usize) {
        self.page = rows.max(1);
    }

    /// Takes in what the server said.
    pub(super) fn learn(&mut self, news: News, now: i64) {
        match news {
            News::Status(document) => {
                self.lost = None;
                self.live.rates = Rates::between(&self.live.document, &document);
                self.live.document = *document;
                self.live.taken = now;
            }
            News::Lost(why) => self.lost = Some(why),
            News::Event(event) => {
                self.stream_lost = None;
                self.push(words::event(&event));
            }
            News::Missed(count) => {
                let text = format!("{count} events were missed");
                self.push(vec![(Some(Tone::Warning), text)]);
            }
            News::Streaming => self.stream_lost = None,
            News::StreamLost => {
                self.stream_lost.get_or_insert(now);
            }
        }
    }

    fn push(&mut self, event: Vec<Piece>) {
        if self.live.events.len() == EVENTS_MAX {
            self.live.events.pop_front();
        }
        self.live.events.push_back(event);
        // Whoever reads older events is not moved away from them.
        if self.scroll > 0 && self.paused.is_none() {
            self.scroll = (self.scroll + 1).min(EVENTS_MAX);
        }
    }

    /// Does what a key means; false: it means the end.
    pub(super) fn act(&mut self, action: Action, now: i64) -> bool {
        let backends = self.view().document.backends.len();
        let scroll = self.below(self.page);
        match action {
            Action::End => return false,
            Action::Back if !self.help => return false,
            Action::Back => self.help = false,
            Action::Help => self.help = !self.help,
            Action::Pause => {
                self.paused = match self.paused.take() {
                    Some(_) => None,
                    None => Some((now, Box::new(self.live.clone()))),
                };
            }
            Action::Older => self.scroll = scroll + 1,
            Action::Newer => self.scroll = scroll.saturating_sub(1),
            Action::PageOlder => self.scroll = scroll + self.page,
            Action::PageNewer => self.scroll = scroll.saturating_sub(self.page),
            Action::Oldest => self.scroll = EVENTS_MAX,
            Action::Newest => self.scroll = 0,
            Action::NextBackend => self.selected = (self.selected() + 1).checked_rem(backends),
            Action::PreviousBackend => {
                self.selected =
                    (self.selected() + backends).saturating_sub(1).checked_rem(backends);
            }
            Action::Backend(number) => self.selected = number.checked_sub(1),
        }
        true
    }
}

#[cfg(test)]
mod tests;
