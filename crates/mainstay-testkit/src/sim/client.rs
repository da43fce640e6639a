//! One client of one process: a session that asks one thing after the other, and writes down what it is told.
//! It must not judge.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use mainstay::{
    Ack, Answer, CallOptions, Condition, Effect, Freshness, Key, Op, Record, Reply, Session,
    TtlChange, Version, Worth,
};

use super::{dice::Dice, process::Process, servers::CACHE, weakness::Weakness, world::World};
use crate::history::{self, Call, Outcome, Source};

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    world: Arc<World>,
    process: Process,
    session: Session,
    /// The session's name in the history.
    number: u32,
    dice: Dice,
    /// Values that it has thought of.
    values: u64,
    /// The versions that it has seen last.
    seen: BTreeMap<String, Version>,
}

impl Client {
    /// The `slot`th client of this run of the process.
    pub(super) fn new(world: &Arc<World>, process: &Process, slot: u64) -> Self {
        let number = process.index as u64 * 10_000 + process.boot * 100 + slot;
        Self {
            world: Arc::clone(world),
            process: process.clone(),
            session: Session::new(),
            number: u32::try_from(number).unwrap_or(u32::MAX),
            dice: Dice::new(world.plan.seed, 1_000_000 + number),
            values: 0,
            seen: BTreeMap::new(),
        }
    }

    /// Asks until the time is over or it has asked often enough.
    pub(super) async fn work(mut self) {
        let end = self.world.at(self.world.plan.work_ms);
        for _ in 0..self.world.plan.calls {
            let pause = self.dice.ms(0, 2 * self.world.plan.think_ms);
            tokio::time::sleep(pause).await;
            if self.world.clock().now() >= end {
                return;
            }
            self.ask().await;
        }
    }

    /// Reads every key; those that no copy answered.
    pub(super) async fn read_all(&mut self) -> Vec<String> {
        let mut missing = keys(&self.world.plan);
        for key in keys(&self.world.plan) {
            if self.get(&key).await {
                missing.retain(|other| *other != key);
            }
        }
        missing
    }

    async fn ask(&mut self) {
        let plan = &self.world.plan;
        let counter = format!("n{}", self.dice.below(plan.counters));
        let key = format!("k{}", self.dice.below(plan.keys));
        let chosen = self.dice.below(100);
        match if self.only_reads() { 0 } else { chosen } {
            0..=39 => drop(self.get(&key).await),
            40..=44 => drop(self.get(&counter).await),
            45..=54 => self.get_many().await,
            55..=76 => {
                let value = self.value();
                let op = set(&key, value, Condition::Always);
                self.write(&key, Call::Put(value), op).await;
            }
            77..=82 => {
                let condition = Condition::Always;
                let op = Op::Delete { key: key.as_str().into(), condition, want_previous: false };
                self.seen.remove(&key);
                self.write(&key, Call::Delete, op).await;
            }
            83..=91 => self.compare_and_set(&key).await,
            _ => {
                let by = i64::try_from(self.dice.between(1, 5)).unwrap_or(1);
                let op = Op::Increment { key: counter.as_str().into(), by };
                self.write(&counter, Call::Increment { by }, op).await;
            }
        }
    }

    fn only_reads(&self) -> bool {
        let two_leases = u64::try_from(self.world.plan.lease.as_micros()).unwrap_or(1) * 2;
        self.world.plan.pauses && (self.world.now() / two_leases) % 2 == 1
    }

    /// Of no other call of the run.
    fn value(&mut self) -> u64 {
        self.values += 1;
        u64::from(self.number) * 100_000 + self.values
    }

    async fn compare_and_set(&mut self, key: &str) {
        let value = self.value();
        let seen = self.seen.get(key).copied();
        let condition = seen.map_or(Condition::Absent, Condition::VersionIs);
        let call = Call::CompareAndSet { expected: seen.map(version), value };
        self.write(key, call, set(key, value, condition)).await;
    }

    /// Whether a copy answered.
    async fn get(&mut self, key: &str) -> bool {
        let op = Op::Get { key: key.into(), with_ttl: false };
        let begun = self.world.now();
        let Ok(id) = self.world.history.invoke(self.client(), self.number, key, Call::Get, begun)
        else {
            return false;
        };
        let answer = self.execute(&op).await;
        let now = self.world.now();
        let Ok(Answer { reply: Reply::Record(record), source, worth, .. }) = answer else {
            self.world.history.fail(id, now);
            return false;
        };
        let copy = &*source == CACHE;
        let outcome = self.read(key, record.as_ref(), worth, copy, copy, begun);
        self.world.history.ok(id, outcome, now);
        copy
    }

    async fn get_many(&mut self) {
        let keys = keys(&self.world.plan);
        let op = Op::GetMany { keys: keys.iter().map(|key| Key::from(key.as_str())).collect() };
        let begun = self.world.now();
        let invoke = |key: &String| {
            self.world.history.invoke(self.client(), self.number, key, Call::Get, begun)
        };
        let ids: Vec<_> = keys.iter().filter_map(|key| invoke(key).ok()).collect();
        let answer = self.execute(&op).await;
        let now = self.world.now();
        let Ok(Answer { reply: Reply::Records(records), source, worth, .. }) = answer else {
            ids.iter().for_each(|id| self.world.history.fail(*id, now));
            return;
        };
        for ((key, id), record) in keys.iter().zip(ids).zip(records) {
            // Some of them may be copies though the record answered for the rest.
            let copy = &*source == CACHE;
            let outcome = self.read(key, record.as_ref(), worth, copy, record.is_some(), begun);
            self.world.history.ok(id, outcome, now);
        }
    }

    /// What a read says. `maybe_copy`: Redis may have answered, so that what Redis lost is not held against it.
    fn read(
        &mut self,
        key: &str,
        record: Option<&Record>,
        worth: Worth,
        copy: bool,
        maybe_copy: bool,
        begun: u64,
    ) -> Outcome {
        let seen = record.and_then(|record| record.version);
        match seen {
            Some(version) => drop(self.seen.insert(key.to_owned(), version)),
            None => drop(self.seen.remove(key)),
        }
        let now = self.world.now();
        let floor = self.world.state().doubts.floor(begun, now).filter(|_| maybe_copy);
        let bound = match worth.freshness() {
            Freshness::Linearizable => Some(0),
            Freshness::Bounded(bound) => Some(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)),
            Freshness::Pending
            | Freshness::Loaded
            | Freshness::Unpromised
            | Freshness::Unverified(_) => None,
        };
        let freshness = match (bound, floor) {
            (None, _) => history::Freshness::Unverified,
            (Some(0), None) => history::Freshness::Linearizable,
            (Some(bound), None) => history::Freshness::Bounded(bound),
            (Some(bound), Some(floor)) => {
                history::Freshness::Bounded(bound + begun.saturating_sub(floor))
            }
        };
        let leased = self.process.record.is_leased(self.world.clock().now());
        let source = if copy { Source::Cache { leased } } else { Source::Record };
        Outcome::read(record.map(value_of), seen.map(version), freshness, source)
    }

    async fn write(&mut self, key: &str, call: Call, op: Op) {
        let begun = self.world.now();
        let Ok(id) = self.world.history.invoke(self.client(), self.number, key, call, begun) else {
            return;
        };
        let answer = self.execute(&op).await;
        let (now, history) = (self.world.now(), self.world.history.clone());
        match answer {
            Ok(Answer { reply: Reply::Written(written), worth, .. }) => {
                if let Some(version) = written.version.filter(|_| call != Call::Delete) {
                    self.seen.insert(key.to_owned(), version);
                }
                let number = match written.outcome {
                    mainstay::Outcome::Integer(number) => Some(number),
                    mainstay::Outcome::None | mainstay::Outcome::Text(_) => None,
                };
                let outcome = history::WriteOutcome {
                    version: written.version.map(version),
                    ack: ack(worth),
                    applied: written.applied,
                    number,
                };
                history.ok(id, Outcome::Write(outcome), now);
            }
            Err(error) if error.effect() == Effect::None => history.fail(id, now),
            Ok(_) | Err(_) => history.unknown(id, now),
        }
    }

    async fn execute(&mut self, op: &Op) -> mainstay::Result<Answer> {
        let patience = match self.dice.below(10) {
            0 => self.dice.ms(20, 300),
            1..=6 => self.dice.ms(500, 2_000),
            _ => Duration::from_secs(5),
        };
        let told = self.world.weakness != Some(Weakness::NoSessionFloor);
        let options = CallOptions {
            deadline: Some(self.process.storage.clock().deadline_in(patience)),
            session: Some(self.session.clone()).filter(|_| told),
        };
        self.process.storage.execute(op, options).await
    }

    fn client(&self) -> u32 {
        u32::try_from(self.process.index).unwrap_or(u32::MAX)
    }
}

/// All keys of a run.
pub(super) fn keys(plan: &super::plan::Plan) -> Vec<String> {
    let values = (0..plan.keys).map(|key| format!("k{key}"));
    values.chain((0..plan.counters).map(|counter| format!("n{counter}"))).collect()
}

fn set(key: &str, value: u64, condition: Condition) -> Op {
    let value = Bytes::from(value.to_string());
    Op::Set { key: key.into(), value, ttl: TtlChange::Clear, condition, want_previous: false }
}

/// The number in a record; a text that is none stands for a value that nobody wrote.
pub(super) fn value_of(record: &Record) -> u64 {
    let text = std::str::from_utf8(&record.value).unwrap_or_default();
    let counted = text.parse::<i64>().map(i64::cast_unsigned);
    text.parse().or(counted).unwrap_or(u64::MAX)
}

pub(super) fn version(version: Version) -> history::Version {
    history::Version { epoch: version.epoch, counter: version.counter }
}

fn ack(worth: Worth) -> history::Ack {
    match worth {
        Worth::Write(Ack::Durable) => history::Ack::Durable,
        Worth::Write(Ack::Journaled(_)) => history::Ack::Journaled,
        Worth::Write(Ack::Replica | Ack::Volatile) | Worth::Read(_) => history::Ack::Volatile,
    }
}
