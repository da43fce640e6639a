//! Runs a script on what its keys hold, and has what it changed committed in one step.
//! It must not know what a command of a script means (`world`), nor Lua.

use std::time::Duration;

use bytes::Bytes;
use mainstay::{CallOptions, Decision, Error, ErrorKind, Result, Snapshot, Storage};

use super::{Eval, Script, Source, commands::HELP, key_of, world::World};
use crate::{
    resp::{
        command::{local::info::REDIS_VERSION, sequence::Caller},
        error::Failure,
    },
    script::{Inputs, Pool, Program, Scripts, Stopped, Value},
};

const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

/// Left of the deadline for the commit.
const COMMIT_MIN: Duration = Duration::from_millis(50);

/// What the scripts of one server share.
#[derive(Debug, Default)]
pub(in crate::resp) struct Desk {
    scripts: Scripts,
    pool: Pool,
}

/// Performs what was asked.
pub(in crate::resp) async fn run(caller: Caller<'_>, desk: &Desk, script: Script) -> Value {
    let done = match script {
        Script::Eval(eval) => evaluate(caller, desk, eval).await,
        Script::Load(text) => load(caller.storage, desk, text).await,
        Script::Exists(shas) => Ok(Value::Array(
            shas.iter()
                .map(|sha| Value::Integer(i64::from(desk.scripts.get(sha).is_some())))
                .collect(),
        )),
        Script::Flush => {
            desk.scripts.clear();
            Ok(Value::ok())
        }
        Script::Kill => Err(Value::error("NOTBUSY No scripts in execution right now.")),
        Script::Help => {
            let line = |line: &&str| Value::Status(Bytes::copy_from_slice(line.as_bytes()));
            Ok(Value::Array(HELP.iter().map(line).collect()))
        }
    };
    done.unwrap_or_else(|error| error)
}

async fn load(storage: &Storage, desk: &Desk, text: Bytes) -> std::result::Result<Value, Value> {
    let program = Program::new(text).map_err(Value::Error)?;
    let time = storage.config().limits.deadline;
    let compiled = desk.pool.compile(program.clone(), time).await;
    compiled.map_err(|stopped| failed(&refusal(stopped)))?.map_err(Value::Error)?;
    desk.scripts.put(&program);
    Ok(Value::Bulk(Bytes::from(program.sha)))
}

async fn evaluate(
    caller: Caller<'_>,
    desk: &Desk,
    eval: Eval,
) -> std::result::Result<Value, Value> {
    let program = match &eval.source {
        Source::Sha(sha) => desk.scripts.get(sha).ok_or_else(|| Value::error(NO_SCRIPT))?,
        Source::Text(text) => {
            let program = Program::new(text.clone()).map_err(Value::Error)?;
            desk.scripts.put(&program);
            program
        }
    };
    let options = CallOptions { session: Some(caller.reads.clone()), ..CallOptions::default() };
    let native = program.native.filter(|_| !eval.read_only && !program.no_writes);
    if let Some((op, count)) = native.and_then(|native| native.op(&eval.keys, &eval.argv)) {
        let answer = caller.storage.execute(&op, options).await.map_err(|error| failed(&error))?;
        let written = answer.reply.into_written().map_err(|error| failed(&error))?;
        return Ok(Value::Integer(if written.applied { count } else { 0 }));
    }
    let work = Work { storage: caller.storage, desk, eval: &eval, program: &program };
    let value = work.transact(options).await.map_err(|error| failed(&error))?;
    if matches!(&value, Value::Error(text) if text.starts_with("ERR Error compiling script")) {
        desk.scripts.forget(&program.sha);
    }
    Ok(value)
}

/// One script on its keys.
struct Work<'a> {
    storage: &'a Storage,
    desk: &'a Desk,
    eval: &'a Eval,
    program: &'a Program,
}

impl Work<'_> {
    async fn transact(&self, options: CallOptions) -> Result<Value> {
        let clock = self.storage.clock();
        let deadline = clock.deadline_in(self.storage.config().limits.deadline);
        let options = CallOptions { deadline: Some(deadline), ..options };
        let keys = self.eval.keys.iter().map(key_of);
        let left = || deadline.left(clock.now()).saturating_sub(COMMIT_MIN);
        self.storage.transact_with(keys, options, |read| self.decide(read, left())).await
    }

    /// Runs the script on what was read. What it did counts only if it came to its end.
    async fn decide(&self, read: Snapshot, time: Duration) -> Result<Decision<Value>> {
        let Self { storage, desk, eval, program } = *self;
        let inputs =
            Inputs { keys: eval.keys.clone(), argv: eval.argv.clone(), version: REDIS_VERSION };
        let clock = storage.clock().clone();
        let value_max = usize::try_from(storage.config().limits.value_max).unwrap_or(usize::MAX);
        let read_only = eval.read_only || program.no_writes;
        let world = move || World::new(read, clock, value_max, read_only);
        let ran = desk.pool.run(program.clone(), inputs, world, time).await;
        let (output, world) = ran.map_err(refusal)?;
        let changes = world.map_or_else(Vec::new, World::changes);
        Ok(Decision { changes, output })
    }
}

fn refusal(stopped: Stopped) -> Error {
    match stopped {
        Stopped::Busy => {
            let text = "other scripts took all the time that there was: try again";
            Error::new(ErrorKind::Overloaded, text)
        }
        Stopped::Failed => Error::new(ErrorKind::Internal, "a script could not be run"),
    }
}

fn failed(error: &Error) -> Value {
    Value::error(Failure::from(error.clone()).text())
}
