//! What one connection does with what it has read: commands begin in their turn, answers are written in order.
//! It must not know sockets.

use std::future::Future;

use bytes::{Buf, BytesMut};
use mainstay::{Answer, Clock, Op, RawOp};

use super::{Connection, Done, End, Note, READ_MAX, UNSENT_MAX, Waiting};
use crate::{
    limits::Limit,
    resp::{
        command::{
            self, Encode, Handler, Job, Request, channels, hash::Ask, multi, permission,
            script::encode_script,
        },
        error::Failure,
        parse::Limits,
        passing::{Blocking, Nulls, Side, encode},
        pipeline::{Pipeline, Touch},
        reply::{Output, Protocol},
    },
};

impl Connection<'_> {
    /// Starts and finishes commands until nothing moves.
    pub(super) fn advance<F, S>(
        &mut self,
        pipeline: &mut Pipeline<F, Note>,
        start: &S,
    ) -> Result<(), End>
    where
        F: Future<Output = Done>,
        S: Fn(Job) -> F,
    {
        pipeline.poll_woken();
        loop {
            // The rest when these have been taken: a client is not given more at once than it reads.
            pipeline.take_part(|done| self.write_part(done));
            while self.output.remaining() <= UNSENT_MAX
                && let Some((note, done)) = pipeline.take_front()
            {
                self.in_flight -= note.bytes;
                self.finish(note.muted, done);
                pipeline.take_part(|done| self.write_part(done));
            }
            self.deliver();
            if self.output.remaining() as u64 > self.settings.load().output_max {
                return Err(End::Over(Limit::RespOutput));
            }
            if !self.begin(pipeline, start)? {
                break;
            }
        }
        self.held |= self.output.remaining() > UNSENT_MAX;
        self.count();
        Ok(())
    }

    /// Begins the next command, if there is one and it may begin now.
    fn begin<F, S>(&mut self, pipeline: &mut Pipeline<F, Note>, start: &S) -> Result<bool, End>
    where
        F: Future<Output = Done>,
        S: Fn(Job) -> F,
    {
        let read = self.waiting.is_some() || self.read_command()?;
        let gathers = self.run.is_empty() || (read && self.goes_with_run(pipeline));
        if !gathers {
            return Ok(self.begin_run(pipeline, start));
        }
        if !read {
            return Ok(false);
        }
        if let Some(Waiting::Job(job)) = &self.waiting {
            let alone = matches!(job, Job::Sequence(_)) && !pipeline.is_empty();
            if alone || pipeline.ready() > UNSENT_MAX || !pipeline.admits(&self.touch) {
                return Ok(false);
            }
        } else if !pipeline.is_empty() {
            return Ok(false);
        }
        // What was in flight when it was read may have been a SUBSCRIBE.
        if let Some(failure) = self.spec.take().and_then(|spec| self.out_of_mode(spec)) {
            self.waiting = Some(Waiting::Failure(failure));
        }
        match self.waiting.take() {
            Some(Waiting::Job(job)) => {
                if let Some(job) = self.take_read(job, pipeline) {
                    self.blocked = matches!(job, Job::Block(_));
                    self.blocked_for = match &job {
                        Job::Block(asked) => asked.wait,
                        _ => None,
                    };
                    let muted = self.session.begin_command();
                    let note = self.note(muted);
                    pipeline.start(start(job), &mut self.touch, note);
                }
            }
            Some(Waiting::Local(handler)) => {
                if let Some((job, muted)) = self.answer(handler) {
                    // Nothing else is in flight, and nothing comes beside it.
                    self.touch.fill_exclusive();
                    let note = self.note(muted);
                    pipeline.start(start(job), &mut self.touch, note);
                }
            }
            Some(Waiting::Failure(failure)) => self.refuse(&failure),
            Some(Waiting::Fatal(failure)) => {
                self.refuse(&failure);
                self.session.closing = true;
            }
            None => return Ok(false),
        }
        // Of one that is answered already nothing is held.
        self.taken = 0;
        Ok(true)
    }

    /// What is remembered of the command that is begun now.
    fn note(&mut self, muted: bool) -> Note {
        let bytes = std::mem::take(&mut self.taken);
        self.in_flight += bytes;
        Note { muted, bytes }
    }

    /// Reads one command from the buffer into `waiting`.
    fn read_command(&mut self) -> Result<bool, End> {
        self.held = self.is_backed_up();
        if self.held || self.session.closing {
            return Ok(false);
        }
        let limits =
            if self.session.user().is_some() { &self.limits } else { &Limits::UNAUTHENTICATED };
        let before = self.buffer.len();
        match self.parser.take(&mut self.buffer, limits, &mut self.args) {
            Ok(false) => return Ok(false),
            Ok(true) => {
                (self.taken, self.partial) = (before - self.buffer.len(), None);
                if self.taken > READ_MAX {
                    // Else every short command behind a long one would hold all of its memory.
                    self.buffer = BytesMut::from(&self.buffer[..]);
                }
            }
            Err(error) => {
                if let Some(limit) = error.limit() {
                    self.shared.door.refusals.count(limit);
                }
                let failure = Failure::new(format!("ERR {error}"));
                self.waiting = Some(Waiting::Fatal(failure));
                return Ok(true);
            }
        }
        self.begun += 1;
        if command::is_http(&self.args) {
            return Err(End::SpeaksHttp);
        }
        let Some(spec) = self.shared.passing.spec(&self.args[0]) else {
            self.session.multi.spoil();
            let failure = if self.session.user().is_some() {
                command::unknown(&self.args)
            } else {
                Failure::NOT_AUTHENTICATED
            };
            self.waiting = Some(Waiting::Failure(failure));
            return Ok(true);
        };
        self.last_command = spec.name;
        self.spec = Some(spec);
        self.waiting = Some(self.prepare(spec));
        Ok(true)
    }

    fn prepare(&mut self, spec: &'static command::Spec) -> Waiting {
        if !spec.takes(self.args.len()) {
            self.session.multi.spoil();
            return Waiting::Failure(Failure::arity(spec.name));
        }
        let prepared = match self.may_begin(spec) {
            Ok(()) => self.prepare_allowed(spec),
            Err(failure) => {
                self.session.multi.spoil();
                Err(failure)
            }
        };
        prepared.unwrap_or_else(Waiting::Failure)
    }

    /// Whether this client may give this command at all, here and now.
    fn may_begin(&self, spec: &command::Spec) -> Result<(), Failure> {
        if !matches!(spec.handler, Handler::Open(_)) {
            let user = self.session.user().ok_or(Failure::NOT_AUTHENTICATED)?;
            permission::may_call(&self.shared.guard.access, user, spec, &self.args)?;
        }
        self.out_of_mode(spec).map_or(Ok(()), Err)
    }

    fn prepare_allowed(&mut self, spec: &'static command::Spec) -> Result<Waiting, Failure> {
        let allow_flush = self.settings.load().allow_flush;
        // Whoever has to authenticate anew may do so between MULTI and EXEC.
        let kept_back = self.session.multi.is_open() && self.session.user().is_some();
        if kept_back && !spec.is_immediate() {
            let side = self.side(spec).and_then(|side| {
                self.may_take_part(spec, &side, allow_flush)?;
                Ok(side)
            });
            self.session.multi.push(spec, &self.args, side)?;
            return Ok(Waiting::Local(Handler::Local(multi::queued)));
        }
        if let Side::Pass(op) = self.side(spec)? {
            let user = self.session.user().ok_or(Failure::NOT_AUTHENTICATED)?;
            permission::may_pass(&self.shared.guard.access, user, spec, &self.args)?;
            return Ok(Waiting::Job(self.pass(spec, op)));
        }
        let Handler::Data(read) = spec.handler else { return Ok(Waiting::Local(spec.handler)) };
        let job = read(&self.request(allow_flush))?;
        let user = self.session.user().ok_or(Failure::NOT_AUTHENTICATED)?;
        permission::may_do(&self.shared.guard.access, user, &job)?;
        touch(&job, &mut self.touch);
        Ok(Waiting::Job(job))
    }

    fn request(&self, allow_flush: bool) -> Request<'_> {
        Request {
            args: &self.args,
            clock: self.shared.clock(),
            cursors: &self.shared.cursors,
            allow_flush,
        }
    }

    /// Whether this client may have EXEC perform this: looked at before it is kept back.
    fn may_take_part(
        &self,
        spec: &'static command::Spec,
        side: &Side,
        allow_flush: bool,
    ) -> Result<(), Failure> {
        let access = &self.shared.guard.access;
        let user = self.session.user().ok_or(Failure::NOT_AUTHENTICATED)?;
        if matches!(side, Side::Pass(_)) {
            return permission::may_pass(access, user, spec, &self.args);
        }
        if user.may_everything() {
            return Ok(());
        }
        permission::may_reach(access, user, spec, &self.args)?;
        // What cannot be read is refused by EXEC in its place.
        match spec.handler {
            Handler::Data(read) => read(&self.request(allow_flush))
                .map_or(Ok(()), |job| permission::may_do(access, user, &job)),
            _ => Ok(()),
        }
    }

    /// In RESP2 a subscriber's replies could not be told from its messages.
    fn out_of_mode(&self, spec: &command::Spec) -> Option<Failure> {
        let listens = self.session.subscribed.is_some();
        if !listens || self.output.protocol() == Protocol::Resp3 || spec.is_for_subscribers() {
            return None;
        }
        let text = format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            spec.name
        );
        Some(Failure::new(text))
    }

    /// Writes what this client is told, as far as there is room.
    fn deliver(&mut self) {
        // Whoever the configuration has changed listens to nothing before it authenticates anew, and subscribes anew.
        if self.session.subscribed.is_some() && self.session.user().is_none() {
            self.session.subscribed = None;
        }
        let Some(subscribed) = &self.session.subscribed else { return };
        while self.output.remaining() <= UNSENT_MAX {
            let Some(message) = subscribed.ear.pop() else { break };
            message.encode(&mut self.output);
        }
    }

    fn side(&self, spec: &'static command::Spec) -> Result<Side, Failure> {
        let resp3 = self.output.protocol() == Protocol::Resp3;
        self.shared.passing.side(&self.shared.storage, spec, &self.args, resp3)
    }

    /// The job of a command that is passed through.
    fn pass(&mut self, spec: &command::Spec, op: RawOp) -> Job {
        let nulls = Nulls::of(&self.args);
        let wait = match spec.handler {
            Handler::Pass(wait) => wait.of(&self.args),
            _ => None,
        };
        let job = match wait {
            Some(wait) => Job::Block(Box::new(Blocking { op, nulls, wait })),
            None => Job::Pass(Box::new((op, nulls))),
        };
        touch(&job, &mut self.touch);
        job
    }

    /// Answers a command of the front door's own, or says what has to be asked for it.
    fn answer(&mut self, handler: Handler) -> Option<(Job, bool)> {
        let muted = self.session.begin_command();
        self.output.set_muted(muted);
        let args = std::mem::take(&mut self.args);
        let mut context = command::Context {
            shared: self.shared,
            session: &mut self.session,
            out: &mut self.output,
            args: &args,
        };
        let result = match handler {
            Handler::Local(run) | Handler::Open(run) => run(&mut context).map(|()| None),
            Handler::Turn(run) => run(&mut context),
            Handler::Data(_) | Handler::Pass(_) => Ok(None),
        };
        self.args = args;
        let job = result.unwrap_or_else(|failure| {
            self.output.error(failure.text());
            None
        });
        self.output.set_muted(false);
        job.map(|job| (job, muted))
    }

    fn refuse(&mut self, failure: &Failure) {
        let muted = self.session.begin_command();
        self.output.set_muted(muted);
        self.output.error(failure.text());
        self.output.set_muted(false);
    }

    /// Writes the answer to a job.
    pub(super) fn finish(&mut self, muted: bool, done: Done) {
        self.output.set_muted(muted);
        let (shared, out) = (self.shared, &mut self.output);
        let written = match done {
            Done::Answer(answer, encode) => write(answer, encode, shared.clock(), out),
            Done::Run(answers) => {
                for (answer, encode) in answers {
                    if let Err(failure) = write(answer, encode, shared.clock(), out) {
                        out.error(failure.text());
                    }
                }
                Ok(())
            }
            Done::Part(record, part) => {
                record.and_then(|record| part.encode(record, out)).map_err(Failure::from)
            }
            Done::Script(value) => {
                encode_script(value, out);
                Ok(())
            }
            Done::Outcome(outcome) => {
                outcome.map(|outcome| outcome.encode(&shared.cursors, out)).map_err(Failure::from)
            }
            Done::Hash(answer) => answer.map(|answer| answer.encode(out)),
            Done::Channels(answer) => answer.map(|answer| answer.encode(out)),
            Done::Transaction(answer) => {
                answer.map(|answer| out.append(answer)).map_err(Failure::from)
            }
            Done::Together(answer) => answer.map(|answer| out.append(answer)),
            Done::Passed(value, nulls, waited) => {
                self.blocked &= !waited;
                value.map(|value| encode(value, nulls, out))
            }
            Done::Watched(marks) => marks.map_err(Failure::from).map(|marks| {
                self.session.multi.watched.add(marks);
                out.ok();
            }),
            Done::PassWatched(watched, again) => {
                self.session.multi.lost |= again && watched.is_err();
                watched.map(|(lease, value)| {
                    self.session.multi.lease = Some(lease);
                    encode(value, Nulls::default(), out);
                })
            }
            Done::Subscribed(kind, held) => {
                channels::begun(shared, &mut self.session, out, kind, held);
                Ok(())
            }
        };
        if let Err(failure) = written {
            self.output.error(failure.text());
        }
        self.output.set_muted(false);
    }

    /// Adds this batch to the counters, once.
    fn count(&mut self) {
        if self.begun > 0 {
            let begun = std::mem::take(&mut self.begun);
            self.shared.counters.commands.add(begun);
            self.active = self.shared.clock().now();
            self.session.client.touch(self.active, begun);
            let command = self.last_command;
            self.session.client.update(|facts| facts.command = command);
        }
    }
}

fn write(
    answer: mainstay::Result<Answer>,
    encode: Encode,
    clock: &Clock,
    out: &mut Output,
) -> Result<(), Failure> {
    answer.and_then(|answer| encode(answer, clock, out)).map_err(Failure::from)
}

/// Which keys a job touches.
fn touch(job: &Job, touch: &mut Touch) {
    match job {
        Job::Op(op, _) => touch.fill(op),
        // Made of reads whose keys are known already.
        Job::Run(_) => {}
        Job::Part(key, _) => touch.fill(&Op::Get { key: key.clone(), with_ttl: false }),
        Job::Hash(call) => match &call.ask {
            Ask::Read(_) => touch.fill(&Op::Get { key: call.key.clone(), with_ttl: false }),
            Ask::Write(_) => touch.fill_keys(std::iter::once(call.key.as_bytes())),
        },
        Job::Script(script) => match script.keys() {
            Some(keys) => touch.fill_keys(keys),
            None => touch.fill_exclusive(),
        },
        Job::Pass(asked) if asked.0.keys.is_empty() => touch.fill_exclusive(),
        Job::Pass(asked) if asked.0.reads => {
            touch.fill(&Op::Exists { keys: asked.0.keys.clone() });
        }
        Job::Pass(asked) => touch.fill_keys(asked.0.keys.iter().map(mainstay::Key::as_bytes)),
        Job::Channels(ask) => match &**ask {
            channels::Ask::Publish(_, channel, _) => touch.fill_message(channel),
            _ => touch.fill_exclusive(),
        },
        Job::Sequence(_)
        | Job::Subscribe(..)
        | Job::Transaction(_)
        | Job::Watch(_)
        | Job::Block(_)
        | Job::PassWatch(_)
        | Job::PassExec(_) => touch.fill_exclusive(),
    }
}
