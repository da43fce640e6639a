//! What is said of what stands beside the backends: caches, loads, the journal, locks.
//! It must not know how any of it is kept.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{as_millis, as_optional_millis};

/// What this process keeps of its own before one cache, or before records that have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct L1Status {
    /// Values.
    pub entries: u64,
    /// Bytes of keys, values and their overhead.
    pub bytes: u64,
    /// The bound.
    pub max: u64,
    /// Reads answered from it since start.
    pub hits: u64,
    /// Reads that found nothing in it that may be served.
    pub misses: u64,
    /// Values that had to go because of the bound.
    pub evictions: u64,
    /// `following` while the cache tells of changes, `broken` while it does not: then nothing is served from it. `none`
    /// where there is no cache.
    pub feed: &'static str,
    /// Why it is broken; empty when it is not.
    pub reason: String,
}

/// One cache before one record, as this process sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CacheStatus {
    /// The backend that holds copies.
    pub cache: Arc<str>,
    /// The backend that is the record.
    pub record: Arc<str>,
    /// `up`, `suspect`, `down`, `probing`, `readmitting` or `warming`.
    pub phase: &'static str,
    /// For how long.
    #[serde(serialize_with = "as_millis", rename = "since_ms")]
    pub since: Duration,
    /// Whether copies are read now.
    pub readable: bool,
    /// Why not; empty when they are.
    pub reason: String,
    /// Whether marks can be evicted: then writes wait for the cache, and strict routes read from the record.
    pub evicts: bool,
    /// Rises with each change between active and degraded, for all processes.
    pub epoch: u64,
    /// Rises with each readmission as a whole.
    pub generation: u64,
    /// Keys that were written around it and wait to be made absent in it.
    pub dirty_keys: u64,
    /// Reads answered by copies since start.
    pub hits: u64,
    /// Reads that asked the cache and then the record.
    pub misses: u64,
    /// Writes of this process around it.
    pub writes_around: u64,
    /// Keys that this process made absent in it for others.
    pub drained_keys: u64,
    /// Readmissions as a whole that this process carried out.
    pub readmissions: u64,
    /// Copies that were compared with the record.
    pub audited_keys: u64,
    /// Copies that were older than the record though nothing said so.
    pub inconsistent_keys: u64,
    /// What this process keeps of its own before it, for routes that name `memory` as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1: Option<L1Status>,
}

/// The journal: writes that wait for a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JournalStatus {
    /// Writes that wait.
    pub depth: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// For how long the oldest has waited.
    #[serde(
        serialize_with = "as_optional_millis",
        rename = "oldest_age_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub oldest_age: Option<Duration>,
    /// Writes that will not be applied, until somebody discards them.
    pub dead_letters: u64,
    /// Writes that records have taken from it since start.
    pub applied: u64,
    /// Writes that met somebody else's in the record since start.
    pub conflicts: u64,
    /// Whether the last write that wanted to wait was refused for want of room or time.
    pub full: bool,
    /// Records that this process has not met yet: nothing can wait for them.
    pub unmet_records: u64,
    /// Bytes of its files that could not be read at the opening, set aside beside them.
    pub damaged_bytes: u64,
}

/// Locks of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LocksStatus {
    /// `record`, `quorum`, `failover`, `redis`, `local`; `none` where no backend grants locks.
    pub mode: &'static str,
    /// `fenced`, `best_effort`, `host`, `process`, `none`.
    pub guarantee: &'static str,
    /// The backends that grant.
    pub backends: Vec<Arc<str>>,
    /// Who grants just now, in failover mode, and its epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<(Arc<str>, u64)>,
    /// Held by guards of this process.
    pub held: u64,
    /// Calls that wait for a lock.
    pub waiting: u64,
    /// Granted since start.
    pub granted: u64,
    /// Attempts since start that found the lock held by somebody else.
    pub contended: u64,
    /// Lost since start: a lease ended before its guard was released.
    pub lost: u64,
    /// Releases that wait to be sent.
    pub releasing: u64,
    /// Releases that were given up, or found no place: those leases ended by themselves.
    pub unreleased: u64,
}

/// Loads of one route since start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadStatus {
    /// The route's prefix; `*` for the default route.
    pub route: Arc<str>,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found that there is nothing.
    pub negative_hits: u64,
    /// Loaders and queries that were run.
    pub loads: u64,
    /// Those of them that failed.
    pub load_errors: u64,
    /// Reads that waited for a load which another had begun in this process.
    pub joined: u64,
    /// Loads that were left to another process.
    pub shared: u64,
    /// Loads begun in the background before a value's time was over.
    pub refreshes: u64,
    /// Stale values served.
    pub stale: u64,
    /// Defaults served.
    pub defaults: u64,
    /// Reads refused because a cache is away and `load.fallback_max` was reached.
    pub shed_cache_unavailable: u64,
    /// Reads refused because as many loads as may were under way.
    pub shed_database_saturated: u64,
    /// Invalidations of keys, prefixes and tags.
    pub invalidations: u64,
}
