//! Writes to one key that come while others are under way: gathered, and sent as one statement with one commit.
//! It must not know any dialect or driver, nor what a statement looks like.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::timeout_at,
};

use super::{common::timed_out, stage::Stage};
use crate::{
    clock::{Clock, Deadline, Instant},
    error::{Effect, Error, ErrorKind, Result},
    reply::Reply,
};

mod drive;
mod form;
#[cfg(test)]
mod tests;

pub(super) use form::{Change, Mark, Write, in_order};

/// A statement under way for longer no longer keeps others from being sent: it waits for somebody's lock, or the server
/// is slow, and the pool bounds what more it gets. Locks are not waited for longer by many writes together.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

/// A shorter queue is not looked through for those whose callers have gone.
const PRUNE_MIN: usize = 256;

/// What a write came to; `None`: what guards it did not hold any more, and nothing was done.
pub(super) type Outcome = Option<Reply>;

/// What an engine does with writes.
pub(super) trait Engine: Send + Sync + 'static {
    /// A connection for one statement.
    type Lease: Send;

    /// Statements under way from which on writes wait for each other, at least one.
    fn underway_max(&self) -> usize;

    /// Bytes of keys and values that one statement may carry.
    fn bytes_max(&self) -> usize;

    /// A connection.
    ///
    /// # Errors
    /// Those of the pool; none has an effect.
    fn lease(&self, deadline: Deadline) -> impl Future<Output = Result<Self::Lease>> + Send;

    /// Gives a connection back on which nothing was sent.
    fn give_back(&self, lease: Self::Lease);

    /// Performs all in one transaction: what each came to, in their order. The writes are of one kind and under one
    /// guard, their keys ascend.
    ///
    /// # Errors
    /// Those of the server and the connection, for all. `Effect::None` only if none of the writes was applied.
    fn send(
        &self,
        lease: Self::Lease,
        writes: &[Write],
        deadline: Deadline,
    ) -> impl Future<Output = Result<Vec<Result<Outcome>>>> + Send;

    /// Performs one, as it would be without any company.
    ///
    /// # Errors
    /// Those of the server and the connection.
    fn alone(
        &self,
        write: &Write,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Outcome>> + Send;
}

/// The way of single writes to one generation of connections. Its driver ends when it is dropped.
#[derive(Debug)]
pub(super) struct Together {
    shared: Arc<Shared>,
    underway_max: usize,
}

/// What the callers and the driver share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    clock: Clock,
    /// The driver may have something to do.
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The guard's bulkhead bounds those whose callers are there.
    waiting: VecDeque<Waiting>,
    /// At this length those are taken out whose callers have gone.
    prune_at: usize,
    /// The statements under way, by number, and since when. One that takes too long is not among them any more.
    underway: BTreeMap<u64, Instant>,
    /// The number of the next.
    number: u64,
    /// The last statement of the driver was of several: who comes now is seldom alone, and goes by the driver, which lets
    /// those come first that are ready to.
    crowd: bool,
    closed: bool,
}

impl State {
    /// Whether one more statement may be under way. Whoever is over his time does not keep others from it, even if nobody
    /// awaits his future any more.
    fn has_turn(&mut self, max: usize, now: Instant) -> bool {
        if self.underway.len() >= max {
            self.underway.retain(|_, begun| now < *begun + PATIENCE);
        }
        self.underway.len() < max
    }

    /// When the next of those that are under way is over its time, if anybody waits for that.
    fn next_end(&self) -> Option<Instant> {
        let oldest = self.underway.values().min().filter(|_| !self.waiting.is_empty());
        oldest.map(|begun| *begun + PATIENCE)
    }

    fn begin(&mut self, now: Instant) -> u64 {
        self.number += 1;
        self.underway.insert(self.number, now);
        self.number
    }

    fn push(&mut self, waiting: Waiting) {
        if self.waiting.len() >= self.prune_at {
            self.waiting.retain(|row| !row.answer.is_closed());
            self.prune_at = (2 * self.waiting.len()).max(PRUNE_MIN);
        }
        self.waiting.push_back(waiting);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Together {
    /// Begins to drive. The engine holds what this returns, so it is not held by it.
    #[expect(clippy::disallowed_methods, reason = "it ends with its connections, which hold it")]
    pub(super) fn start<E: Engine>(engine: &Arc<E>) -> Self {
        let (state, news) = (Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { state, clock: Clock::system(), news });
        let underway_max = engine.underway_max().max(1);
        drop(tokio::spawn(drive::drive(Arc::downgrade(engine), Arc::clone(&shared))));
        Self { shared, underway_max }
    }

    /// Performs a write at once by `alone` while hardly any is under way; else it is sent together with those that come
    /// meanwhile.
    ///
    /// # Errors
    /// Those of the engine; `Overloaded` when its turn did not come by the deadline.
    pub(super) async fn perform(
        &self,
        write: Write,
        alone: impl Future<Output = Result<Outcome>>,
        deadline: Deadline,
    ) -> Result<Outcome> {
        match self.turn() {
            Some(_turn) => alone.await,
            None => self.join(write, deadline).await,
        }
    }

    /// `None`: enough are under way, or others came before, or the last came as a crowd. Where nobody drives any more each goes
    /// alone.
    fn turn(&self) -> Option<Turn> {
        let mut state = self.shared.lock();
        let now = self.shared.clock.now();
        let free =
            state.waiting.is_empty() && !state.crowd && state.has_turn(self.underway_max, now);
        (free || state.closed).then(|| Turn(Arc::clone(&self.shared), state.begin(now)))
    }

    async fn join(&self, write: Write, deadline: Deadline) -> Result<Outcome> {
        let (answer, answered) = oneshot::channel();
        let stage = Arc::new(Stage::default());
        let waiting = Waiting { write, deadline, stage: Arc::clone(&stage), answer };
        self.shared.lock().push(waiting);
        self.shared.news.notify_one();
        match timeout_at(deadline.instant(), answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_dropped)) => {
                let effect = if stage.give_up() { Effect::None } else { Effect::Unknown };
                let message = "nobody was left to send the write";
                Err(Error::new(ErrorKind::Internal, message).with_effect(effect))
            }
            Err(_elapsed) if stage.give_up() => Err(no_place()),
            Err(_elapsed) => Err(timed_out("the statement", Effect::Unknown)),
        }
    }
}

/// Its turn did not come by the deadline: nothing was sent.
fn no_place() -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "the writes under way left no connection for this one in time",
    )
}

impl Drop for Together {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.news.notify_one();
    }
}

/// The right to have a statement under way, until it is over its time.
#[derive(Debug)]
struct Turn(Arc<Shared>, u64);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.underway.remove(&self.1);
        if !state.waiting.is_empty() {
            self.0.news.notify_one();
        }
    }
}

/// A write, until when it is of use, and who waits for it.
#[derive(Debug)]
struct Waiting {
    write: Write,
    deadline: Deadline,
    stage: Arc<Stage>,
    answer: oneshot::Sender<Result<Outcome>>,
}

impl Waiting {
    /// From here on its effect may be unknown. False: nobody waits for it any more.
    fn begin(&self) -> bool {
        !self.answer.is_closed() && self.stage.begin()
    }

    /// Answers; without anybody who waits, the answer is of no use.
    fn answer(self, outcome: Result<Outcome>) {
        drop(self.answer.send(outcome));
    }
}

impl AsRef<Write> for Waiting {
    fn as_ref(&self) -> &Write {
        &self.write
    }
}
