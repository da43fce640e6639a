//! Commands of many callers sent together: one request to the client library, few packets, one list of replies.
//! It must not know operations, deadlines, nor what an error reply means.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{Cmd, Value, aio::MultiplexedConnection};
use tokio::sync::{mpsc, oneshot};

use self::gather::{Asked, Both, Waiting};
use super::classify;
use crate::{
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    merging::{Merging, Tally},
    sharded::Apart,
};

mod gather;

/// From so many calls in flight on, commands are sent together: below that a queue only adds a hand-over.
const CROWD: usize = 4;

/// Commands of one batch at most.
const BATCH_MAX: usize = 256;

/// Batches under way at once: while one travels the next is filled. More would only make them smaller.
const UNDERWAY_MAX: usize = 2;

/// The queue before one connection. The guard's bulkhead bounds it; its driver ends when it is dropped.
#[derive(Debug)]
pub(super) struct Batches {
    queue: mpsc::UnboundedSender<Waiting>,
    /// Apart, for it is written with each call, and what is beside it is read.
    calls: Apart<AtomicUsize>,
}

/// A call in flight, counted until it is dropped.
pub(super) struct Call<'a>(&'a Batches, usize);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.calls.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Call<'_> {
    /// Whether enough others are in flight for the command to travel with theirs.
    pub(super) fn is_crowded(&self) -> bool {
        self.1 >= CROWD
    }
}

impl Batches {
    #[expect(clippy::disallowed_methods, reason = "it ends with its connection: the queue closes")]
    pub(super) fn new(connection: MultiplexedConnection) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        drop(tokio::spawn(drive(connection, waiting)));
        Self { queue, calls: Default::default() }
    }

    /// A call begins.
    pub(super) fn enter(&self) -> Call<'_> {
        Call(self, self.calls.0.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends one command together with those of others, at once. An error reply is a value.
    pub(super) fn send(&self, command: Cmd) -> impl Future<Output = Result<Value>> + use<> {
        self.ask(Asked::Command(command))
    }

    /// Asks for the value of a key, perhaps in one command with others. An error reply is a value.
    pub(super) fn get(&self, key: Key) -> impl Future<Output = Result<Value>> + use<> {
        self.ask(Asked::Get(key))
    }

    /// Sets a key for good, whatever is there, perhaps in one command with others. An error reply is a value, unless it is to all
    /// of them and some may be set.
    pub(super) fn set(
        &self,
        key: Key,
        value: Bytes,
    ) -> impl Future<Output = Result<Value>> + use<> {
        self.ask(Asked::Set(key, value))
    }

    /// What is asked is not part of the future, which stays small.
    fn ask(&self, asked: Asked) -> impl Future<Output = Result<Value>> + use<> {
        let (caller, answer) = oneshot::channel();
        let sent = self.queue.send(Waiting { asked, caller, alone: false }).is_ok();
        async move {
            let gone_with = if sent { Effect::Unknown } else { Effect::None };
            answer.await.unwrap_or_else(|_| Err(gone(gone_with)))
        }
    }
}

fn gone(effect: Effect) -> Error {
    Error::new(ErrorKind::Disconnected, "the connection is broken").with_effect(effect)
}

async fn drive(connection: MultiplexedConnection, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut underway = FuturesUnordered::new();
    let mut merging: Both<Merging> = Both::default();
    loop {
        let room = underway.len() < UNDERWAY_MAX;
        tokio::select! {
            biased;
            Some((tally, alone)) = underway.next(), if !underway.is_empty() => {
                merging.note(tally);
                // They go with the next batch, and before those that came later.
                batch.extend(alone);
            }
            taken = waiting.recv_many(&mut batch, BATCH_MAX), if room => {
                if taken == 0 {
                    break;
                }
            }
        }
        if !batch.is_empty() && underway.len() < UNDERWAY_MAX {
            while batch.len() < BATCH_MAX
                && let Ok(next) = waiting.try_recv()
            {
                batch.push(next);
            }
            let batch = std::mem::take(&mut batch);
            underway.push(send_together(connection.clone(), batch, merging.pays()));
        }
    }
    while let Some((_, alone)) = underway.next().await {
        if !alone.is_empty() {
            underway.push(send_together(connection.clone(), alone, Both::default()));
        }
    }
}

/// Sends a batch. What of it has to be asked alone comes back.
async fn send_together(
    mut connection: MultiplexedConnection,
    mut batch: Vec<Waiting>,
    merges: Both<bool>,
) -> (Both<Tally>, Vec<Waiting>) {
    // Whose caller has gone is not sent at all.
    batch.retain(|one| !one.caller.is_closed());
    let (pipeline, callers) = gather::form(batch, merges);
    if callers.is_empty() {
        return (Both::default(), Vec::new());
    }
    let replies = connection.send_packed_commands(&pipeline, 0, callers.replies()).await;
    match replies.map_err(classify::failure) {
        // A caller may have gone meanwhile; one without a reply learns that the connection is out of step.
        Ok(replies) => callers.hand_out(replies),
        Err(error) => {
            callers.refuse(&error);
            (Both::default(), Vec::new())
        }
    }
}
