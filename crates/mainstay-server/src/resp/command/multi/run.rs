//! Performs a transaction on what its keys hold, and has what it changed committed in one step.
//! It must not know what a command means (`script::world`).

use std::{future::ready, time::Duration};

use bytes::{Buf, Bytes};
use mainstay::{CallOptions, Deadline, Decision, Error, ErrorKind, Key, Result, Snapshot};

use tokio::time::Instant;

use super::{Marks, watch::marks};
use crate::resp::{
    command::{
        Handler, Job, Parsed, Request, Spec, find,
        script::{self, Desk, Script, World, encode_script},
        sequence::Caller,
    },
    cursor::Cursors,
    reply::{Output, Protocol},
};

/// For so long commands run without letting others run.
const TURN: Duration = Duration::from_millis(1);

/// What EXEC performs.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) struct Transaction {
    pub(in crate::resp) commands: Vec<Vec<Bytes>>,
    pub(in crate::resp) watched: Marks,
    pub(in crate::resp) protocol: Protocol,
}

/// Whether a command can be part of a transaction.
pub(super) fn takes(spec: &Spec) -> bool {
    is_neutral(spec) || runs_script(spec) || World::takes(spec.name)
}

/// Whether a command means the same whoever performs it.
pub(super) fn is_neutral(spec: &Spec) -> bool {
    matches!(spec.name, "ping" | "echo" | "select" | "time" | "unwatch")
}

/// The answer to EXEC as it is sent.
///
/// # Errors
/// Those of the storage; then nothing was changed, unless the error says that this is not known.
pub(in crate::resp) async fn run(
    caller: Caller<'_>,
    desk: &Desk,
    output_max: u64,
    asked: Transaction,
) -> Result<Output> {
    let storage = caller.storage;
    let deadline = storage.clock().deadline_in(storage.config().limits.deadline);
    let session = Some(caller.reads.clone());
    let options = CallOptions { deadline: Some(deadline), session };
    let work = Work { caller, desk, deadline, output_max, asked: &asked };
    storage.transact_with(keys_of(&asked), options, |read| work.decide(read)).await
}

/// One transaction on its keys.
struct Work<'a> {
    caller: Caller<'a>,
    desk: &'a Desk,
    deadline: Deadline,
    output_max: u64,
    asked: &'a Transaction,
}

impl Work<'_> {
    async fn decide(&self, read: Snapshot) -> Result<Decision<Output>> {
        let Self { caller, asked, .. } = self;
        let mut out = Output::new();
        out.set_protocol(asked.protocol);
        if !asked.watched.hold(&read) {
            out.null_array();
            return Ok(Decision { changes: Vec::new(), output: out });
        }
        let value_max = caller.storage.config().limits.value_max();
        let mut world = World::new(read, caller.storage.clock().clone(), value_max, false);
        out.array(asked.commands.len());
        let mut turn = caller.storage.clock().now();
        for words in &asked.commands {
            if out.remaining() as u64 > self.output_max {
                let text = "the answers of this transaction are over resp.output_max: nothing of it was done";
                return Err(Error::new(ErrorKind::TooLarge, text));
            }
            let time = self.left(&mut turn).await?;
            match self.script(words) {
                None => world.answer(words, &mut out),
                Some(Ok(script)) => {
                    let value = script::within(self.desk, script, &mut world, time).await?;
                    encode_script(value, &mut out);
                }
                Some(Err(failure)) => out.error(failure.text()),
            }
        }
        Ok(Decision { changes: world.changes(), output: out })
    }

    /// The time that is left. Lets others run when it was this one's turn for long.
    async fn left(&self, turn: &mut Instant) -> Result<Duration> {
        let clock = self.caller.storage.clock();
        if clock.now().saturating_duration_since(*turn) > TURN {
            tokio::task::yield_now().await;
            *turn = clock.now();
        }
        let left = self.deadline.left(clock.now());
        match left.is_zero() {
            true => {
                let text = "the commands of a transaction took all the time that there was";
                Err(Error::new(ErrorKind::DeadlineExceeded, text))
            }
            false => Ok(left),
        }
    }

    /// The script that a command runs.
    fn script(&self, words: &[Bytes]) -> Option<Parsed<Script>> {
        let spec = words.first().and_then(|name| find(name)).filter(|spec| runs_script(spec))?;
        let Handler::Data(read) = spec.handler else { return None };
        let storage = self.caller.storage;
        let cursors = Cursors::default();
        let (clock, cursors) = (storage.clock(), &cursors);
        match read(&Request { args: words, clock, cursors, allow_flush: false }) {
            Ok(Job::Script(script)) => Some(Ok(*script)),
            Ok(_) => None,
            Err(failure) => Some(Err(failure)),
        }
    }
}

/// EVAL and its kin.
fn runs_script(spec: &Spec) -> bool {
    spec.name.starts_with("eval")
}

/// The keys that its commands name, and those that are watched.
fn keys_of(asked: &Transaction) -> Vec<Key> {
    let mut keys: Vec<Key> = asked.watched.keys().cloned().collect();
    for words in &asked.commands {
        if let Some(spec) = words.first().and_then(|name| find(name)) {
            keys.extend(spec.keys_in(words).into_iter().map(|key| Key::from(key.clone())));
        }
    }
    keys
}

/// What keys hold now, for WATCH.
///
/// # Errors
/// Those of the storage.
pub(in crate::resp) async fn look(caller: Caller<'_>, keys: Vec<Key>) -> Result<Marks> {
    let options = CallOptions::of(caller.reads);
    let noted = |read| ready(Ok(Decision { changes: Vec::new(), output: marks(read) }));
    caller.storage.transact_with(keys, options, noted).await
}
