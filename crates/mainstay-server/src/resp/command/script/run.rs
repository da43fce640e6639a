//! Runs a script on what its keys hold, and has what it changed committed in one step.
//! It must not know what a command of a script means (`world`), nor Lua.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mainstay::{
    CallOptions, Decision, Error, ErrorKind, Op, RawOp, RawValue, Result, Snapshot, Storage,
};

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
/// `at_redis`: the Redis to which scripts are passed through as well: there they are loaded too.
pub(in crate::resp) async fn run(
    caller: Caller<'_>,
    desk: &Desk,
    at_redis: Option<&Arc<str>>,
    script: Script,
) -> Value {
    let done = match script {
        Script::Eval(eval) => evaluate(caller, desk, eval).await,
        Script::Load(text) => load(caller.storage, desk, at_redis, text).await,
        Script::Exists(shas) => Ok(exist(caller.storage, desk, at_redis, &shas).await),
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

/// Which scripts are known, wherever they may be run. While Redis is away, here.
async fn exist(
    storage: &Storage,
    desk: &Desk,
    at_redis: Option<&Arc<str>>,
    shas: &[Bytes],
) -> Value {
    let there = match at_redis {
        Some(backend) => ask_redis(storage, backend, "EXISTS", shas).await,
        None => None,
    };
    let there = match there {
        Some(RawValue::Array(flags)) => flags,
        _ => Vec::new(),
    };
    let known = |(nth, sha): (usize, &Bytes)| {
        let here = desk.scripts.get(sha).is_some();
        let there = there.get(nth).is_none_or(|flag| *flag == RawValue::Integer(1));
        Value::Integer(i64::from(here && there))
    };
    Value::Array(shas.iter().enumerate().map(known).collect())
}

/// Asks SCRIPT of Redis; `None`: it does not answer.
async fn ask_redis(
    storage: &Storage,
    backend: &Arc<str>,
    word: &'static str,
    args: &[Bytes],
) -> Option<RawValue> {
    let words = [Bytes::from_static(b"SCRIPT"), Bytes::from_static(word.as_bytes())];
    let op = Op::Raw(RawOp {
        backend: Arc::clone(backend),
        words: words.into_iter().chain(args.iter().cloned()).collect(),
        keys: Vec::new(),
        resp3: true,
        reads: true,
    });
    let answer = storage.execute(&op, CallOptions::default()).await.ok()?;
    answer.reply.into_raw().ok().map(|value| *value)
}

async fn load(
    storage: &Storage,
    desk: &Desk,
    at_redis: Option<&Arc<str>>,
    text: Bytes,
) -> std::result::Result<Value, Value> {
    if let Some(backend) = at_redis {
        match ask_redis(storage, backend, "LOAD", std::slice::from_ref(&text)).await {
            Some(RawValue::Bulk(sha)) => {
                // It may be meant for Redis alone: whether it can be run here is seen when it is.
                if let Ok(program) = Program::new(text) {
                    desk.scripts.put(&program);
                }
                return Ok(Value::Bulk(sha));
            }
            Some(RawValue::Error(text)) => return Err(Value::Error(text)),
            _ => {}
        }
    }
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
    let program = known(desk, &eval)?;
    let options = CallOptions::of(caller.reads);
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
        let value_max = storage.config().limits.value_max();
        let read_only = eval.read_only || program.no_writes;
        let world = move || World::new(read, clock, value_max, read_only);
        let ran = desk.pool.run(program.clone(), inputs, world, time).await;
        let (output, world) = ran.map_err(refusal)?;
        let changes = world.map_or_else(Vec::new, World::changes);
        Ok(Decision { changes, output })
    }
}

/// Runs a script as one command of a transaction: on its `world`, which it changes only if it comes to its end.
///
/// # Errors
/// The script could not be run at all.
pub(in crate::resp) async fn within(
    desk: &Desk,
    script: Script,
    world: &mut World,
    time: Duration,
) -> Result<Value> {
    let Script::Eval(eval) = script else {
        return Ok(Value::error("ERR SCRIPT is not allowed in a transaction of Mainstay"));
    };
    let program = match known(desk, &eval) {
        Ok(program) => program,
        Err(value) => return Ok(value),
    };
    let inputs = Inputs { keys: eval.keys, argv: eval.argv, version: REDIS_VERSION };
    let host = world.again(eval.read_only || program.no_writes);
    let (output, host) =
        desk.pool.run(program, inputs, move || host, time).await.map_err(refusal)?;
    if let Some(host) = host {
        *world = host.writable();
    }
    Ok(output)
}

/// The text of a script.
fn known(desk: &Desk, eval: &Eval) -> std::result::Result<Program, Value> {
    match &eval.source {
        Source::Sha(sha) => desk.scripts.get(sha).ok_or_else(|| Value::error(NO_SCRIPT)),
        Source::Text(text) => {
            let program = Program::new(text.clone()).map_err(Value::Error)?;
            desk.scripts.put(&program);
            Ok(program)
        }
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
