//! The queue of what has to be written, and the one writer that serves it on a blocking thread.
//! It must not know what is written.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::sync::{Notify, oneshot};

use super::{entry::Base, writer::Writer};
use crate::{
    clock::{Deadline, Instant},
    error::{Effect, Error, ErrorKind, Result},
    op::Op,
};

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Jobs that wait at most.
const QUEUE_MAX: usize = 4096;
/// Bytes that wait at most.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Jobs of one sync at most.
pub(super) const BATCH_MAX: usize = 256;
/// Bytes after which a sync takes no more jobs.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// How far a job has come; shared by the one who waits and the one who works.
#[derive(Debug, Default)]
pub(super) struct Stage(AtomicU8);

impl Stage {
    fn begin(&self) -> bool {
        let swap = self.0.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire);
        swap.is_ok()
    }

    /// What may have been done of a job that is not awaited any more.
    pub(super) fn give_up(&self) -> Effect {
        match self.0.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire) {
            Err(BEGUN) => Effect::Unknown,
            _ => Effect::None,
        }
    }
}

/// What has to be done.
#[derive(Debug)]
pub(super) enum Work {
    /// Put a write on the disk.
    Append(Box<Append>),
    /// The record has this one.
    Applied(u64),
    /// This one will not be applied, for this reason.
    Dead(u64, String),
    /// A dead letter is of no use any more.
    Discard(u64),
}

/// A write on its way to the disk.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) write: Op,
    pub(super) route: String,
    pub(super) base: Base,
    pub(super) accepted_unix_ms: i64,
    /// The size of its record, or a little more.
    pub(super) bytes: usize,
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Work::Append(append) => append.bytes,
            Work::Applied(_) | Work::Dead(..) | Work::Discard(_) => 0,
        }
    }
}

/// Some work, until when it is of use, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    deadline: Deadline,
    stage: Arc<Stage>,
    answer: oneshot::Sender<Result<u64>>,
}

impl Job {
    pub(super) fn new(
        work: Work,
        deadline: Deadline,
    ) -> (Self, Arc<Stage>, oneshot::Receiver<Result<u64>>) {
        let (answer, receiver) = oneshot::channel();
        let stage = Arc::new(Stage::default());
        (Self { work, deadline, stage: Arc::clone(&stage), answer }, stage, receiver)
    }

    /// From here on its effect may be unknown to the one who waits. False: nobody waits any more.
    pub(super) fn begin(&self) -> bool {
        !self.answer.is_closed() && self.stage.begin()
    }

    /// Whether its time is over.
    pub(super) fn overdue(&self, now: Instant) -> bool {
        self.deadline.passed(now)
    }

    /// Answers; without anybody who waits, the answer is of no use.
    pub(super) fn answer(self, result: Result<u64>) {
        drop(self.answer.send(result));
    }
}

/// The queue, and the writer while it is idle. A worker starts when a job meets the idle writer, and ends when there are
/// no more jobs.
#[derive(Debug)]
pub(super) struct Lane {
    state: Mutex<State>,
    returned: Notify,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Job>,
    bytes: usize,
    idle: Option<Writer>,
    open: bool,
}

impl Lane {
    pub(super) fn new(writer: Writer) -> Self {
        let state = State { queue: VecDeque::new(), bytes: 0, idle: Some(writer), open: true };
        Self { state: Mutex::new(state), returned: Notify::new() }
    }

    /// Puts a job at the end, and has it served.
    ///
    /// # Errors
    /// `Closed` once shut, `Overloaded` when the queue is full.
    pub(super) fn push(self: &Arc<Self>, job: Job) -> Result<()> {
        let mut state = self.lock();
        if !state.open {
            return Err(Error::new(ErrorKind::Closed, "the journal is closed"));
        }
        let bytes = job.work.bytes();
        let full = state.queue.len() >= QUEUE_MAX
            || (!state.queue.is_empty() && state.bytes + bytes > QUEUE_BYTES_MAX);
        if full {
            return Err(Error::new(ErrorKind::Overloaded, "too many writes wait for the journal"));
        }
        state.bytes += bytes;
        state.queue.push_back(job);
        if let Some(writer) = state.idle.take() {
            let worker = Worker { lane: Arc::clone(self), writer: Some(writer) };
            drop(tokio::task::spawn_blocking(move || worker.serve()));
        }
        Ok(())
    }

    /// Refuses what comes, waits for what is queued, and lets go of the files and the folder.
    pub(super) async fn shut(&self) {
        // A second call finds nothing to wait for.
        if !std::mem::replace(&mut self.lock().open, false) {
            return;
        }
        loop {
            let returned = self.returned.notified();
            let idle = self.lock().idle.take();
            match idle {
                Some(writer) => {
                    return drop(tokio::task::spawn_blocking(move || drop(writer)).await);
                }
                None => returned.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer at work.
#[derive(Debug)]
struct Worker {
    lane: Arc<Lane>,
    writer: Option<Writer>,
}

impl Worker {
    fn serve(mut self) {
        while let Some(jobs) = self.next() {
            let Some(writer) = &mut self.writer else { return };
            if catch_unwind(AssertUnwindSafe(|| writer.perform(jobs))).is_err() {
                // Who waited for these jobs has been told that the outcome is unknown.
                tracing::error!(
                    "the journal's writer panicked; the next write begins a new segment"
                );
                writer.distrust();
            }
        }
    }

    /// The next jobs: appends that wait together, or one other. `None` ends the worker.
    fn next(&mut self) -> Option<Vec<Job>> {
        let mut state = self.lane.lock();
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while jobs.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let append = matches!(state.queue.front(), Some(Job { work: Work::Append(_), .. }));
            if !append && !jobs.is_empty() {
                break;
            }
            let Some(job) = state.queue.pop_front() else { break };
            bytes += job.work.bytes();
            jobs.push(job);
            if !append {
                break;
            }
        }
        state.bytes -= bytes;
        if jobs.is_empty() {
            // Under the same lock as the look at the queue: a job that comes now finds the writer.
            state.idle = self.writer.take();
            drop(state);
            self.lane.returned.notify_one();
            return None;
        }
        Some(jobs)
    }
}
