//! What people want to know of the course of things: the connection history, key figures, recoveries, flapping.
//! It must not know backends, routes or how operations are counted; it is shown events and totals.

mod course;
mod file;
mod flaps;
mod histogram;
mod history;
mod keep;
mod watched;
mod window;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

pub use self::history::{HISTORY_MAX, HistoryEntry, PastError};
use self::{
    course::Moved,
    watched::Watched,
    window::{Window, connection_success, error_rate, fallback_rate, hit_rate},
};
pub(crate) use self::{
    file::HistoryFile,
    histogram::{CALLS, Histogram},
    history::Rings,
    keep::{QUEUE_MAX, write},
    window::{Standing, Totals, share},
};
use crate::{
    clock::Instant,
    config::ObserveConfig,
    event::{Event, EventKind},
    status::{BackendStatus, HistoryStatus, Kpi, Kpis, Recovered, Resilience, Status, Target},
};

/// Follows the events of one storage. Cheap to clone; nothing in it waits.
#[derive(Clone, Debug)]
pub(crate) struct Observer(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    backends: Vec<Watched>,
    history: Rings,
    kept: HistoryStatus,
    /// To who writes the file.
    queue: Option<mpsc::Sender<HistoryEntry>>,
    /// There should be a file, and there is none.
    broken: bool,
    window: Window,
    last: Option<Recovered>,
}

impl Observer {
    /// For these backends, each with whether it needs no connection. Nothing has happened yet; the history is kept in memory.
    pub(crate) fn new(
        config: &ObserveConfig,
        backends: &[(Arc<str>, bool)],
        now: Instant,
        totals: Totals,
    ) -> Self {
        let names: Vec<Arc<str>> = backends.iter().map(|(name, _)| Arc::clone(name)).collect();
        let watched = backends.iter().map(|(name, local)| Watched::new(name, *local, config));
        let reason = "no folder is configured (observe.dir)".to_owned();
        Self(Arc::new(Mutex::new(State {
            backends: watched.collect(),
            history: Rings::new(&names),
            kept: HistoryStatus { reason, ..HistoryStatus::default() },
            queue: None,
            broken: false,
            window: Window::new(config.window, now, totals),
            last: None,
        })))
    }

    /// Takes over settings; another window begins with what is counted from now on.
    pub(crate) fn reconfigure(&self, config: &ObserveConfig, now: Instant, totals: Totals) {
        let mut state = self.lock();
        if state.window.length() != config.window {
            state.window = Window::new(config.window, now, totals);
        }
        state.backends.iter_mut().for_each(|watched| watched.reconfigure(config));
    }

    /// Empty rings for the same backends.
    pub(crate) fn rings(&self) -> Rings {
        let state = self.lock();
        let names: Vec<Arc<str>> = state.backends.iter().map(|w| Arc::clone(&w.name)).collect();
        Rings::new(&names)
    }

    /// The history goes on where this file ends; what comes is queued for it.
    pub(crate) fn set_file(
        &self,
        path: &Path,
        rings: &Rings,
        damaged_lines: u64,
        queue: mpsc::Sender<HistoryEntry>,
    ) {
        let mut state = self.lock();
        state.history = rings.clone();
        state.queue = Some(queue);
        let file = Some(path.display().to_string());
        state.kept = HistoryStatus { file, damaged_lines, ..HistoryStatus::default() };
    }

    /// From now on in memory alone, though there should be a file.
    pub(crate) fn set_memory_alone(&self, reason: String) {
        let mut state = self.lock();
        state.broken = true;
        state.queue = None;
        state.kept.file = None;
        state.kept.reason = reason;
    }

    /// Takes an event, in the order of their numbers.
    pub(crate) fn on_event(&self, event: &Event) {
        let mut state = self.lock();
        if let Some(entry) = HistoryEntry::of(event) {
            state.remember(entry);
        }
        let Some(backend) = &event.backend else { return };
        let forced = event.cause == Some("forced");
        let Some(watched) = state.backends.iter_mut().find(|w| w.name == *backend) else { return };
        match watched.course.on(&event.kind, forced, event.unix_ms) {
            None => {}
            Some(Moved::Left) => watched.flaps.left(event.unix_ms),
            Some(Moved::Back { outage, recovery }) => {
                watched.recoveries.record(recovery);
                let (backend, unix_ms) = (Arc::clone(backend), event.unix_ms);
                state.last = Some(Recovered { backend, unix_ms, outage, recovery });
            }
        }
    }

    /// Takes a sample of what is counted, and answers which backends flap from now on or no longer: the number of each, and
    /// what is to be published.
    pub(crate) fn tick(
        &self,
        now: Instant,
        unix_ms: i64,
        totals: Totals,
    ) -> Vec<(usize, EventKind)> {
        let mut state = self.lock();
        state.window.take(now, totals);
        let looked = state.backends.iter_mut().enumerate().filter_map(|(id, watched)| {
            let active = watched.flaps.look(unix_ms)?;
            Some((id, EventKind::Flapping { active, switches: watched.flaps.switches() }))
        });
        looked.collect()
    }

    /// The last `limit` entries of the history, or those of one backend and the storage, oldest first.
    pub(crate) fn history(&self, backend: Option<&str>, limit: usize) -> Vec<HistoryEntry> {
        self.lock().history.last(backend, limit)
    }

    /// Fills in what is known here.
    pub(crate) fn fill(
        &self,
        status: &mut Status,
        now: Instant,
        totals: Totals,
        standing: Standing,
    ) {
        let state = self.lock();
        for (watched, backend) in state.backends.iter().zip(&mut status.backends) {
            watched.fill(backend);
        }
        status.kpis = state.kpis(now, totals, standing);
        status.resilience = state.resilience(&status.backends, totals);
        status.history = state.kept.clone();
        status.history.entries = state.history.len() as u64;
        status.warnings = state.warnings();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, entry: HistoryEntry) {
        let dropped =
            self.queue.as_ref().is_some_and(|queue| queue.try_send(entry.clone()).is_err());
        self.kept.dropped += u64::from(dropped);
        self.history.push(entry);
    }

    fn kpis(&self, now: Instant, totals: Totals, standing: Standing) -> Kpis {
        let (counted, covered) = self.window.count(now, totals);
        let (value, note) = match &self.last {
            None => (None, "no outage seen".to_owned()),
            Some(last) => {
                let note = format!("{}, outage of {:.1}s", last.backend, last.outage.as_secs_f64());
                (Some(last.recovery.as_secs_f64()), note)
            }
        };
        Kpis {
            window: self.window.length(),
            covered,
            connection_success: connection_success(counted, standing),
            fallback_rate: fallback_rate(counted),
            recovery_time: Kpi::new(value, "seconds", Target::Below(30.0), note),
            hit_rate: hit_rate(counted),
            error_rate: error_rate(counted),
        }
    }

    fn resilience(&self, backends: &[BackendStatus], totals: Totals) -> Resilience {
        let sum = |of: fn(&BackendStatus) -> u64| backends.iter().map(of).sum();
        let recoveries: Vec<&Histogram> = self.backends.iter().map(|w| &w.recoveries).collect();
        Resilience {
            connection_attempts: sum(|backend| backend.reconnect.attempts_total),
            successful_reconnections: sum(|backend| backend.reconnect.reconnects_total),
            stuck_retry_resets: sum(|backend| backend.reconnect.stuck_resets_total),
            recoveries: recoveries.iter().map(|histogram| histogram.count()).sum(),
            average_recovery: Histogram::mean_of(&recoveries),
            last_recovery: self.last.clone(),
            cache_hit_rate: share(totals.hits, totals.reads),
            database_fallback_rate: share(totals.fallbacks, totals.requests),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.backends.iter().filter_map(Watched::warning).collect();
        if self.broken {
            warnings.push(format!("the history is kept in memory alone: {}", self.kept.reason));
        }
        if self.kept.dropped > 0 {
            warnings
                .push(format!("{} entries are missing in the history's file", self.kept.dropped));
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
