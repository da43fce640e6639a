//! EVAL and its kin: which script on which keys, as a job for the storage.
//! It must not know Lua (`crate::script`), nor how keys are stored.

use bytes::Bytes;
use mainstay::Key;

use super::{Job, Parsed, Request, args::integer};
use crate::{
    resp::{error::Failure, reply::Output},
    script::Value,
};

mod commands;
mod run;
mod world;

pub(in crate::resp) use run::{Desk, run, within};
pub(in crate::resp) use world::World;

/// What EVAL, EVALSHA or SCRIPT asks for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) enum Script {
    /// Runs one.
    Eval(Eval),
    /// SCRIPT LOAD.
    Load(Bytes),
    /// SCRIPT EXISTS.
    Exists(Vec<Bytes>),
    /// SCRIPT FLUSH.
    Flush,
    /// SCRIPT KILL: there is nothing to kill that does not end by itself.
    Kill,
    /// SCRIPT HELP.
    Help,
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::resp) struct Eval {
    source: Source,
    keys: Vec<Bytes>,
    argv: Vec<Bytes>,
    read_only: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Text(Bytes),
    Sha(Bytes),
}

impl Eval {
    /// Whether it was asked for as one that changes nothing.
    pub(in crate::resp::command) fn is_read_only(&self) -> bool {
        self.read_only
    }
}

impl Script {
    /// The keys that it may touch; `None`: it touches none, and changes what other scripts are run.
    pub(in crate::resp) fn keys(&self) -> Option<impl Iterator<Item = &[u8]>> {
        match self {
            Self::Eval(eval) => Some(eval.keys.iter().map(|key| &key[..])),
            Self::Load(_) | Self::Exists(_) | Self::Flush | Self::Kill | Self::Help => None,
        }
    }
}

fn eval_of(request: &Request<'_>, source: fn(Bytes) -> Source, read_only: bool) -> Parsed<Job> {
    let rest = &request.args[3..];
    let count = integer(&request.args[2])?;
    if count < 0 {
        return Err(Failure::fixed("ERR Number of keys can't be negative"));
    }
    let count = usize::try_from(count).ok().filter(|count| *count <= rest.len());
    let too_many = Failure::fixed("ERR Number of keys can't be greater than number of args");
    let (keys, argv) = rest.split_at(count.ok_or(too_many)?);
    Ok(Job::script(Script::Eval(Eval {
        source: source(request.args[1].clone()),
        keys: keys.to_vec(),
        argv: argv.to_vec(),
        read_only,
    })))
}

/// EVAL script numkeys [key ...] [arg ...]
pub(in crate::resp::command) fn eval(request: &Request<'_>) -> Parsed<Job> {
    eval_of(request, Source::Text, false)
}

/// EVAL_RO script numkeys [key ...] [arg ...]
pub(in crate::resp::command) fn eval_ro(request: &Request<'_>) -> Parsed<Job> {
    eval_of(request, Source::Text, true)
}

/// EVALSHA sha1 numkeys [key ...] [arg ...]
pub(in crate::resp::command) fn evalsha(request: &Request<'_>) -> Parsed<Job> {
    eval_of(request, Source::Sha, false)
}

/// EVALSHA_RO sha1 numkeys [key ...] [arg ...]
pub(in crate::resp::command) fn evalsha_ro(request: &Request<'_>) -> Parsed<Job> {
    eval_of(request, Source::Sha, true)
}

/// SCRIPT LOAD | EXISTS | FLUSH | KILL | HELP
pub(in crate::resp::command) use commands::script;

fn key_of(bytes: &Bytes) -> Key {
    Key::from(bytes.clone())
}

/// Writes what a script answers.
pub(in crate::resp) fn encode_script(value: Value, out: &mut Output) {
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
