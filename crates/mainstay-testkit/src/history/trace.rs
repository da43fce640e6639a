//! A finished recording: the calls of a run and what the harness knew from outside.
//! It must not judge.

use std::{collections::BTreeMap, sync::Arc};

use super::call::Version;
use super::op::{ClientId, Micros, Moment, Op, OpId};

/// Everything that one run recorded, in the order in which the calls began to be recorded.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The calls; the id of each is its place.
    pub ops: Vec<Op>,
    /// What the harness did to the world.
    pub marks: Vec<Mark>,
    /// When a client could not reach the record.
    pub outages: Vec<Outage>,
    /// What the record held at the end.
    pub records: Vec<Recorded>,
    /// What the caches held at the end.
    pub copies: Vec<Copied>,
    /// Calls and notes that found the history full.
    pub refused: u64,
    /// The first mistakes in the use of the recorder.
    pub mistakes: Vec<(OpId, String)>,
    /// All of them, counted.
    pub mistakes_seen: u64,
}

/// A moment that a report should show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What happened.
    pub kind: MarkKind,
    /// When.
    pub at: Moment,
}

/// What the harness did to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// Something was broken.
    Fault(String),
    /// Everything was mended.
    Healed,
    /// The system works as before.
    Recovered,
}

/// Nothing between a client and the record got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The client.
    pub client: ClientId,
    /// Since when.
    pub from: Micros,
    /// Until when.
    pub to: Micros,
}

/// What the record held at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The key.
    pub key: Arc<str>,
    /// `None`: absent.
    pub value: Option<u64>,
    /// `None`: no trace of the key is left.
    pub version: Option<Version>,
    /// When it was read.
    pub at: Moment,
}

/// What a cache held at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The cache.
    pub cache: Arc<str>,
    /// The key.
    pub key: Arc<str>,
    /// `None`: it held nothing.
    pub version: Option<Version>,
}

impl Trace {
    /// The call of that name.
    #[must_use]
    pub fn op(&self, id: OpId) -> Option<&Op> {
        self.ops.get(id.0 as usize)
    }

    /// The calls of each key.
    #[must_use]
    pub fn by_key(&self) -> BTreeMap<&str, Vec<&Op>> {
        let mut keys: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
        for op in &self.ops {
            keys.entry(&op.key).or_default().push(op);
        }
        keys
    }

    /// The last note about each key's final state.
    #[must_use]
    pub fn final_records(&self) -> BTreeMap<&str, &Recorded> {
        self.records.iter().map(|record| (&*record.key, record)).collect()
    }
}
