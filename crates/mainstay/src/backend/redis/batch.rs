//! Commands of many callers sent together: one request to the client library, few packets, one list of replies.
//! It must not know operations, deadlines, nor what an error reply means.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{Cmd, Value, aio::MultiplexedConnection};
use tokio::sync::{mpsc, oneshot};

use super::classify;
use crate::error::{Effect, Error, ErrorKind, Result};

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
    calls: AtomicUsize,
}

#[derive(Debug)]
struct Waiting {
    command: Cmd,
    reply: oneshot::Sender<Result<Value>>,
}

/// A call in flight, counted until it is dropped.
pub(super) struct Call<'a>(&'a Batches, usize);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
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
        Self { queue, calls: AtomicUsize::new(0) }
    }

    /// A call begins.
    pub(super) fn enter(&self) -> Call<'_> {
        Call(self, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends one command together with those of others. An error reply is a value.
    pub(super) async fn send(&self, command: Cmd) -> Result<Value> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Waiting { command, reply }).map_err(|_| gone(Effect::None))?;
        answer.await.unwrap_or_else(|_| Err(gone(Effect::Unknown)))
    }
}

fn gone(effect: Effect) -> Error {
    Error::new(ErrorKind::Disconnected, "the connection is broken").with_effect(effect)
}

async fn drive(connection: MultiplexedConnection, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut underway = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = underway.next(), if !underway.is_empty() => {}
            taken = waiting.recv_many(&mut batch, BATCH_MAX), if underway.len() < UNDERWAY_MAX => {
                if taken == 0 {
                    break;
                }
                underway.push(send_together(connection.clone(), batch.split_off(0)));
            }
        }
    }
    while underway.next().await.is_some() {}
}

async fn send_together(mut connection: MultiplexedConnection, batch: Vec<Waiting>) {
    let mut pipeline = redis::Pipeline::with_capacity(batch.len());
    let mut callers = Vec::with_capacity(batch.len());
    // Whose caller has gone is not sent at all.
    for Waiting { command, reply } in batch.into_iter().filter(|one| !one.reply.is_closed()) {
        pipeline.add_command(command);
        callers.push(reply);
    }
    if callers.is_empty() {
        return;
    }
    let replies = connection.send_packed_commands(&pipeline, 0, callers.len()).await;
    match replies.map_err(classify::failure) {
        // A caller may have gone meanwhile; one without a reply learns that the connection is out of step.
        Ok(values) => {
            callers.into_iter().zip(values).for_each(|(caller, value)| drop(caller.send(Ok(value))))
        }
        Err(error) => callers.into_iter().for_each(|caller| drop(caller.send(Err(error.clone())))),
    }
}
