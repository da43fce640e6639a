//! One connection: reads what comes, starts what may start, sends what is ready, and waits for whichever is next.
//! It must not know what any command does.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use mainstay::{Answer, CallOptions, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    client::Entered,
    command::{Encode, Handler, Job, script, sequence},
    error::Failure,
    parse::{Limits, Parser},
    pipeline::{Pipeline, Touch},
    reply::Output,
    session::{Session, Shared},
    wake::{DRAIN, KILL},
};
use crate::script::Value;

mod dispatch;

/// The first read of a connection; the space grows while reads fill it.
const READ_MIN: usize = 4 << 10;

/// The largest space for one read.
const READ_MAX: usize = 256 << 10;

/// While more than this is unsent, nothing new is started: a slow reader slows itself down.
const UNSENT_MAX: usize = 1 << 20;

/// A client that takes nothing of what waits for it is given up after this long.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Serves one connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, entered: Entered, stream: TcpStream) {
    let client = Arc::clone(&entered.client);
    let reads = mainstay::Session::new();
    let start = |job| perform(&shared, &reads, job);
    let mut pipeline = Pipeline::new(Arc::clone(&client.wake), shared.config.pipeline_max);
    let mut connection = Connection {
        stream,
        limits: shared.config.limits(),
        session: Session::new(Arc::clone(&client), &shared.config),
        shared: &shared,
        parser: Parser::new(),
        buffer: BytesMut::new(),
        read_size: READ_MIN,
        args: Vec::new(),
        touch: Touch::default(),
        waiting: None,
        output: Output::new(),
        yielded: false,
        held: false,
        hung_up: false,
        begun: 0,
        last_command: "",
        timer: None,
        active: shared.clock().now(),
    };
    let end = poll_fn(|cx| connection.poll(cx, &mut pipeline, &start)).await;
    match end {
        End::Closed => {}
        End::Failed(error) => tracing::debug!(peer = %client.peer, %error, "RESP: connection lost"),
        End::Refused(reason) => {
            tracing::warn!(peer = %client.peer, reason, "RESP: connection closed")
        }
    }
}

/// The answer to a job.
enum Done {
    Answer(Result<Answer>, Encode),
    Outcome(Result<sequence::Outcome>),
    Script(Value),
}

/// `reads`: what this connection has seen, which is never taken back.
async fn perform(shared: &Shared, reads: &mainstay::Session, job: Job) -> Done {
    let storage = &shared.storage;
    match job {
        Job::Op(op, encode) => {
            let options = CallOptions { session: Some(reads.clone()), ..CallOptions::default() };
            Done::Answer(storage.execute(&op, options).await, encode)
        }
        Job::Script(asked) => {
            let caller = sequence::Caller { storage, reads };
            Done::Script(Box::pin(script::run(caller, &shared.scripts, *asked)).await)
        }
        Job::Sequence(steps) => {
            // Rare and large: kept out of the space that every command takes.
            Done::Outcome(
                Box::pin(sequence::run(sequence::Caller { storage, reads }, *steps)).await,
            )
        }
    }
}

/// Why a connection ends.
enum End {
    Closed,
    Failed(io::Error),
    Refused(&'static str),
}

/// What has been read and not yet begun.
enum Waiting {
    /// Answered by the front door, when all before it is answered. The arguments are in `args`.
    Local(Handler),
    /// A refusal, in its turn.
    Failure(Failure),
    /// The stream cannot be read on: a refusal, then the end.
    Fatal(Failure),
    /// For the storage; what it touches is in `touch`.
    Job(Job),
}

struct Connection<'a> {
    stream: TcpStream,
    shared: &'a Shared,
    session: Session,
    limits: Limits,
    parser: Parser,
    buffer: BytesMut,
    read_size: usize,
    args: Vec<Bytes>,
    touch: Touch,
    waiting: Option<Waiting>,
    output: Output,
    /// Whether the replies so far have waited once for more to join them.
    yielded: bool,
    /// Whether commands in the buffer wait until replies have been sent.
    held: bool,
    /// Whether the client will send no more.
    hung_up: bool,
    /// Commands begun and not yet counted.
    begun: u64,
    last_command: &'static str,
    timer: Option<Pin<Box<Sleep>>>,
    active: Instant,
}

impl Connection<'_> {
    fn poll<F, S>(
        &mut self,
        cx: &mut Context<'_>,
        pipeline: &mut Pipeline<F, bool>,
        start: &S,
    ) -> Poll<End>
    where
        F: Future<Output = Done>,
        S: Fn(Job) -> F,
    {
        self.session.client.wake.register(cx.waker());
        loop {
            if self.session.client.wake.has(KILL) {
                return Poll::Ready(End::Closed);
            }
            if let Err(end) = self.advance(pipeline, start) {
                return Poll::Ready(end);
            }
            if self.gathers(pipeline.is_empty()) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_send(cx) {
                // What was held back until there is room for its replies.
                Poll::Ready(Ok(())) if std::mem::take(&mut self.held) => continue,
                Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error)),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            let idle = pipeline.is_empty() && !self.output.has_remaining();
            if idle && self.has_ended() {
                return Poll::Ready(End::Closed);
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error)),
                Poll::Pending => {}
            }
            if idle {
                pipeline.shrink();
            }
            return self.poll_timer(cx, idle);
        }
    }

    /// Whether nothing more will be answered once what is in flight is.
    fn has_ended(&self) -> bool {
        self.session.closing || self.hung_up || self.session.client.wake.has(DRAIN)
    }

    /// Whether to let others run once before sending, since more answers are likely to be there then: one write
    /// for a batch, not one for each answer.
    fn gathers(&mut self, nothing_in_flight: bool) -> bool {
        let waits = !self.yielded
            && !nothing_in_flight
            && self.output.has_remaining()
            && self.output.remaining() < UNSENT_MAX;
        self.yielded = waits;
        waits
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.output.has_remaining() {
            // The future has no state of its own: it may be dropped after each poll.
            let write = pin!(self.stream.write_buf(&mut self.output));
            match ready!(write.poll(cx)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => self.active = self.shared.clock().now(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once. Pending also when nothing is to be read now: what was read is not used up, the client has hung up,
    /// or the connection ends.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_ended() || self.waiting.is_some() || self.output.remaining() > UNSENT_MAX {
            return Poll::Pending;
        }
        self.buffer.reserve(self.read_size);
        let read = pin!(self.stream.read_buf(&mut self.buffer));
        match read.poll(cx) {
            Poll::Pending => {
                if self.buffer.is_empty() && self.buffer.capacity() > READ_MIN {
                    // An idle connection holds no large buffer.
                    self.buffer = BytesMut::new();
                }
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(received)) => {
                self.hung_up = received == 0;
                if received >= self.read_size {
                    self.read_size = (self.read_size * 2).min(READ_MAX);
                } else if received < self.read_size / 4 {
                    self.read_size = (self.read_size / 2).max(READ_MIN);
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Ends a connection that neither sends nor takes anything for too long.
    fn poll_timer(&mut self, cx: &mut Context<'_>, idle: bool) -> Poll<End> {
        let (limit, reason) = if self.output.has_remaining() {
            (Some(STALL_MAX), "it does not take its replies")
        } else {
            (self.shared.config.idle_timeout.filter(|_| idle), "it was idle for resp.idle_timeout")
        };
        let Some(limit) = limit else {
            self.timer = None;
            return Poll::Pending;
        };
        let due = self.active + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // Set again only when it fires, not with each request.
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= due {
                return Poll::Ready(End::Refused(reason));
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}
