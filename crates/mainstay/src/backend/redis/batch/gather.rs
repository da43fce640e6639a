//! Which commands of a batch are sent as one, and whose the replies are. Pure.
//! It must not know connections, tasks, nor what an error reply means.

use redis::{Cmd, Pipeline, Value};
use tokio::sync::oneshot;

use super::super::command;
use crate::{
    entry::Key,
    error::{Error, Result},
};

#[cfg(test)]
mod tests;

/// GETs sent as one MGET at most: a server does nothing else meanwhile.
const GETS_MAX: usize = 64;

/// Values above this many bytes, in the mean, cost more to copy than their commands do.
const BYTES_MEAN_MAX: usize = 4096;

/// One of so many that is missing has to be asked for again too often.
const MISSES: usize = 4;

/// Batches that are sent as they are after one that did not pay.
const REST: u32 = 16;

/// The same after many that a server refused.
const REST_MAX: u32 = 4096;

/// What a caller asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// The value of a key. Nothing that was asked before or after it is moved past it.
    Get(Key),
    Command(Cmd),
}

/// A caller, and what it asks for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) asked: Asked,
    pub(super) caller: Caller,
    /// An MGET has said nothing of its key.
    pub(super) alone: bool,
}

pub(super) type Caller = oneshot::Sender<Result<Value>>;

/// Those who wait for the replies, in their order.
#[derive(Debug, Default)]
pub(super) struct Callers(Vec<Whose>);

#[derive(Debug)]
enum Whose {
    One(Caller),
    /// Two at least.
    Gets(Vec<(Key, Caller)>),
}

/// What became of GETs that were sent as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    asked: usize,
    missed: usize,
    bytes: usize,
    /// The server did not perform one of them.
    refused: bool,
}

/// Whether it pays to send GETs as one.
#[derive(Debug, Default)]
pub(super) struct Merging {
    rests: u32,
    /// How long it rests after a refusal: longer each time, for one that has no end.
    refused: u32,
}

impl Merging {
    /// Asked before each batch.
    pub(super) fn pays(&mut self) -> bool {
        let pays = self.rests == 0;
        self.rests = self.rests.saturating_sub(1);
        pays
    }

    /// Notes what became of a batch.
    pub(super) fn note(&mut self, tally: Tally) {
        let Tally { asked, missed, bytes, refused } = tally;
        if asked == 0 {
            return;
        }
        self.refused = if refused { (self.refused * 2).clamp(REST, REST_MAX) } else { 0 };
        if missed * MISSES > asked || bytes > asked * BYTES_MEAN_MAX {
            self.rests = self.refused.max(REST);
        }
    }
}

/// The commands for a batch: GETs that follow each other as one MGET, if that pays.
pub(super) fn form(batch: Vec<Waiting>, merges: bool) -> (Pipeline, Callers) {
    let mut forming =
        Forming { pipeline: Pipeline::with_capacity(batch.len()), ..Forming::default() };
    for Waiting { asked, caller, alone } in batch {
        match asked {
            Asked::Get(key) if merges && !alone => forming.get(key, caller),
            Asked::Get(key) => forming.command(command::on("GET", &key), caller),
            Asked::Command(command) => forming.command(command, caller),
        }
    }
    forming.end_gets();
    (forming.pipeline, forming.callers)
}

#[derive(Default)]
struct Forming {
    pipeline: Pipeline,
    callers: Callers,
    /// The GETs since the last other command.
    gets: Vec<(Key, Caller)>,
}

impl Forming {
    fn get(&mut self, key: Key, caller: Caller) {
        self.gets.push((key, caller));
        if self.gets.len() == GETS_MAX {
            self.end_gets();
        }
    }

    fn command(&mut self, command: Cmd, caller: Caller) {
        self.end_gets();
        self.pipeline.add_command(command);
        self.callers.0.push(Whose::One(caller));
    }

    fn end_gets(&mut self) {
        let mut gets = std::mem::take(&mut self.gets);
        if gets.len() > 1 {
            let keys = gets.iter().map(|(key, _)| key);
            self.pipeline.add_command(command::on_all("MGET", keys));
            self.callers.0.push(Whose::Gets(gets));
        } else if let Some((key, caller)) = gets.pop() {
            self.pipeline.add_command(command::on("GET", &key));
            self.callers.0.push(Whose::One(caller));
        }
    }
}

impl Callers {
    /// How many replies there have to be.
    pub(super) fn replies(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives each its reply. Who has to ask alone is given back: MGET says nothing of a key with a value of another
    /// type, nor whose key an error is about. One without a reply learns that by its channel.
    pub(super) fn hand_out(self, replies: Vec<Value>) -> (Tally, Vec<Waiting>) {
        let (mut tally, mut alone) = (Tally::default(), Vec::new());
        for (whose, reply) in self.0.into_iter().zip(replies) {
            match whose {
                Whose::One(caller) => answer(caller, Ok(reply)),
                Whose::Gets(gets) => {
                    tally.asked += gets.len();
                    share(gets, reply, &mut tally, &mut alone);
                }
            }
        }
        tally.missed = alone.len();
        (tally, alone)
    }

    /// Tells all of them the same error.
    pub(super) fn refuse(self, error: &Error) {
        for whose in self.0 {
            match whose {
                Whose::One(caller) => answer(caller, Err(error.clone())),
                Whose::Gets(gets) => {
                    gets.into_iter().for_each(|(_, caller)| answer(caller, Err(error.clone())));
                }
            }
        }
    }
}

/// The reply to an MGET.
fn share(gets: Vec<(Key, Caller)>, reply: Value, tally: &mut Tally, alone: &mut Vec<Waiting>) {
    let again = |(key, caller)| Waiting { asked: Asked::Get(key), caller, alone: true };
    match reply {
        Value::Array(values) if values.len() == gets.len() => {
            for (get, value) in gets.into_iter().zip(values) {
                match value {
                    Value::Nil => alone.push(again(get)),
                    Value::BulkString(bytes) => {
                        tally.bytes += bytes.len();
                        answer(get.1, Ok(Value::BulkString(bytes)));
                    }
                    other => answer(get.1, Ok(other)),
                }
            }
        }
        Value::ServerError(_) => {
            tally.refused = true;
            alone.extend(gets.into_iter().map(again));
        }
        // Out of step, as each will find.
        other => gets.into_iter().for_each(|(_, caller)| answer(caller, Ok(other.clone()))),
    }
}

/// The caller may have gone.
fn answer(caller: Caller, reply: Result<Value>) {
    drop(caller.send(reply));
}
