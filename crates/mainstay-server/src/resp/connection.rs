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
use mainstay::{Answer, CallOptions, Result, Storage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    client::Entered,
    command::{self, Encode, Handler, Job, Request, sequence},
    error::Failure,
    parse::{Limits, Parser},
    pipeline::{Pipeline, Touch},
    reply::Output,
    session::{Session, Shared},
    wake::{DRAIN, KILL},
};

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
    let storage = &shared.storage;
    let start = |job| perform(storage, job);
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
        End::Refused(reason) => tracing::warn!(peer = %client.peer, reason, "RESP: connection closed"),
    }
}

/// The answer to a job.
enum Done {
    Answer(Result<Answer>, Encode),
    Outcome(Result<sequence::Outcome>),
}

async fn perform(storage: &Storage, job: Job) -> Done {
    match job {
        Job::Op(op, encode) => {
            Done::Answer(storage.execute(&op, CallOptions::default()).await, encode)
        }
        Job::Sequence(steps) => {
            // Rare and large: kept out of the space that every command takes.
            Done::Outcome(Box::pin(sequence::run(storage, *steps)).await)
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

    /// Starts and finishes commands until nothing moves.
    fn advance<F, S>(
        &mut self,
        pipeline: &mut Pipeline<F, bool>,
        start: &S,
    ) -> std::result::Result<(), End>
    where
        F: Future<Output = Done>,
        S: Fn(Job) -> F,
    {
        pipeline.poll_woken();
        loop {
            while let Some((muted, done)) = pipeline.take_front() {
                self.finish(muted, done);
            }
            if self.output.remaining() as u64 > self.shared.config.output_max {
                return Err(End::Refused("its unsent replies are over resp.output_max"));
            }
            if !self.begin(pipeline, start)? {
                break;
            }
        }
        self.count();
        Ok(())
    }

    /// Begins the next command, if there is one and it may begin now.
    fn begin<F, S>(
        &mut self,
        pipeline: &mut Pipeline<F, bool>,
        start: &S,
    ) -> std::result::Result<bool, End>
    where
        F: Future<Output = Done>,
        S: Fn(Job) -> F,
    {
        if self.waiting.is_none() && !self.read_command()? {
            return Ok(false);
        }
        if let Some(Waiting::Job(job)) = &self.waiting {
            let alone = matches!(job, Job::Sequence(_)) && !pipeline.is_empty();
            if alone || !pipeline.admits(&self.touch) {
                return Ok(false);
            }
        } else if !pipeline.is_empty() {
            return Ok(false);
        }
        match self.waiting.take() {
            Some(Waiting::Job(job)) => {
                let muted = self.session.begin_command();
                pipeline.start(start(job), &mut self.touch, muted);
            }
            Some(Waiting::Local(handler)) => self.answer(handler),
            Some(Waiting::Failure(failure)) => self.refuse(&failure),
            Some(Waiting::Fatal(failure)) => {
                self.refuse(&failure);
                self.session.closing = true;
            }
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Reads one command from the buffer into `waiting`.
    fn read_command(&mut self) -> std::result::Result<bool, End> {
        self.held = self.output.remaining() > UNSENT_MAX;
        if self.held || self.session.closing {
            return Ok(false);
        }
        let limits =
            if self.session.authenticated { &self.limits } else { &Limits::UNAUTHENTICATED };
        match self.parser.take(&mut self.buffer, limits, &mut self.args) {
            Ok(false) => return Ok(false),
            Ok(true) => {}
            Err(error) => {
                let failure = Failure::new(format!("ERR {error}"));
                self.waiting = Some(Waiting::Fatal(failure));
                return Ok(true);
            }
        }
        self.begun += 1;
        let Some(spec) = command::find(&self.args[0]) else {
            if command::is_http(&self.args[0]) {
                return Err(End::Refused("it speaks HTTP, perhaps a cross-protocol attack"));
            }
            let failure = if self.session.authenticated {
                command::unknown(&self.args)
            } else {
                Failure::NOT_AUTHENTICATED
            };
            self.waiting = Some(Waiting::Failure(failure));
            return Ok(true);
        };
        self.last_command = spec.name;
        self.waiting = Some(self.prepare(spec));
        Ok(true)
    }

    fn prepare(&mut self, spec: &command::Spec) -> Waiting {
        if !spec.takes(self.args.len()) {
            return Waiting::Failure(Failure::arity(spec.name));
        }
        if !self.session.authenticated && !matches!(spec.handler, Handler::Open(_)) {
            return Waiting::Failure(Failure::NOT_AUTHENTICATED);
        }
        let Handler::Data(read) = spec.handler else { return Waiting::Local(spec.handler) };
        let request = Request {
            args: &self.args,
            clock: self.shared.clock(),
            cursors: &self.shared.cursors,
            allow_flush: self.shared.config.allow_flush,
        };
        match read(&request) {
            Ok(job) => {
                match &job {
                    Job::Op(op, _) => self.touch.fill(op),
                    Job::Sequence(_) => self.touch.fill_exclusive(),
                }
                Waiting::Job(job)
            }
            Err(failure) => Waiting::Failure(failure),
        }
    }

    /// Answers a command of the front door's own.
    fn answer(&mut self, handler: Handler) {
        let (Handler::Local(run) | Handler::Open(run)) = handler else { return };
        let muted = self.session.begin_command();
        self.output.set_muted(muted);
        let args = std::mem::take(&mut self.args);
        let result = run(&mut command::Context {
            shared: self.shared,
            session: &mut self.session,
            out: &mut self.output,
            args: &args,
        });
        self.args = args;
        if let Err(failure) = result {
            self.output.error(failure.text());
        }
        self.output.set_muted(false);
    }

    fn refuse(&mut self, failure: &Failure) {
        let muted = self.session.begin_command();
        self.output.set_muted(muted);
        self.output.error(failure.text());
        self.output.set_muted(false);
    }

    /// Writes the answer to a job.
    fn finish(&mut self, muted: bool, done: Done) {
        self.output.set_muted(muted);
        let written = match done {
            Done::Answer(answer, encode) => {
                answer.and_then(|answer| encode(answer, self.shared.clock(), &mut self.output))
            }
            Done::Outcome(outcome) => outcome
                .map(|outcome| outcome.encode(&self.shared.cursors, &mut self.output)),
        };
        if let Err(error) = written {
            self.output.error(Failure::from(error).text());
        }
        self.output.set_muted(false);
    }

    /// Adds this batch to the counters, once.
    fn count(&mut self) {
        if self.begun > 0 {
            self.shared.counters.commands.add(std::mem::take(&mut self.begun));
            self.active = self.shared.clock().now();
            self.session.client.touch(self.active);
            let command = self.last_command;
            self.session.client.update(|facts| facts.command = command);
        }
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
