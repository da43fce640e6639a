//! Which commands of a batch are sent as one, and whose the replies are. Pure.
//! It must not know connections, tasks, nor what an error reply says.

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::oneshot;

use super::super::{classify, command};
use crate::{
    entry::Key,
    error::{Error, Result},
    merging::{BYTES_MEAN_MAX, Merging, Tally},
};

#[cfg(test)]
mod tests;

/// GETs sent as one MGET, and SETs as one MSET, at most: a server does nothing else meanwhile.
const RUN_MAX: usize = 64;

/// What a caller asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// The value of a key. Nothing that was asked before or after it is moved past it.
    Get(Key),
    /// A key to be set for good, whatever is there. Nothing is moved past it either.
    Set(Key, Bytes),
    Command(Cmd),
}

/// A caller, and what it asks for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) asked: Asked,
    pub(super) caller: Caller,
    /// An MGET has said nothing of its key, or an MSET was refused.
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
    /// Two at least.
    Sets(Vec<(Key, Bytes, Caller)>),
}

/// Something about GETs, and the same about SETs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Both<T> {
    gets: T,
    sets: T,
}

impl Both<Merging> {
    /// Asked before each batch.
    pub(super) fn pays(&mut self) -> Both<bool> {
        Both { gets: self.gets.pays(), sets: self.sets.pays() }
    }

    /// Notes what became of a batch.
    pub(super) fn note(&mut self, tally: Both<Tally>) {
        self.gets.note(tally.gets);
        self.sets.note(tally.sets);
    }
}

/// The commands for a batch: GETs that follow each other as one MGET, and SETs as one MSET, if that pays.
pub(super) fn form(batch: Vec<Waiting>, merges: Both<bool>) -> (Pipeline, Callers) {
    let mut forming =
        Forming { pipeline: Pipeline::with_capacity(batch.len()), ..Forming::default() };
    for Waiting { asked, caller, alone } in batch {
        match asked {
            Asked::Get(key) if merges.gets && !alone => forming.get(key, caller),
            Asked::Get(key) => forming.command(command::on("GET", &key), caller),
            Asked::Set(key, value) if merges.sets && !alone && value.len() <= BYTES_MEAN_MAX => {
                forming.set(key, value, caller);
            }
            Asked::Set(key, value) => forming.command(command::assign(&key, &value, None), caller),
            Asked::Command(command) => forming.command(command, caller),
        }
    }
    forming.end();
    (forming.pipeline, forming.callers)
}

#[derive(Default)]
struct Forming {
    pipeline: Pipeline,
    callers: Callers,
    /// The GETs since the last other command, or the SETs: one of the two is empty.
    gets: Vec<(Key, Caller)>,
    sets: Vec<(Key, Bytes, Caller)>,
}

impl Forming {
    fn get(&mut self, key: Key, caller: Caller) {
        if !self.sets.is_empty() || self.gets.len() == RUN_MAX {
            self.end();
        }
        self.gets.push((key, caller));
    }

    fn set(&mut self, key: Key, value: Bytes, caller: Caller) {
        if !self.gets.is_empty() || self.sets.len() == RUN_MAX {
            self.end();
        }
        self.sets.push((key, value, caller));
    }

    fn command(&mut self, command: Cmd, caller: Caller) {
        self.end();
        self.add(command, Whose::One(caller));
    }

    fn add(&mut self, command: Cmd, whose: Whose) {
        self.pipeline.add_command(command);
        self.callers.0.push(whose);
    }

    /// What follows is no part of what was gathered.
    fn end(&mut self) {
        let (mut gets, mut sets) = (std::mem::take(&mut self.gets), std::mem::take(&mut self.sets));
        if gets.len() > 1 {
            let keys = gets.iter().map(|(key, _)| key);
            self.add(command::on_all("MGET", keys), Whose::Gets(gets));
        } else if let Some((key, caller)) = gets.pop() {
            self.add(command::on("GET", &key), Whose::One(caller));
        }
        if sets.len() > 1 {
            let entries = sets.iter().map(|(key, value, _)| (key, value));
            self.add(command::assign_all("MSET", entries), Whose::Sets(sets));
        } else if let Some((key, value, caller)) = sets.pop() {
            self.add(command::assign(&key, &value, None), Whose::One(caller));
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
    /// type, nor does an error say whose key it is about. One without a reply learns that by its channel.
    pub(super) fn hand_out(self, replies: Vec<Value>) -> (Both<Tally>, Vec<Waiting>) {
        let (mut tally, mut alone) = (Both::default(), Vec::new());
        for (whose, reply) in self.0.into_iter().zip(replies) {
            match whose {
                Whose::One(caller) => answer(caller, Ok(reply)),
                Whose::Gets(gets) => share(gets, reply, &mut tally.gets, &mut alone),
                Whose::Sets(sets) => tell(sets, reply, &mut tally.sets, &mut alone),
            }
        }
        (tally, alone)
    }

    /// Tells all of them the same error.
    pub(super) fn refuse(self, error: &Error) {
        let refuse = |caller| answer(caller, Err(error.clone()));
        for whose in self.0 {
            match whose {
                Whose::One(caller) => refuse(caller),
                Whose::Gets(gets) => gets.into_iter().for_each(|(_, caller)| refuse(caller)),
                Whose::Sets(sets) => sets.into_iter().for_each(|(_, _, caller)| refuse(caller)),
            }
        }
    }
}

/// The reply to an MGET.
fn share(gets: Vec<(Key, Caller)>, reply: Value, tally: &mut Tally, alone: &mut Vec<Waiting>) {
    tally.asked += gets.len();
    let mut again = |(key, caller)| {
        tally.missed += 1;
        alone.push(Waiting { asked: Asked::Get(key), caller, alone: true });
    };
    match reply {
        Value::Array(values) if values.len() == gets.len() => {
            for (get, value) in gets.into_iter().zip(values) {
                match value {
                    Value::Nil => again(get),
                    Value::BulkString(bytes) => {
                        tally.bytes += bytes.len();
                        answer(get.1, Ok(Value::BulkString(bytes)));
                    }
                    other => answer(get.1, Ok(other)),
                }
            }
        }
        Value::ServerError(_) => {
            gets.into_iter().for_each(again);
            tally.refused = true;
        }
        // Out of step, as each will find.
        other => gets.into_iter().for_each(|(_, caller)| answer(caller, Ok(other.clone()))),
    }
}

/// The reply to an MSET: one for all. Redis sets all or nothing; what stands between may have set some of them, and then
/// says it in words of its own.
fn tell(
    sets: Vec<(Key, Bytes, Caller)>,
    reply: Value,
    tally: &mut Tally,
    alone: &mut Vec<Waiting>,
) {
    tally.asked += sets.len();
    let reply = match reply {
        Value::ServerError(error) => {
            tally.missed += sets.len();
            tally.refused = true;
            if classify::is_refused_at_once(&error) {
                alone.extend(sets.into_iter().map(|(key, value, caller)| Waiting {
                    asked: Asked::Set(key, value),
                    caller,
                    alone: true,
                }));
                return;
            }
            Err(classify::in_part(&error))
        }
        other => Ok(other),
    };
    sets.into_iter().for_each(|(_, _, caller)| answer(caller, reply.clone()));
}

/// The caller may have gone.
fn answer(caller: Caller, reply: Result<Value>) {
    drop(caller.send(reply));
}
