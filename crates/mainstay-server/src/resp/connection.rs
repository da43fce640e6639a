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

use arc_swap::{ArcSwap, Cache};
use bytes::{Buf, Bytes, BytesMut};
use mainstay::{Answer, CallOptions, ErrorKind, Key, Op, RawOp, RawValue, Record, Result, Storage};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, Sleep, timeout},
};

use super::{
    channels::{Held, Kind},
    client::{Client, Entered},
    command::{
        Encode, Handler, Job, Spec, channels, hash,
        multi::{self, Marks},
        part::Part,
        script, sequence,
    },
    config::RespConfig,
    error::Failure,
    parse::{Limits, Parser},
    passing::{self, Lease, Nulls},
    pipeline::{Pipeline, Touch},
    reply::{Output, Protocol},
    session::{Session, Shared},
    wake::{DRAIN, KILL},
};
use crate::{
    limits::{Limit, Share},
    script::Value,
    tls::Stream,
};

mod dispatch;
mod held;
mod run;

use run::{Answers, Run};

/// The first read of a connection; the space grows while reads fill it.
const READ_MIN: usize = 4 << 10;

/// The largest space for one read.
const READ_MAX: usize = 256 << 10;

/// What is read ahead behind a command that waits.
const AHEAD_MAX: usize = 1 << 20;

/// While more than this is unsent, nothing new is started: a slow reader slows itself down.
const UNSENT_MAX: usize = 1 << 20;

/// The same before the client has authenticated.
const UNSENT_UNAUTHENTICATED: usize = 4 << 10;

/// A command that waits for longer in Redis waits for long.
const WAIT_LONG: Duration = Duration::from_secs(60);

/// How long the end of a connection may take to be said.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Serves one connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, entered: Entered, stream: Stream) {
    let client = Arc::clone(&entered.client);
    let reads = mainstay::Session::new();
    let options = CallOptions::of(&reads);
    let start = |job| perform(&shared, &reads, job);
    let mut pipeline =
        Pipeline::new(Arc::clone(&client.wake), shared.config().pipeline_max, Done::bytes);
    let mut connection = Connection {
        stream,
        limits: shared.config().limits(),
        settings: Cache::new(&shared.settings),
        session: Session::new(Arc::clone(&client), shared.anonymous()),
        shared: &shared,
        parser: Parser::new(),
        buffer: BytesMut::new(),
        read_size: READ_MIN,
        args: Vec::new(),
        touch: Touch::default(),
        options,
        run: Run::default(),
        waiting: None,
        output: Output::new(),
        unflushed: false,
        yielded: false,
        held: false,
        hung_up: false,
        blocked: false,
        blocked_for: None,
        begun: 0,
        last_command: "",
        spec: None,
        timer: None,
        active: shared.clock().now(),
        unsent: None,
        nobody: None,
        partial: None,
        taken: 0,
        in_flight: 0,
        share: Share::of(&shared.door.buffers),
    };
    let end = poll_fn(|cx| connection.poll(cx, &mut pipeline, &start)).await;
    let answers = pipeline.is_empty();
    drop(pipeline);
    if let End::Over(limit) = end {
        connection.give_up(limit, answers).await;
    }
    connection.say_goodbye().await;
    match end {
        End::Closed | End::Over(_) => {}
        End::Failed(error) => tracing::debug!(peer = %client.peer, %error, "RESP: connection lost"),
        End::Refused(reason) => {
            tracing::warn!(peer = %client.peer, reason, "RESP: connection closed")
        }
        End::SpeaksHttp => speaks_http(&shared, &client),
    }
}

/// The answer to a job.
enum Done {
    Answer(Result<Answer>, Encode),
    /// To reads that were made as one, each written when there is room for it.
    Run(Answers),
    Outcome(Result<sequence::Outcome>),
    Script(Value),
    Part(Result<Option<Record>>, Part),
    Hash(std::result::Result<hash::Answer, Failure>),
    /// What EXEC answers, as it is sent.
    Transaction(Result<Output>),
    Watched(Result<Marks>),
    /// A command that was passed through, and whether it could wait.
    Passed(std::result::Result<RawValue, Failure>, Nulls, bool),
    /// And whether keys were watched over that connection before.
    PassWatched(std::result::Result<(Lease, RawValue), Failure>, bool),
    Channels(std::result::Result<channels::Answer, Failure>),
    Subscribed(Kind, Vec<Held>),
    /// What EXEC answers.
    Together(std::result::Result<Output, Failure>),
}

/// `reads`: what this connection has seen, which is never taken back.
async fn perform(shared: &Shared, reads: &mainstay::Session, job: Job) -> Done {
    let storage = &shared.storage;
    match job {
        Job::Op(op, encode) => {
            let options = CallOptions::of(reads);
            Done::Answer(storage.execute(&op, options).await, encode)
        }
        Job::Run(gets) => Box::pin(gets_at_once(storage, reads, gets)).await,
        Job::Part(key, part) => {
            let options = CallOptions::of(reads);
            let get = Op::Get { key: key.clone(), with_ttl: false };
            let answer = storage.execute(&get, options).await;
            let record = answer.and_then(|answer| answer.reply.into_record());
            let foreign = record.as_ref().is_err_and(|e| e.kind() == ErrorKind::WrongType);
            match shared.passing.any().filter(|_| foreign && part == Part::Type) {
                // Redis holds more types than Mainstay keeps.
                Some(redis) => Box::pin(type_at(storage, redis, key)).await,
                None => Done::Part(record, part),
            }
        }
        Job::Hash(call) => {
            let caller = sequence::Caller { storage, reads };
            Done::Hash(Box::pin(hash::run(caller, &shared.turns, *call)).await)
        }
        Job::Transaction(asked) => {
            let caller = sequence::Caller { storage, reads };
            let output_max = shared.config().output_max;
            let answer = Box::pin(multi::run(caller, &shared.scripts, output_max, *asked)).await;
            Done::Transaction(answer)
        }
        Job::Watch(keys) => {
            let caller = sequence::Caller { storage, reads };
            Done::Watched(Box::pin(multi::look(caller, keys)).await)
        }
        job @ (Job::Pass(_) | Job::Block(_) | Job::PassWatch(_) | Job::PassExec(_)) => {
            Box::pin(pass(shared, job)).await
        }
        Job::Channels(ask) => Done::Channels(Box::pin(channels::run(&shared.hub, *ask)).await),
        Job::Subscribe(kind, names) => {
            Done::Subscribed(kind, Box::pin(shared.hub.hold(kind, names)).await)
        }
        Job::Script(asked) => {
            let caller = sequence::Caller { storage, reads };
            let at_redis = shared.passing.scripts();
            Done::Script(Box::pin(script::run(caller, &shared.scripts, at_redis, *asked)).await)
        }
        Job::Sequence(steps) => {
            // Rare and large: kept out of the space that every command takes.
            Done::Outcome(
                Box::pin(sequence::run(sequence::Caller { storage, reads }, *steps)).await,
            )
        }
    }
}

async fn gets_at_once(
    storage: &Storage,
    reads: &mainstay::Session,
    gets: Vec<(Key, Encode)>,
) -> Done {
    let options = CallOptions::of(reads);
    let (keys, encodes): (Vec<Key>, Vec<Encode>) = gets.into_iter().unzip();
    let answers = storage.get_each(keys, &options).await;
    Done::Run(Answers::new(answers, encodes))
}

/// What goes to Redis as it is.
async fn pass(shared: &Shared, job: Job) -> Done {
    let (storage, lines) = (&shared.storage, &shared.passing.lines);
    match job {
        Job::Pass(asked) => {
            let (op, nulls) = *asked;
            let answer = storage.execute(&Op::Raw(op), CallOptions::default()).await;
            let value = answer.and_then(|answer| answer.reply.into_raw());
            Done::Passed(value.map(|value| *value).map_err(Failure::from), nulls, false)
        }
        Job::Block(asked) => {
            let nulls = asked.nulls;
            Done::Passed(passing::block(storage, lines, *asked).await, nulls, true)
        }
        Job::PassWatch(asked) => {
            let again = asked.lease.is_some();
            Done::PassWatched(passing::watch(storage, lines, *asked).await, again)
        }
        Job::PassExec(asked) => {
            let mut out = Output::new();
            out.set_protocol(if asked.resp3 { Protocol::Resp3 } else { Protocol::Resp2 });
            let done = passing::together(storage, lines, *asked, &mut out).await;
            Done::Together(done.map(|()| out))
        }
        _ => {
            let text = "ERR internal error: this is not for Redis";
            Done::Passed(Err(Failure::fixed(text)), Nulls::default(), false)
        }
    }
}

/// The type of a key by Redis itself.
async fn type_at(storage: &Storage, redis: &Arc<str>, key: Key) -> Done {
    let op = Op::Raw(RawOp {
        backend: Arc::clone(redis),
        words: vec![Bytes::from_static(b"TYPE"), key.bytes().clone()],
        keys: vec![key],
        resp3: true,
        reads: true,
    });
    let answer = storage.execute(&op, CallOptions::default()).await;
    let value = answer.and_then(|answer| answer.reply.into_raw());
    Done::Passed(value.map(|value| *value).map_err(Failure::from), Nulls::default(), false)
}

/// Why a connection ends.
enum End {
    Closed,
    Failed(io::Error),
    Over(Limit),
    Refused(&'static str),
    /// Perhaps a page of a browser that was made to talk to the wrong port.
    SpeaksHttp,
}

/// Says so once: whoever is behind it may try again and again.
fn speaks_http(shared: &Shared, client: &Client) {
    shared.counters.http.add(1);
    if shared.counters.http.get() == 1 {
        let reason = "it speaks HTTP, perhaps a cross-protocol attack; others that do are counted, not logged";
        tracing::warn!(peer = %client.peer, reason, "RESP: connection closed");
    }
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
    stream: Stream,
    shared: &'a Shared,
    session: Session,
    limits: Limits,
    /// Looked at with each command: a cached pointer, compared.
    settings: Cache<&'a ArcSwap<RespConfig>, Arc<RespConfig>>,
    parser: Parser,
    buffer: BytesMut,
    read_size: usize,
    args: Vec<Bytes>,
    touch: Touch,
    /// Of its reads.
    options: CallOptions,
    /// Reads that have been read, and begin with those behind them.
    run: Run,
    waiting: Option<Waiting>,
    output: Output,
    /// Whether what was written may wait in the encryption.
    unflushed: bool,
    /// Whether the replies so far have waited once for more to join them.
    yielded: bool,
    /// Whether commands in the buffer wait until replies have been sent.
    held: bool,
    /// Whether the client will send no more.
    hung_up: bool,
    /// Whether the command in flight may wait in Redis for long.
    blocked: bool,
    /// For how long; `None`: for ever.
    blocked_for: Option<Duration>,
    /// Commands begun and not yet counted.
    begun: u64,
    last_command: &'static str,
    /// What `waiting` came from.
    spec: Option<&'static Spec>,
    timer: Option<Pin<Box<Sleep>>>,
    active: Instant,
    /// Since when the client has taken nothing of what waits for it.
    unsent: Option<Instant>,
    /// Since when it has not been known who it is.
    nobody: Option<Instant>,
    /// Since when part of a request has been there.
    partial: Option<Instant>,
    /// Bytes of the command in `waiting`.
    taken: usize,
    /// Bytes of the commands in flight.
    in_flight: usize,
    /// What it holds of `resp.buffers_max`.
    share: Share,
}

/// What is remembered of a command in flight.
struct Note {
    muted: bool,
    bytes: usize,
}

impl Connection<'_> {
    fn poll<F, S>(
        &mut self,
        cx: &mut Context<'_>,
        pipeline: &mut Pipeline<F, Note>,
        start: &S,
    ) -> Poll<End>
    where
        F: Future<Output = Done>,
        S: Fn(Job) -> F,
    {
        self.session.client.wake.register(cx.waker());
        loop {
            // What it waits for would be taken out of Redis for nobody.
            let revoked = self.blocked && self.session.is_revoked();
            if revoked || self.session.client.wake.has(KILL) {
                return Poll::Ready(End::Closed);
            }
            if let Err(end) =
                self.advance(pipeline, start).and_then(|()| self.weigh(pipeline.ready()))
            {
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
            let idle = pipeline.is_empty() && !self.output.has_remaining() && !self.unflushed;
            if (idle || self.blocked) && self.has_ended() {
                return Poll::Ready(End::Closed);
            }
            if self.is_out_of_sight() {
                return Poll::Ready(End::Refused("it sends too much behind a command that waits"));
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error)),
                Poll::Pending => {}
            }
            if idle {
                pipeline.shrink();
                self.run.shrink();
            }
            // Again: what was sent and let go of since is nobody's share any more.
            return match self.weigh(pipeline.ready()) {
                Ok(()) => self.poll_timer(cx, idle),
                Err(end) => Poll::Ready(end),
            };
        }
    }

    /// Whether nothing more will be answered once what is in flight is.
    fn has_ended(&self) -> bool {
        self.session.closing || self.hung_up || self.session.client.wake.has(DRAIN)
    }

    /// Whether the end of the client would not be seen for long: no more is read behind a command that waits.
    fn is_out_of_sight(&self) -> bool {
        let long = self.blocked_for.is_none_or(|wait| wait > WAIT_LONG);
        self.blocked && long && self.buffer.len() > AHEAD_MAX
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
                Ok(_) => {
                    (self.active, self.unsent) = (self.shared.clock().now(), None);
                    self.unflushed = self.stream.holds_back();
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            (self.unflushed, self.unsent) = (false, None);
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the encryption in order, so that the client can tell the end from a connection that was cut.
    async fn say_goodbye(&mut self) {
        if self.stream.holds_back() {
            // Whoever does not take it has lost nothing.
            let _ = timeout(GOODBYE_MAX, self.stream.shutdown()).await;
        }
    }

    /// Reads once. Pending also when nothing is to be read now: what was read is not used up, the client has hung up,
    /// or the connection ends.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Behind a command that waits it is read on, so that the end of the client is seen.
        let held = match self.blocked {
            true => self.buffer.len() > AHEAD_MAX,
            false => self.waiting.is_some(),
        };
        if self.has_ended() || held || self.is_backed_up() {
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
}
