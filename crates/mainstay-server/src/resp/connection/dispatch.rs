//! What one connection does with what it has read: commands begin in their turn, answers are written in order.
//! It must not know sockets.

use std::future::Future;

use bytes::Buf;

use super::{Connection, Done, End, UNSENT_MAX, Waiting};
use crate::{
    resp::{
        command::{self, Handler, Job, Request},
        error::Failure,
        parse::Limits,
        pipeline::Pipeline,
        reply::Output,
    },
    script::Value,
};

impl Connection<'_> {
    /// Starts and finishes commands until nothing moves.
    pub(super) fn advance<F, S>(
        &mut self,
        pipeline: &mut Pipeline<F, bool>,
        start: &S,
    ) -> Result<(), End>
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
    fn begin<F, S>(&mut self, pipeline: &mut Pipeline<F, bool>, start: &S) -> Result<bool, End>
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
    fn read_command(&mut self) -> Result<bool, End> {
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
                    Job::Script(script) => match script.keys() {
                        Some(keys) => self.touch.fill_keys(keys),
                        None => self.touch.fill_exclusive(),
                    },
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
            Done::Script(value) => {
                encode_script(value, &mut self.output);
                Ok(())
            }
            Done::Outcome(outcome) => {
                outcome.map(|outcome| outcome.encode(&self.shared.cursors, &mut self.output))
            }
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
}

/// Writes what a script answers.
fn encode_script(value: Value, out: &mut Output) {
    match value {
        Value::Nil => out.null(),
        Value::Integer(number) => out.integer(number),
        Value::Bulk(bytes) => out.bulk_shared(bytes),
        Value::Status(text) => out.simple(&String::from_utf8_lossy(&text)),
        Value::Error(text) => out.error(&text),
        Value::Double(number) => out.double(number),
        Value::Array(values) => {
            out.array(values.len());
            values.into_iter().for_each(|value| encode_script(value, out));
        }
    }
}
