//! The smallest backend that is right: a map, a lock, and the library's own meaning of each write.
//! Knows nothing of speed or limits of memory. It is what the suites and the fault backend are tested with.

use futures_util::future::BoxFuture;
use mainstay::backend::semantics::{self, Bounds, Change, Slot, Stored};
use mainstay::backend::{Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope};
use mainstay::{
    Clock, Condition, Deadline, Error, ErrorKind, Key, Op, Page, Record, Reply, Result, Ttl,
    Version, Written,
};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A backend in this process whose every answer follows from `semantics`.
#[derive(Debug)]
pub struct ModelBackend {
    clock: Clock,
    capabilities: Capabilities,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    rows: BTreeMap<Key, Stored>,
    /// One counter for all keys: it rises with every write, so every key's versions rise.
    writes: u64,
}

impl Default for ModelBackend {
    fn default() -> Self {
        Self::new(Capabilities {
            scope: Scope::Shared,
            durability: Durability::Crash,
            versions: true,
            atomic_many: true,
            copies: false,
            control: false,
            locks: false,
            value_max: 16 << 20,
        })
    }
}

impl ModelBackend {
    /// An empty one that declares these capabilities.
    pub fn new(capabilities: Capabilities) -> Self {
        Self { clock: Clock::system(), capabilities, state: Mutex::default() }
    }

    /// Forgets everything, as an engine that restarts empty does.
    pub fn forget(&self) {
        self.state().rows.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, op: &Op) -> Result<Reply> {
        let now = self.clock.unix_ms();
        let mut state = self.state();
        if !state.open {
            return Err(Error::new(ErrorKind::OutOfUse, "not connected"));
        }
        if !self.capabilities.versions && names_version(op) {
            return Err(Error::new(ErrorKind::Unsupported, "this engine gives no versions"));
        }
        let live = |state: &State, key: &Key| {
            state.rows.get(key).filter(|row| row.expires_at.is_none_or(|at| at > now)).cloned()
        };
        if let Some(reply) = read(op, now, |key| live(&state, key), || keys(&state, now)) {
            return Ok(self.without_versions(reply));
        }
        state.writes += 1;
        let next = Version { epoch: 1, counter: state.writes };
        let slot = |key: Key| Slot { stored: live(&state, &key), key, next, change: Change::Keep };
        let mut slots: Vec<Slot> = semantics::keys_of(op).into_iter().map(slot).collect();
        let reply = semantics::apply(
            op,
            &mut slots,
            now,
            Bounds { value_max: self.capabilities.value_max },
        )?;
        slots.into_iter().for_each(|slot| change(&mut state.rows, slot));
        Ok(self.without_versions(reply))
    }

    fn without_versions(&self, reply: Reply) -> Reply {
        if self.capabilities.versions {
            return reply;
        }
        let bare = |record: Record| Record { version: None, ..record };
        match reply {
            Reply::Record(record) => Reply::Record(record.map(bare)),
            Reply::Records(records) => {
                Reply::Records(records.into_iter().map(|record| record.map(bare)).collect())
            }
            Reply::Written(written) => {
                let previous = written.previous.map(bare);
                Reply::Written(Written { version: None, previous, ..written })
            }
            other => other,
        }
    }
}

fn names_version(op: &Op) -> bool {
    matches!(op, Op::Set { condition, .. } | Op::Delete { condition, .. } if matches!(condition, Condition::VersionIs(_)))
}

fn change(rows: &mut BTreeMap<Key, Stored>, slot: Slot) {
    let Slot { key, stored, next: version, change } = slot;
    match (change, stored) {
        (Change::Keep, _) => {}
        (Change::Put { value, expires_at }, _) => {
            drop(rows.insert(key, Stored { value, expires_at, version }))
        }
        (Change::Expire { expires_at }, Some(stored)) => {
            rows.insert(key, Stored { expires_at, version, ..stored });
        }
        (Change::Remove | Change::Expire { .. }, _) => drop(rows.remove(&key)),
    }
}

fn keys(state: &State, now: i64) -> Vec<Key> {
    let live = state.rows.iter().filter(|(_, row)| row.expires_at.is_none_or(|at| at > now));
    live.map(|(key, _)| key.clone()).collect()
}

/// The reply to a read; `None` for a write.
fn read(
    op: &Op,
    now: i64,
    live: impl Fn(&Key) -> Option<Stored>,
    keys: impl Fn() -> Vec<Key>,
) -> Option<Reply> {
    let record = |row: Stored, with_ttl: bool| Record {
        value: row.value,
        version: Some(row.version),
        ttl: row.expires_at.filter(|_| with_ttl).map(|at| semantics::ttl_left(at, now)),
    };
    let integer = |number: usize| Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    Some(match op {
        Op::Get { key, with_ttl } => Reply::Record(live(key).map(|row| record(row, *with_ttl))),
        Op::GetMany { keys } => {
            Reply::Records(keys.iter().map(|key| live(key).map(|row| record(row, true))).collect())
        }
        Op::GetRange { key, start, end } => Reply::Bytes(
            live(key).map(|row| semantics::range_of(&row.value, *start, *end)).unwrap_or_default(),
        ),
        Op::Length { key } => integer(live(key).map_or(0, |row| row.value.len())),
        Op::TimeToLive { key } => Reply::Ttl(match live(key).map(|row| row.expires_at) {
            None => Ttl::Missing,
            Some(None) => Ttl::Persistent,
            Some(Some(at)) => Ttl::Left(semantics::ttl_left(at, now)),
        }),
        Op::Exists { keys } => integer(keys.iter().filter(|key| live(key).is_some()).count()),
        Op::Count { prefix } => {
            integer(keys().iter().filter(|key| key.as_bytes().starts_with(prefix)).count())
        }
        Op::Scan { prefix, cursor, limit } => {
            let beyond = |key: &Key| cursor.as_ref().is_none_or(|last| key.bytes() > last);
            let mut rest = keys();
            rest.retain(|key| key.as_bytes().starts_with(prefix) && beyond(key));
            let more = rest.len() > *limit;
            rest.truncate(*limit);
            let next = rest.last().filter(|_| more).map(|key| key.bytes().clone());
            Reply::Page(Page { keys: rest, next })
        }
        _ => return None,
    })
}

impl Backend for ModelBackend {
    fn engine(&self) -> &'static str {
        "model"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn connect(&self, _: Deadline) -> BoxFuture<'_, Result<()>> {
        self.state().open = true;
        Box::pin(async { Ok(()) })
    }

    fn execute<'a>(&'a self, op: &'a Op, _: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move { self.apply(op) })
    }

    fn probe(&self, _: ProbeDepth, _: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async { Ok(ProbeReport::default()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.state().open = false;
        Box::pin(async {})
    }
}
