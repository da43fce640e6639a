//! Reads that follow each other on one connection: answered at once from what this process keeps, or gathered while they
//! are read, and begun as one where that pays. It must not know how they are made as one.

use std::{collections::VecDeque, future::Future, vec::IntoIter};

use bytes::Buf;
use mainstay::{Answer, Key, Op, Result};

use super::{Connection, Done, Note, UNSENT_MAX, Waiting, held::of_reply};
use crate::resp::{
    command::{Encode, Job},
    pipeline::{Pipeline, Touch},
    session::Replies,
};

/// Reads of one run at most: all of them wait for the last.
const RUN_MAX: usize = 64;

/// Places that are kept while nothing is to be done.
const KEPT: usize = 4;

/// Reads that wait for those behind them.
#[derive(Default)]
pub(super) struct Run {
    reads: VecDeque<Read>,
    /// Whether they begin one by one, as there is room: no more of them are gathered.
    apart: bool,
    /// Room for what one of them touches, or all.
    touch: Touch,
}

struct Read {
    key: Key,
    encode: Encode,
    /// Of its request.
    bytes: usize,
}

impl Run {
    pub(super) fn is_empty(&self) -> bool {
        self.reads.is_empty()
    }

    /// Gives back its memory, when nothing has been gathered.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() && self.reads.capacity() > KEPT {
            self.reads = VecDeque::new();
        }
    }
}

impl Connection<'_> {
    /// Whether what waits is one more read that may go with those gathered.
    pub(super) fn goes_with_run<F: Future<Output = Done>>(
        &self,
        pipeline: &Pipeline<F, Note>,
    ) -> bool {
        let read =
            matches!(self.waiting, Some(Waiting::Job(Job::Op(Op::Get { with_ttl: false, .. }, _))));
        read && !self.run.apart
            && self.run.reads.len() < RUN_MAX.min(pipeline.room())
            && self.session.replies == Replies::On
            && pipeline.ready() <= UNSENT_MAX
            && pipeline.admits(&self.touch)
    }

    /// Answers a read from what is kept here, or gathers it. Gives back every other job.
    pub(super) fn take_read<F: Future<Output = Done>>(
        &mut self,
        job: Job,
        pipeline: &Pipeline<F, Note>,
    ) -> Option<Job> {
        let (key, encode) = match job {
            Job::Op(Op::Get { key, with_ttl: false }, encode)
                if self.session.replies == Replies::On =>
            {
                (key, encode)
            }
            other => return Some(other),
        };
        if self.run.is_empty() && pipeline.is_empty() {
            let kept = self.shared.storage.get_local(&key, &self.options);
            if let Some(answer) = kept {
                self.finish(false, Done::Answer(Ok(answer), encode));
                return None;
            }
        }
        self.run.reads.push_back(Read { key, encode, bytes: self.taken });
        self.in_flight += self.taken;
        None
    }

    /// Begins what has been gathered, as one where that is the better way, else the first of it. False: there is no room
    /// for the answers.
    pub(super) fn begin_run<F, S>(&mut self, pipeline: &mut Pipeline<F, Note>, start: &S) -> bool
    where
        F: Future<Output = Done>,
        S: Fn(Job) -> F,
    {
        if pipeline.ready() > UNSENT_MAX || self.output.remaining() > UNSENT_MAX {
            return false;
        }
        let Run { reads, apart, touch } = &mut self.run;
        touch.clear();
        if !*apart && self.shared.storage.reads_as_one(reads.iter().map(|read| &read.key)) {
            reads.iter().for_each(|read| touch.add(read.key.as_bytes()));
            let (commands, bytes) = (reads.len(), reads.iter().map(|read| read.bytes).sum());
            let gets = std::mem::take(reads).into_iter().map(|read| (read.key, read.encode));
            let (job, note) = (Job::Run(gets.collect()), Note { muted: false, bytes });
            pipeline.start_all(commands, start(job), touch, note);
        } else if let Some(Read { key, encode, bytes }) = reads.pop_front() {
            *apart = !reads.is_empty();
            touch.add(key.as_bytes());
            let job = Job::Op(Op::Get { key, with_ttl: false }, encode);
            pipeline.start(start(job), touch, Note { muted: false, bytes });
        }
        true
    }

    /// Writes of the answers to several reads as many as there is room for, but the last, which ends them. How many bytes.
    pub(super) fn write_part(&mut self, done: &mut Done) -> usize {
        let Done::Run(answers) = done else { return 0 };
        let mut bytes = 0;
        while answers.len() > 1
            && self.output.remaining() <= UNSENT_MAX
            && let Some((answer, encode)) = answers.next()
        {
            bytes += of_answer(&answer);
            self.finish(false, Done::Answer(answer, encode));
        }
        bytes
    }
}

/// The answers to several reads, and how each is written.
pub(super) struct Answers {
    answers: IntoIter<Result<Answer>>,
    encodes: IntoIter<Encode>,
}

impl Answers {
    pub(super) fn new(answers: Vec<Result<Answer>>, encodes: Vec<Encode>) -> Self {
        Self { answers: answers.into_iter(), encodes: encodes.into_iter() }
    }

    fn len(&self) -> usize {
        self.answers.len()
    }

    /// Bytes of the values in them.
    pub(super) fn bytes(&self) -> usize {
        self.answers.as_slice().iter().map(of_answer).sum()
    }
}

impl Iterator for Answers {
    type Item = (Result<Answer>, Encode);

    fn next(&mut self) -> Option<Self::Item> {
        self.answers.next().zip(self.encodes.next())
    }
}

fn of_answer(answer: &Result<Answer>) -> usize {
    answer.as_ref().map_or(0, |answer| of_reply(&answer.reply))
}
