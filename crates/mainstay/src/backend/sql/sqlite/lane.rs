//! A queue of jobs and the connections that serve it, on the runtime's blocking threads.
//! It must not know what the jobs do.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use super::{super::stage::Stage, work::Work};
use crate::{
    clock::{Deadline, Instant},
    error::{Error, ErrorKind, Result},
    live::LiveSize,
    reply::Reply,
};

/// Some work, until when it is of use, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    deadline: Deadline,
    stage: Arc<Stage>,
    answer: oneshot::Sender<Result<Reply>>,
}

impl Job {
    pub(super) fn new(
        work: Work,
        deadline: Deadline,
    ) -> (Self, Arc<Stage>, oneshot::Receiver<Result<Reply>>) {
        let (answer, receiver) = oneshot::channel();
        let stage = Arc::new(Stage::default());
        (Self { work, deadline, stage: Arc::clone(&stage), answer }, stage, receiver)
    }

    /// From here on its effect may be unknown to the one who waits. False: nobody waits any more.
    pub(super) fn begin(&self) -> bool {
        self.is_awaited() && self.stage.begin()
    }

    /// Whether somebody still waits for the answer.
    pub(super) fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }

    /// Whether its time is over.
    pub(super) fn overdue(&self, now: Instant) -> bool {
        self.deadline.passed(now)
    }

    /// Answers; without anybody who waits, the answer is of no use.
    pub(super) fn answer(self, result: Result<Reply>) {
        drop(self.answer.send(result));
    }
}

/// The queue and its idle connections. A worker starts when a job meets an idle connection, and ends when there are no
/// more jobs: so nothing runs, and no thread is held, while there is nothing to do.
#[derive(Debug)]
pub(super) struct Lane {
    state: Mutex<State>,
    returned: Notify,
    queue_max: Arc<LiveSize>,
    connections: usize,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Job>,
    idle: Vec<Connection>,
    open: bool,
}

impl Lane {
    pub(super) fn new(idle: Vec<Connection>, queue_max: Arc<LiveSize>) -> Self {
        let connections = idle.len();
        let state = Mutex::new(State { queue: VecDeque::new(), idle, open: true });
        Self { state, returned: Notify::new(), queue_max, connections }
    }

    /// Puts a job at the end; the worker, when there is one to be started.
    ///
    /// # Errors
    /// `OutOfUse` once shut, `Overloaded` when the queue is full.
    pub(super) fn push(self: &Arc<Self>, job: Job) -> Result<Option<Worker>> {
        let mut state = self.lock();
        if !state.open {
            return Err(Error::new(ErrorKind::OutOfUse, "closed"));
        }
        if state.queue.len() >= self.queue_max.get() {
            return Err(Error::new(ErrorKind::Overloaded, "too many operations wait for SQLite"));
        }
        state.queue.push_back(job);
        let connection = state.idle.pop();
        Ok(connection
            .map(|connection| Worker { lane: Arc::clone(self), connection: Some(connection) }))
    }

    /// Refuses what waits and what comes; then waits until the connections are back, and closes them.
    pub(super) async fn shut(&self) {
        let waiting = {
            let mut state = self.lock();
            state.open = false;
            std::mem::take(&mut state.queue)
        };
        for job in waiting {
            job.answer(Err(Error::new(ErrorKind::OutOfUse, "closed")));
        }
        loop {
            let returned = self.returned.notified();
            let idle = {
                let mut state = self.lock();
                let all = state.idle.len() == self.connections;
                all.then(|| std::mem::take(&mut state.idle))
            };
            match idle {
                // The last one writes the log back into the database, which takes a while.
                Some(idle) => {
                    return drop(tokio::task::spawn_blocking(move || drop(idle)).await);
                }
                None => returned.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection at work.
#[derive(Debug)]
pub(super) struct Worker {
    lane: Arc<Lane>,
    connection: Option<Connection>,
}

impl Worker {
    /// The next jobs, at least one, at most `count_max`, fewer when they are large; `None` ends the worker.
    pub(super) fn next(
        &mut self,
        count_max: usize,
        bytes_max: usize,
    ) -> Option<(&Connection, Vec<Job>)> {
        let mut state = self.lane.lock();
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while jobs.len() < count_max
            && bytes < bytes_max
            && let Some(job) = state.queue.pop_front()
        {
            bytes += job.work.bytes();
            jobs.push(job);
        }
        if jobs.is_empty() {
            // Under the same lock as the look at the queue: a job that comes now finds the connection.
            state.idle.extend(self.connection.take());
            drop(state);
            self.lane.returned.notify_one();
            return None;
        }
        drop(state);
        self.connection.as_ref().map(|connection| (connection, jobs))
    }
}

impl Drop for Worker {
    /// After a panic: the connection goes back without the transaction it was in.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
        self.lane.lock().idle.push(connection);
        self.lane.returned.notify_one();
    }
}

#[cfg(test)]
impl Lane {
    /// Does something to a connection once it is idle.
    pub(super) fn with_idle(&self, each: impl FnOnce(&Connection)) {
        loop {
            if let Some(connection) = self.lock().idle.first() {
                return each(connection);
            }
            std::thread::yield_now();
        }
    }
}
