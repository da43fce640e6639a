//! MULTI, EXEC, DISCARD, WATCH and UNWATCH: commands that are kept back, then performed in one step.
//! It must not know what a command means on its keys (`script::world`), nor how the step is committed.

use std::sync::Arc;

use bytes::Bytes;
use mainstay::RawOp;

use super::{Context, Job, Parsed, Spec};
use crate::resp::{
    error::Failure,
    passing::{Lease, Side, Together, Watching},
    reply::Protocol,
};

mod run;
mod watch;

pub(in crate::resp) use run::{Transaction, look, run};
pub(in crate::resp) use watch::Marks;

/// Commands of one transaction at most.
const COMMANDS_MAX: usize = 100_000;

/// Bytes that they take at most.
const BYTES_MAX: usize = 64 << 20;

/// What an argument takes beside its bytes, and a command beside its arguments.
const ARGUMENT: usize = 64;
const COMMAND: usize = 64;

const BOTH: &str = "ERR a transaction is on keys that are passed through to one Redis, or on keys of Mainstay, not on both";

/// Keys that one connection watches at most.
const WATCHED_MAX: usize = 1_000;

/// Between MULTI and EXEC: what was asked so far.
#[derive(Debug, Default)]
pub(in crate::resp) struct Queue {
    commands: Vec<Vec<Bytes>>,
    bytes: usize,
    /// One could not be queued: EXEC performs nothing.
    spoiled: bool,
    /// The Redis to which its commands are passed through.
    passed: Option<Arc<str>>,
    /// Whether one is Mainstay's.
    own: bool,
}

/// What a connection knows of its transaction.
#[derive(Debug, Default)]
pub(in crate::resp) struct Multi {
    pub(in crate::resp) queue: Option<Queue>,
    pub(in crate::resp) watched: Marks,
    /// The connection that watches keys which are passed through.
    pub(in crate::resp) lease: Option<Lease>,
    /// The connection that watched has broken: whether its keys have changed is not known any more.
    pub(in crate::resp) lost: bool,
}

impl Multi {
    /// Whether commands are kept back.
    pub(in crate::resp) fn is_open(&self) -> bool {
        self.queue.is_some()
    }

    /// Bytes that are kept back.
    pub(in crate::resp) fn held(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// A command was refused: nothing of the transaction will be performed.
    pub(in crate::resp) fn spoil(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.spoiled = true;
        }
    }

    /// Keeps a command back.
    ///
    /// # Errors
    /// Why it cannot be part of a transaction.
    pub(in crate::resp) fn push(
        &mut self,
        spec: &Spec,
        args: &[Bytes],
        side: Parsed<Side>,
    ) -> Parsed<()> {
        let Some(queue) = &mut self.queue else { return Ok(()) };
        if spec.name == "watch" {
            return Err(Failure::fixed("ERR WATCH inside MULTI is not allowed"));
        }
        let refused = queue.sides_with(spec, side).err().or_else(|| queue.is_full(args));
        if let Some(failure) = refused {
            queue.spoiled = true;
            return Err(failure);
        }
        queue.bytes += cost(args);
        // In memory of their own: what came is a slice of the connection's buffer.
        queue.commands.push(args.iter().map(|arg| Bytes::copy_from_slice(arg)).collect());
        Ok(())
    }
}

impl Queue {
    /// Notes who performs a command. What names no key is performed by whoever performs the others.
    fn sides_with(&mut self, spec: &Spec, side: Parsed<Side>) -> Parsed<()> {
        match side? {
            Side::Pass(op) => {
                let other = self.passed.as_ref().is_some_and(|other| *other != op.backend);
                if self.own || other {
                    return Err(Failure::fixed(BOTH));
                }
                self.passed = Some(op.backend);
            }
            Side::Own if run::is_neutral(spec) => {}
            // Redis tells of it with the rest.
            Side::Own if spec.name == "publish" && self.passed.is_some() => {}
            Side::Own if !run::takes(spec) => {
                let name = spec.name.to_ascii_uppercase();
                let text = format!("ERR {name} is not allowed in a transaction of Mainstay");
                return Err(Failure::new(text));
            }
            Side::Own if self.passed.is_some() => return Err(Failure::fixed(BOTH)),
            Side::Own => self.own = true,
        }
        Ok(())
    }

    fn is_full(&self, args: &[Bytes]) -> Option<Failure> {
        let full = self.commands.len() >= COMMANDS_MAX || self.bytes + cost(args) > BYTES_MAX;
        full.then_some(Failure::fixed(
            "ERR a transaction is at most 100000 commands and 64MiB long",
        ))
    }
}

fn cost(args: &[Bytes]) -> usize {
    COMMAND + args.iter().map(|arg| ARGUMENT + arg.len()).sum::<usize>()
}

/// MULTI
pub(in crate::resp::command) fn multi(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    let multi = &mut context.session.multi;
    if multi.is_open() {
        return Err(Failure::fixed("ERR MULTI calls can not be nested"));
    }
    multi.queue = Some(Queue::default());
    context.out.ok();
    Ok(None)
}

/// Between MULTI and EXEC: the command has been kept back.
pub(in crate::resp) fn queued(context: &mut Context<'_>) -> Parsed<()> {
    context.out.simple("QUEUED");
    Ok(())
}

/// DISCARD
pub(in crate::resp::command) fn discard(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    if !context.session.multi.is_open() {
        return Err(Failure::fixed("ERR DISCARD without MULTI"));
    }
    context.session.multi = Multi::default();
    context.out.ok();
    Ok(None)
}

/// EXEC
pub(in crate::resp::command) fn exec(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    let Multi { queue, watched, lease, lost } = std::mem::take(&mut context.session.multi);
    let Some(queue) = queue else {
        context.session.multi = Multi { queue: None, watched, lease, lost };
        return Err(Failure::fixed("ERR EXEC without MULTI"));
    };
    if queue.spoiled {
        let text = "EXECABORT Transaction discarded because of previous errors.";
        return Err(Failure::fixed(text));
    }
    if lost {
        context.out.null_array();
        return Ok(None);
    }
    let protocol = context.out.protocol();
    if let Some(backend) = queue.passed {
        if watched.len() > 0 {
            return Err(Failure::fixed(BOTH));
        }
        let resp3 = protocol == Protocol::Resp3;
        let together = Together { backend, commands: queue.commands, resp3, lease };
        return Ok(Some(Job::PassExec(Box::new(together))));
    }
    if lease.is_some() && queue.own {
        return Err(Failure::fixed(BOTH));
    }
    let transaction = Transaction { commands: queue.commands, watched, protocol };
    Ok(Some(Job::Transaction(Box::new(transaction))))
}

/// WATCH key [key ...]
pub(in crate::resp::command) fn watch(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    let keys = &context.args[1..];
    if context.session.multi.watched.len() + keys.len() > WATCHED_MAX {
        return Err(Failure::fixed("ERR a connection watches at most 1000 keys"));
    }
    let keys = super::args::keys(keys);
    let passing = &context.shared.passing;
    match passing.by_route(&context.shared.storage, &keys)? {
        None => Ok(Some(Job::Watch(keys))),
        Some(backend) => {
            let resp3 = context.out.protocol() == Protocol::Resp3;
            let multi = &mut context.session.multi;
            if multi.lease.as_ref().is_some_and(|lease| lease.backend != backend) {
                let text = "ERR watched keys are passed through to several Redis";
                return Err(Failure::fixed(text));
            }
            let op = RawOp { backend, words: context.args.to_vec(), keys, resp3, reads: true };
            let lease = multi.lease.take();
            Ok(Some(Job::PassWatch(Box::new(Watching { op, lease }))))
        }
    }
}

/// UNWATCH
pub(in crate::resp::command) fn unwatch(context: &mut Context<'_>) -> Parsed<Option<Job>> {
    let multi = &mut context.session.multi;
    // Its connection is closed: it watches nothing any more.
    (multi.watched, multi.lease, multi.lost) = (Marks::default(), None, false);
    context.out.ok();
    Ok(None)
}
