//! One backend as it is watched.
//! It must not know other backends.

use std::{sync::Arc, time::Duration};

use super::{
    course::Course,
    flaps::Flaps,
    histogram::{Histogram, RECOVERIES},
};
use crate::{
    config::{ObserveConfig, text::format_duration},
    status::BackendStatus,
};

/// Its course, how often it left, and how long each recovery took.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: Arc<str>,
    pub(super) course: Course,
    pub(super) flaps: Flaps,
    pub(super) recoveries: Histogram,
    flapping_window: Duration,
}

impl Watched {
    pub(super) fn new(name: &Arc<str>, local: bool, config: &ObserveConfig) -> Self {
        Self {
            name: Arc::clone(name),
            course: if local { Course::serving() } else { Course::default() },
            flaps: Flaps::new(config.flapping, config.flapping_window),
            recoveries: Histogram::new(RECOVERIES),
            flapping_window: config.flapping_window,
        }
    }

    pub(super) fn reconfigure(&mut self, config: &ObserveConfig) {
        self.flaps.reconfigure(config.flapping, config.flapping_window);
        self.flapping_window = config.flapping_window;
    }

    pub(super) fn fill(&self, status: &mut BackendStatus) {
        status.flapping = self.flaps.is_active();
        status.switches = self.flaps.switches();
        status.recoveries = self.recoveries.snapshot();
    }

    pub(super) fn warning(&self) -> Option<String> {
        let window = format_duration(self.flapping_window);
        let warning = || {
            format!(
                "{} flaps: out of service {} times in {window}",
                self.name,
                self.flaps.switches()
            )
        };
        self.flaps.is_active().then(warning)
    }
}
