//! What a script sees and changes: the slots of its keys, apart from the storage until the script has ended.
//! It must not know what a write means (`backend::semantics`), nor how arguments are read (`command`).

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, Bytes};
use mainstay::{
    Answer, Change, Clock, ExpireCondition, Freshness, Key, Op, OpClass, Record, Reply, Snapshot,
    Ttl, TtlChange, Version, Worth,
    backend::semantics::{self, Bounds, Slot, Stored, apply, range_of, ttl_left},
    hash::{Hash, is_hash, wrong_type},
};

use super::super::{
    Handler, Job, Request, Spec,
    args::{Name, integer},
    find,
    hash::{self, Ask, Call},
    sequence::{Outcome, Sequence},
};
use crate::{
    resp::{cursor::Cursors, error::Failure, reply::Output},
    script::{Host, Value},
};

/// The commands that a script may call, by name.
const CALLABLE: [&str; 55] = [
    "append",
    "copy",
    "decr",
    "decrby",
    "del",
    "delex",
    "exists",
    "expire",
    "expireat",
    "expiretime",
    "get",
    "getdel",
    "getex",
    "getrange",
    "getset",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hincrbyfloat",
    "hkeys",
    "hlen",
    "hmget",
    "hmset",
    "hscan",
    "hset",
    "hsetnx",
    "hstrlen",
    "hvals",
    "incr",
    "incrby",
    "incrbyfloat",
    "mget",
    "mset",
    "msetnx",
    "persist",
    "pexpire",
    "pexpireat",
    "pexpiretime",
    "psetex",
    "pttl",
    "rename",
    "renamenx",
    "set",
    "setex",
    "setnx",
    "setrange",
    "strlen",
    "substr",
    "time",
    "touch",
    "ttl",
    "type",
    "unlink",
];

/// Commands of Redis on what Mainstay does not keep: lists, sets, sorted sets, channels.
const KEPT_ELSEWHERE: [&str; 23] = [
    "blpop",
    "brpop",
    "hexpire",
    "llen",
    "lindex",
    "lpop",
    "lpush",
    "lrange",
    "lrem",
    "ltrim",
    "publish",
    "rpop",
    "rpush",
    "sadd",
    "scard",
    "sismember",
    "smembers",
    "srem",
    "zadd",
    "zcard",
    "zrange",
    "zrem",
    "zremrangebyscore",
];

const NOT_ALLOWED: &str = "ERR This Redis command is not allowed from script";

const READ_ONLY: &str = "ERR Write commands are not allowed from read-only scripts.";

fn undeclared() -> Failure {
    Failure::fixed("ERR Script attempted to access a non local key in a cluster node")
}

/// No version of a slot is ever looked at.
const NO_VERSION: Version = Version { epoch: 0, counter: 0 };

/// One key as the script has left it.
#[derive(Clone, Debug)]
struct Held {
    stored: Option<Stored>,
    was_there: bool,
    /// Whether the value was written or deleted.
    changed: bool,
    /// What became of the expiry.
    ttl: TtlChange,
}

/// The keys of one script or transaction, at one time.
#[derive(Debug)]
pub(in crate::resp) struct World {
    held: BTreeMap<Key, Held>,
    clock: Clock,
    now: i64,
    bounds: Bounds,
    cursors: Cursors,
    read_only: bool,
    /// The hash that was written last: a transaction writes to one again and again.
    last: Option<(Key, Bytes, Hash)>,
}

impl World {
    pub(in crate::resp) fn new(
        read: Snapshot,
        clock: Clock,
        value_max: usize,
        read_only: bool,
    ) -> Self {
        let now = clock.unix_ms();
        let held = read.into_iter().map(|(key, record)| {
            let stored = record.map(|record| stored(record, now));
            let was_there = stored.is_some();
            (key, Held { stored, was_there, changed: false, ttl: TtlChange::Keep })
        });
        let held = held.collect();
        let bounds = Bounds { value_max };
        Self { held, clock, now, bounds, cursors: Cursors::default(), read_only, last: None }
    }

    /// What the script has changed.
    pub(in crate::resp) fn changes(self) -> Vec<(Key, Change)> {
        let change = |(key, held): (Key, Held)| {
            let Held { stored, was_there, changed, ttl } = held;
            let change = match stored {
                Some(stored) if changed => Change::Put { value: stored.value, ttl },
                Some(_) if ttl != TtlChange::Keep => Change::Expire(ttl),
                Some(_) => return None,
                None if was_there => Change::Delete,
                None => return None,
            };
            Some((key, change))
        };
        self.held.into_iter().filter_map(change).collect()
    }

    /// The same for commands that write.
    pub(super) fn writable(self) -> Self {
        Self { read_only: false, ..self }
    }

    /// The same once more, for a script that may or may not come to its end.
    pub(super) fn again(&self, read_only: bool) -> Self {
        let (held, clock) = (self.held.clone(), self.clock.clone());
        let (now, bounds) = (self.now, self.bounds);
        Self { held, clock, now, bounds, cursors: Cursors::default(), read_only, last: None }
    }

    /// Whether a command of this name can be performed here.
    pub(in crate::resp) fn takes(name: &str) -> bool {
        CALLABLE.contains(&name)
    }

    /// Performs one command and writes what it answers, an error too.
    pub(in crate::resp) fn answer(&mut self, words: &[Bytes], out: &mut Output) {
        if let Err(failure) = self.perform_into(words, out) {
            out.error(failure.text());
        }
    }

    fn perform_into(&mut self, words: &[Bytes], out: &mut Output) -> Result<(), Failure> {
        let name = words.first().and_then(|word| Name::of(word));
        match (name.as_ref().map_or(&b""[..], |name| name.as_bytes()), words) {
            (b"ping", [_]) => out.simple("PONG"),
            (b"ping" | b"echo", [_, text]) => out.bulk_shared(text.clone()),
            (b"select", [_, database]) if integer(database)? == 0 => out.ok(),
            (b"select", _) => return Err(Failure::DATABASE),
            (b"unwatch", _) => out.ok(),
            _ => return self.command(words, out),
        }
        Ok(())
    }

    fn command(&mut self, words: &[Bytes], out: &mut Output) -> Result<(), Failure> {
        let spec = self.spec(words)?;
        if spec.name == "time" {
            let us = self.clock.unix_us();
            out.array(2);
            out.bulk((us / 1_000_000).to_string().as_bytes());
            out.bulk((us % 1_000_000).to_string().as_bytes());
            return Ok(());
        }
        let Handler::Data(read) = spec.handler else { return Err(Failure::fixed(NOT_ALLOWED)) };
        let job = read(&Request {
            args: words,
            clock: &self.clock,
            cursors: &self.cursors,
            allow_flush: false,
        })?;
        match job {
            Job::Op(op, encode) => {
                let reply = self.perform(&op)?;
                encode(answer(reply), &self.clock, out)?;
            }
            Job::Part(key, part) => {
                let reply = self.perform(&Op::Get { key, with_ttl: false })?;
                part.encode(reply.into_record()?, out)?;
            }
            Job::Hash(call) => self.hash(*call)?.encode(out),
            Job::Sequence(steps) => self.sequence(*steps)?.encode(&self.cursors, out),
            Job::Run(_)
            | Job::Script(_)
            | Job::Transaction(_)
            | Job::Watch(_)
            | Job::Pass(_)
            | Job::Channels(_)
            | Job::Subscribe(..)
            | Job::Block(_)
            | Job::PassWatch(_)
            | Job::PassExec(_) => {
                return Err(Failure::fixed(NOT_ALLOWED));
            }
        }
        Ok(())
    }

    /// A command on a hash.
    fn hash(&mut self, call: Call) -> Result<hash::Answer, Failure> {
        let Call { key, ask } = call;
        let Some(held) = self.held.get_mut(&key) else { return Err(undeclared()) };
        let stored = held.stored.as_ref().map(|stored| &stored.value);
        let asked = match ask {
            Ask::Read(asked) => return hash::read(stored, &asked),
            Ask::Write(_) if self.read_only => return Err(Failure::fixed(READ_ONLY)),
            Ask::Write(asked) => asked,
        };
        let mut fields = match self.last.take() {
            // Known by its memory, not by its bytes.
            Some((last, value, fields))
                if last == key
                    && stored.is_some_and(|stored| stored.as_ptr() == value.as_ptr()) =>
            {
                fields
            }
            _ => stored.map(Hash::read).transpose()?.unwrap_or_default(),
        };
        let answer = hash::write(&mut fields, &asked)?;
        let expires_at = held.stored.as_ref().and_then(|stored| stored.expires_at);
        // A new key begins without an expiry: its route may have one for it.
        let ttl = if held.stored.is_some() { TtlChange::Keep } else { TtlChange::Clear };
        if fields.0.is_empty() {
            if held.stored.is_some() {
                held.take(semantics::Change::Remove, TtlChange::Keep);
            }
        } else {
            let value = fields.to_value(self.bounds.value_max)?;
            held.take(semantics::Change::Put { value: value.clone(), expires_at }, ttl);
            self.last = Some((key, value, fields));
        }
        Ok(answer)
    }

    fn spec(&self, words: &[Bytes]) -> Result<&'static Spec, Failure> {
        let name = words.first().and_then(|word| Name::of(word));
        let name = name.as_ref().map_or(&b""[..], |name| name.as_bytes());
        let callable = CALLABLE.iter().any(|callable| callable.as_bytes() == name);
        let Some(spec) = find(name).filter(|_| callable) else {
            return Err(refusal(name));
        };
        if !spec.takes(words.len()) {
            let text = "ERR Wrong number of args calling Redis command from script";
            return Err(Failure::fixed(text));
        }
        Ok(spec)
    }

    fn sequence(&mut self, steps: Sequence) -> Result<Outcome, Failure> {
        match steps {
            Sequence::GetAndExpire { key, ttl } => {
                let get = Op::Get { key: key.clone(), with_ttl: false };
                let value = self.perform(&get)?.into_record()?.map(|record| record.value);
                if value.as_deref().is_some_and(is_hash) {
                    return Err(wrong_type().into());
                }
                let condition = ExpireCondition::Always;
                self.perform(&Op::Expire { key, ttl, condition })?;
                Ok(Outcome::Value(value))
            }
            Sequence::ExpireSooner { key, ttl } => {
                let left = self.perform(&Op::TimeToLive { key: key.clone() })?.into_ttl()?;
                let condition = ExpireCondition::Less;
                let sooner = match left {
                    Ttl::Left(_) => {
                        let op = Op::Expire { key, ttl, condition };
                        self.perform(&op)?.into_written()?.applied
                    }
                    Ttl::Missing | Ttl::Persistent => false,
                };
                Ok(Outcome::Applied(sooner))
            }
            Sequence::Copy { from, to, replace } => {
                if self.stored(&from).is_none() {
                    return Ok(Outcome::Applied(false));
                }
                let copy = Op::Move { from, to, keep_source: true, replace };
                Ok(Outcome::Applied(self.perform(&copy)?.into_written()?.applied))
            }
            _ => Err(Failure::fixed(NOT_ALLOWED)),
        }
    }

    fn perform(&mut self, op: &Op) -> Result<Reply, Failure> {
        let mut declared = true;
        op.for_each_key(|key| declared &= self.held.contains_key(key));
        if !declared {
            return Err(undeclared());
        }
        if op.class() == OpClass::Read {
            return Ok(self.read(op)?);
        }
        if self.read_only {
            return Err(Failure::fixed(READ_ONLY));
        }
        Ok(self.write(op)?)
    }

    fn stored(&self, key: &Key) -> Option<&Stored> {
        self.held.get(key).and_then(|held| held.stored.as_ref())
    }

    fn read(&self, op: &Op) -> mainstay::Result<Reply> {
        let left = |stored: &Stored| stored.expires_at.map(|at| ttl_left(at, self.now));
        let record = |key: &Key| {
            let stored = self.stored(key)?;
            Some(Record { value: stored.value.clone(), version: None, ttl: left(stored) })
        };
        let length = |count: usize| Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(match op {
            Op::Get { key, .. } => Reply::Record(record(key)),
            Op::GetMany { keys } => Reply::Records(keys.iter().map(record).collect()),
            Op::GetRange { key, start, end } => {
                let part = self.stored(key).map(|stored| range_of(&stored.value, *start, *end));
                Reply::Bytes(part.unwrap_or_default())
            }
            Op::Length { key } => length(self.stored(key).map_or(0, |stored| stored.value.len())),
            Op::TimeToLive { key } => Reply::Ttl(match self.stored(key) {
                None => Ttl::Missing,
                Some(stored) => left(stored).map_or(Ttl::Persistent, Ttl::Left),
            }),
            Op::Exists { keys } => {
                length(keys.iter().filter(|key| self.stored(key).is_some()).count())
            }
            other => {
                let text = format!("`{}` in a script", other.name());
                return Err(mainstay::Error::new(mainstay::ErrorKind::Unsupported, text));
            }
        })
    }

    fn write(&mut self, op: &Op) -> mainstay::Result<Reply> {
        let slot = |key: Key| {
            let stored = self.stored(&key).cloned();
            Slot { key, stored, next: NO_VERSION, change: semantics::Change::Keep }
        };
        let mut slots: Vec<Slot> = semantics::keys_of(op).into_iter().map(slot).collect();
        let reply = apply(op, &mut slots, self.now, self.bounds)?;
        let ttl = match op {
            Op::Set { ttl, .. } | Op::SetMany { ttl, .. } | Op::Expire { ttl, .. } => *ttl,
            _ => TtlChange::Keep,
        };
        let now = self.now;
        for slot in slots {
            // What moves takes its expiry with it.
            let ttl = match (op, &slot.change) {
                (Op::Move { .. }, semantics::Change::Put { expires_at, .. }) => {
                    expires_at.map_or(TtlChange::Clear, |at| TtlChange::For(ttl_left(at, now)))
                }
                _ => ttl,
            };
            if let Some(held) = self.held.get_mut(&slot.key) {
                held.take(slot.change, ttl);
            }
        }
        Ok(reply)
    }
}

impl Held {
    fn take(&mut self, change: semantics::Change, ttl: TtlChange) {
        if !matches!(change, semantics::Change::Keep) && ttl != TtlChange::Keep {
            self.ttl = ttl;
        }
        match change {
            semantics::Change::Keep => {}
            semantics::Change::Put { value, expires_at } => {
                self.stored = Some(Stored { value, expires_at, version: NO_VERSION });
                self.changed = true;
            }
            semantics::Change::Expire { expires_at } => {
                if let Some(stored) = &mut self.stored {
                    stored.expires_at = expires_at;
                }
            }
            semantics::Change::Remove => {
                self.stored = None;
                self.changed = true;
                // What is set from here on begins without one.
                self.ttl = TtlChange::Clear;
            }
        }
    }
}

impl Host for World {
    fn call(&mut self, words: Vec<Bytes>) -> Value {
        let mut out = Output::new();
        match self.command(&words, &mut out) {
            Ok(()) => parse(&mut out)
                .unwrap_or_else(|| Value::error("ERR internal error: a reply without an end")),
            Err(failure) => Value::error(failure.text()),
        }
    }
}

fn stored(record: Record, now: i64) -> Stored {
    let left = record.ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
    // What is there has not expired.
    let expires_at = left.map(|left| now.saturating_add(left.max(1)));
    Stored { value: record.value, expires_at, version: NO_VERSION }
}

/// Why a command cannot be called.
fn refusal(name: &[u8]) -> Failure {
    if find(name).is_some() || matches!(name, b"select" | b"eval" | b"evalsha" | b"script") {
        return Failure::fixed(NOT_ALLOWED);
    }
    let kept_elsewhere = KEPT_ELSEWHERE.iter().any(|other| other.as_bytes() == name);
    if kept_elsewhere {
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        let text = format!(
            "{NOT_ALLOWED}; {name} is neither for strings nor for hashes, and Mainstay keeps no others"
        );
        return Failure::new(text);
    }
    Failure::fixed("ERR Unknown Redis command called from script")
}

/// The reply of a slot as an answer of the storage.
fn answer(reply: Reply) -> Answer {
    let worth = Worth::Read(Freshness::Linearizable);
    Answer { reply, source: Arc::from("script"), stale: false, worth, age: None }
}

/// Reads back what a command has written in RESP 2.
fn parse(out: &mut Output) -> Option<Value> {
    let mut bytes = out.copy_to_bytes(out.remaining());
    one(&mut bytes)
}

fn one(bytes: &mut Bytes) -> Option<Value> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let line = bytes.split_to(end);
    bytes.advance(2);
    let number = || std::str::from_utf8(&line[1..]).ok()?.parse::<i64>().ok();
    Some(match line.first()? {
        b'+' => Value::Status(line.slice(1..)),
        b'-' => Value::Error(String::from_utf8_lossy(&line[1..]).into_owned()),
        b':' => Value::Integer(number()?),
        b'$' => match usize::try_from(number()?) {
            Err(_) => Value::Nil,
            Ok(length) if length + 2 <= bytes.len() => {
                let value = bytes.split_to(length);
                bytes.advance(2);
                Value::Bulk(value)
            }
            Ok(_) => return None,
        },
        b'*' => {
            let count = usize::try_from(number()?).unwrap_or(0);
            Value::Array((0..count).map(|_| one(bytes)).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}
