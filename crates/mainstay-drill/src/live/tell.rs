//! What is told of a live drill while it runs, as the messages of its stream.
//! It must not decide anything; a caller who does not read ends the drill.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mainstay::{Clock, Instant};
use mainstay_server::http::DrillMessage;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::order::seconds;
use crate::{
    machine::{Phase, Times},
    watch::{Line, Listener, Second},
};

/// Messages that may wait for the caller.
pub(super) const QUEUE_MAX: usize = 256;

/// Tells the caller.
#[derive(Debug)]
pub(super) struct Tell {
    sender: mpsc::Sender<DrillMessage>,
    /// Ends the drill.
    abort: CancellationToken,
    target: String,
    times: Times,
    clock: Clock,
    heard: Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    phase: Phase,
    since: Instant,
    attempts: u64,
    requests: u64,
    refused: u64,
    /// The last message of the second's kind, for who asks for the list.
    last: Value,
}

impl Tell {
    pub(super) fn new(
        sender: mpsc::Sender<DrillMessage>,
        abort: CancellationToken,
        target: String,
        times: Times,
        clock: Clock,
    ) -> Self {
        let heard = Heard {
            phase: Phase::Steady,
            since: clock.now(),
            attempts: 0,
            requests: 0,
            refused: 0,
            last: Value::Null,
        };
        Self { sender, abort, target, times, clock, heard: Mutex::new(heard) }
    }

    /// Sends it, or ends the drill: whoever does not read cannot abort either.
    pub(super) fn send(&self, name: &'static str, data: Value) {
        if self.sender.try_send(DrillMessage { name, data }).is_err() {
            self.abort.cancel();
        }
    }

    /// The last that was told of a second.
    pub(super) fn last(&self) -> Value {
        self.heard().last.clone()
    }

    fn left(&self, phase: Phase, passed: Duration) -> Duration {
        let whole = match phase {
            Phase::Steady => self.times.steady,
            Phase::Fault => self.times.hold,
            Phase::Recovery => self.times.recovery,
            Phase::After => self.times.after,
            Phase::Verify => Duration::ZERO,
        };
        whole.saturating_sub(passed)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Tell {
    fn line(&self, line: &Line) {
        let phase = self.heard().phase;
        self.send("step", json!({
            "phase": phase, "at_ms": line.at_ms, "word": line.word, "text": line.text, "bad": line.bad,
        }));
    }

    fn phase(&self, phase: Phase) {
        let mut heard = self.heard();
        (heard.phase, heard.since) = (phase, self.clock.now());
    }

    fn second(&self, at: Duration, second: &Second) {
        let message = {
            let mut heard = self.heard();
            let target = second.backends.get(&self.target);
            let passed = self.clock.now().saturating_duration_since(heard.since);
            heard.attempts += target.map_or(0, |backend| backend.attempts);
            heard.requests += second.sources.values().sum::<u64>();
            heard.refused += second.sources.get("none").copied().unwrap_or(0);
            heard.last = json!({
                "phase": heard.phase,
                "elapsed_s": seconds(at),
                "phase_elapsed_s": seconds(passed),
                "remaining_s": seconds(self.left(heard.phase, passed)),
                "attempts": heard.attempts,
                "backend": self.target,
                "breaker": target.map(|backend| &*backend.breaker),
                "health": target.map(|backend| &*backend.health),
                "requests": heard.requests,
                "refused": heard.refused,
                "second": second,
            });
            heard.last.clone()
        };
        self.send("retry_update", message);
    }
}
