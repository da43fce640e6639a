//! The memory of this process as a backend: sharded, bounded by bytes, gone with the process.
//! It must not know what its copies are copies of, nor who may trust them.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use self::shard::Shard;
use super::{
    Backend, Capabilities, Durability, Feed, ProbeDepth, ProbeReport, Scope,
    semantics::{self, Bounds, Change, Slot},
};
use crate::{
    clock::{Clock, Deadline},
    config::MemoryConfig,
    entry::{Key, Version},
    error::{Error, ErrorKind, Result},
    live::{LiveLimit, LiveSize},
    op::Op,
    reply::Reply,
};

mod control;
mod copies;
mod feed;
mod locks;
mod read;
mod scan;
mod shard;
mod snapshot;

#[cfg(test)]
mod tests;

pub use self::{shard::OVERHEAD, snapshot::MemorySnapshot};

/// Enough that two writers seldom meet, few enough that a many-key operation may lock them all.
const SHARDS: usize = 16;

/// Due records that each write takes away on the way, so that expiry keeps up without anybody calling `purge`.
const DUE_PER_WRITE: usize = 2;

/// The memory backend.
///
/// A record costs its key, its value and [`OVERHEAD`] bytes. When all of them together are over `MemoryConfig::max`,
/// what was not used since the clock hand last passed goes (second chance), expired records first. Versions rise with
/// every write to any key, so they never repeat, not even over delete and recreate; they mean nothing after a restart.
pub struct Memory {
    shards: Arc<[Mutex<Shard>]>,
    clock: Clock,
    /// The counter of the last version that was given.
    counter: AtomicU64,
    used: Arc<AtomicU64>,
    evicted: AtomicU64,
    next_victim: AtomicUsize,
    state: AtomicU8,
    max: AtomicU64,
    value_max: LiveSize,
    ttl_max: LiveLimit,
    control: Mutex<control::Control>,
    locks: Mutex<semantics::locks::LockState>,
    identity: Mutex<String>,
    evicts: AtomicBool,
    followers: feed::Followers,
}

/// What a memory backend holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Records, those included that have expired and are not taken away yet.
    pub keys: usize,
    /// Bytes of keys, values and overhead.
    pub bytes: u64,
    /// Live records that had to go since the start because of the bound.
    pub evicted: u64,
}

const NEW: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

impl Memory {
    /// The fact that says how many bytes it holds.
    pub const FACT_BYTES: &'static str = "bytes";
    /// The fact that says how many records it gave up because it was full.
    pub const FACT_EVICTED: &'static str = "evicted";

    /// An empty one; it serves after `connect`. Values are limited to `value_max` bytes and to a quarter of
    /// `MemoryConfig::max`, so that no single write can evict everything else.
    pub fn new(config: &MemoryConfig, value_max: usize, clock: Clock) -> Self {
        let used = Arc::new(AtomicU64::new(0));
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(Arc::clone(&used)))).collect(),
            counter: AtomicU64::new(clock.unix_us()),
            clock,
            used,
            evicted: AtomicU64::new(0),
            next_victim: AtomicUsize::new(0),
            state: AtomicU8::new(NEW),
            max: AtomicU64::new(config.max),
            value_max: LiveSize::new(longest(config, value_max)),
            ttl_max: LiveLimit::new(config.ttl_max),
            control: Mutex::default(),
            locks: Mutex::default(),
            identity: Mutex::new("memory".to_owned()),
            evicts: AtomicBool::new(false),
            followers: feed::Followers::default(),
        }
    }

    /// Takes over settings; what is over a smaller bound goes now, and nothing that stands lives shorter.
    pub fn set(&self, config: &MemoryConfig, value_max: usize) {
        self.max.store(config.max, Ordering::Relaxed);
        self.value_max.set(longest(config, value_max));
        self.ttl_max.set(config.ttl_max);
        self.make_room();
    }

    fn bounds(&self) -> Bounds {
        Bounds { value_max: self.value_max.get() }
    }

    /// What it holds now.
    pub fn stats(&self) -> MemoryStats {
        MemoryStats {
            keys: (0..SHARDS).map(|index| self.lock(index).len()).sum(),
            bytes: self.used.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }

    /// Takes everything away, one shard after the other; returns how many records were live.
    pub fn clear(&self) -> usize {
        let now = self.clock.unix_ms();
        let cleared = (0..SHARDS).map(|index| self.lock(index).clear(now)).sum();
        self.followers.all_changed();
        cleared
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn execute_now(&self, op: &Op) -> Result<Reply> {
        if self.state.load(Ordering::Acquire) != OPEN {
            return Err(Error::new(ErrorKind::OutOfUse, "the memory backend is not open"));
        }
        if let Some(reply) = self.read(op) {
            return reply;
        }
        let reply = match op {
            Op::Copy(op) => self.copy(op),
            Op::Record(op) => self.control(op),
            Op::Lock(op) => return Ok(self.lock_op(op)),
            _ => self.write(op),
        };
        self.make_room();
        reply
    }

    fn write(&self, op: &Op) -> Result<Reply> {
        if let Op::Fenced { fence, write } = op {
            return self.fenced(fence, write);
        }
        let keys = semantics::keys_of(op);
        let mut held = self.lock_all(&keys);
        let now = self.clock.unix_ms();
        let mut slots: Vec<Slot> = keys
            .into_iter()
            .map(|key| {
                let stored = held.of(&key).load(&key, now);
                Slot { stored, next: self.next_version(), change: Change::Keep, key }
            })
            .collect();
        let reply = semantics::apply(op, &mut slots, now, self.bounds())?;
        for slot in slots {
            let shard = held.of(&slot.key);
            shard.take_due(now, DUE_PER_WRITE);
            if slot.change != Change::Keep {
                self.followers.changed(&slot.key);
            }
            match slot.change {
                Change::Keep => {}
                Change::Put { value, expires_at } => {
                    let expires_at = self.cap(expires_at, now);
                    shard.put(&slot.key, value, expires_at, slot.next.counter);
                }
                Change::Expire { expires_at } => {
                    let expires_at = self.cap(expires_at, now);
                    shard.expire(&slot.key, expires_at, slot.next.counter);
                }
                Change::Remove => shard.remove(&slot.key),
            }
        }
        Ok(reply)
    }

    /// Given under the lock of the key's shard: so they rise per key.
    fn next_version(&self) -> Version {
        Version { epoch: 1, counter: self.counter.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    fn cap(&self, expires_at: Option<i64>, now: i64) -> Option<i64> {
        let Some(ttl_max) = self.ttl_max.get() else { return expires_at };
        let latest = now.saturating_add(i64::try_from(ttl_max.as_millis()).unwrap_or(i64::MAX));
        Some(expires_at.map_or(latest, |at| at.min(latest)))
    }

    /// Evicts, one record of each shard in turn, until the bound holds. Locks are taken one at a time.
    fn make_room(&self) {
        let mut empty_shards = 0;
        while self.used.load(Ordering::Relaxed) > self.max.load(Ordering::Relaxed)
            && empty_shards < SHARDS
        {
            let index = self.next_victim.fetch_add(1, Ordering::Relaxed) % SHARDS;
            let now = self.clock.unix_ms();
            let mut shard = self.lock(index);
            if shard.take_due(now, 1) == 1 {
                empty_shards = 0;
            } else if shard.evict() {
                empty_shards = 0;
                self.evicted.fetch_add(1, Ordering::Relaxed);
            } else {
                empty_shards += 1;
            }
        }
    }

    fn purge_now(&self, limit: usize) -> usize {
        let now = self.clock.unix_ms();
        let mut removed = 0;
        for index in 0..SHARDS {
            removed += self.lock(index).take_due(now, limit - removed);
        }
        removed
    }

    /// Locks the shards of these keys in ascending order, which keeps many-key operations from blocking each other.
    fn lock_all(&self, keys: &[Key]) -> Held<'_> {
        let mut wanted: Vec<usize> = keys.iter().map(shard_of).collect();
        wanted.sort_unstable();
        wanted.dedup();
        Held(wanted.into_iter().map(|index| (index, self.lock(index))).collect())
    }

    fn facts(&self) -> ProbeReport {
        let stats = self.stats();
        ProbeReport {
            facts: vec![
                ("keys", stats.keys.to_string()),
                (Self::FACT_BYTES, stats.bytes.to_string()),
                (Self::FACT_EVICTED, stats.evicted.to_string()),
            ],
            ..ProbeReport::default()
        }
    }
}

/// A quarter of everything at most.
fn longest(config: &MemoryConfig, value_max: usize) -> usize {
    value_max.min(usize::try_from(config.max / 4).unwrap_or(usize::MAX))
}

/// The locked shards of one operation.
struct Held<'a>(Vec<(usize, MutexGuard<'a, Shard>)>);

impl Held<'_> {
    /// The shard of one of the keys that were locked.
    fn of(&mut self, key: &Key) -> &mut Shard {
        let wanted = shard_of(key);
        let at = self.0.partition_point(|(index, _)| *index < wanted);
        &mut self.0[at].1
    }
}

/// The same in every run; the maps inside the shards are seeded at random.
fn shard_of(key: &Key) -> usize {
    let hash = key.stable_hash();
    // The last bytes of a key reach only the low bits so far; the product carries them to the top.
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from((mixed >> 32) % SHARDS as u64).unwrap_or(0)
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("max", &self.max).finish_non_exhaustive()
    }
}

impl Backend for Memory {
    fn engine(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            scope: Scope::Process,
            durability: Durability::Volatile,
            versions: true,
            atomic_many: true,
            copies: true,
            control: true,
            locks: true,
            value_max: self.value_max.get(),
        }
    }

    fn connect(&self, _deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            match self.state.compare_exchange(NEW, OPEN, Ordering::AcqRel, Ordering::Acquire) {
                Err(CLOSED) => {
                    Err(Error::new(ErrorKind::OutOfUse, "the memory backend has been closed"))
                }
                Ok(_) | Err(_) => Ok(()),
            }
        })
    }

    fn execute<'a>(&'a self, op: &'a Op, _deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move { self.execute_now(op) })
    }

    fn probe(&self, _depth: ProbeDepth, _deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        Box::pin(async {
            match self.state.load(Ordering::Acquire) {
                OPEN => Ok(self.facts()),
                _ => Err(Error::new(ErrorKind::OutOfUse, "the memory backend is not open")),
            }
        })
    }

    fn purge(&self, limit: usize, _deadline: Deadline) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move { Ok(self.purge_now(limit)) })
    }

    fn follow(&self, prefix: Bytes, _deadline: Deadline) -> BoxFuture<'_, Result<Box<dyn Feed>>> {
        Box::pin(async move {
            if self.state.load(Ordering::Acquire) != OPEN {
                return Err(Error::new(ErrorKind::OutOfUse, "the memory backend is not open"));
            }
            let shards = Arc::clone(&self.shards);
            let barrier = move || {
                shards.iter().for_each(|s| drop(s.lock().unwrap_or_else(PoisonError::into_inner)));
            };
            let feed = self.followers.follow(prefix, self.clock.clone(), Box::new(barrier));
            Ok(Box::new(feed) as Box<dyn Feed>)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.state.store(CLOSED, Ordering::Release);
            self.clear();
            self.followers.end("the memory backend has been closed");
        })
    }
}
