//! What the nemesis can break, as values.
//! It must not break anything.

use std::fmt;

use super::options::RecordKind;

/// One thing that is broken and mended again. A number is a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL, and a new Redis without data.
    RedisEmptied,
    /// SIGKILL, and the same Redis with what is on its disk: a dump, at most about a second old.
    RedisRestarted,
    /// SIGKILL, and the same Redis with a dump from before.
    RedisRolledBack,
    /// FLUSHALL: the connections stay.
    RedisFlushed,
    /// SIGSTOP, SIGCONT.
    RedisPaused,
    /// Every message between all processes and Redis is 200 ms late.
    RedisSlow,
    /// All connections to Redis are reset, several times a second.
    RedisResets,
    /// Redis hears everybody, and nobody hears Redis.
    RedisHalfOpen,
    /// Nothing from or to Redis arrives, and nothing is refused.
    RedisBlackHole,
    /// A replica that lags is promoted, and everybody is led to it.
    RedisLaggingReplica,
    /// A replica that lags is promoted; this process still reaches the master of before, the others the new one.
    RedisSplitBrain(usize),
    /// SCRIPT FLUSH, several times a second.
    ScriptFlush,
    /// CLIENT KILL of everybody, several times a second.
    ClientKill,
    /// `maxmemory` below what is stored, `allkeys-lru`.
    Eviction,
    /// This process does not reach Redis.
    CutFromRedis(usize),
    /// This process does not reach the record.
    CutFromRecord(usize),
    /// SIGKILL in the middle of commits, and a restart.
    RecordKilled,
    /// SIGSTOP, SIGCONT.
    RecordPaused,
    /// SIGKILL of the primary under Sentinel; it comes back when the replica has taken its place.
    SentinelKilled,
    /// SIGSTOP of the primary under Sentinel; it goes on when the replica has taken its place, and does not know yet.
    SentinelPaused,
    /// SIGKILL of this process in the middle of everything, and a restart.
    ProcessKilled(usize),
    /// SIGSTOP of this process for longer than its lease.
    ProcessPaused(usize),
}

/// Where a fault strikes. Two at a time strike in different places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Redis,
    RedisLink,
    Record,
    RecordLink,
    Process,
}

impl Fault {
    /// Every fault, for so many processes.
    pub fn all(processes: usize) -> Vec<Self> {
        let single = [
            Self::RedisEmptied,
            Self::RedisRestarted,
            Self::RedisRolledBack,
            Self::RedisFlushed,
            Self::RedisPaused,
            Self::RedisSlow,
            Self::RedisResets,
            Self::RedisHalfOpen,
            Self::RedisBlackHole,
            Self::RedisLaggingReplica,
            Self::ScriptFlush,
            Self::ClientKill,
            Self::Eviction,
            Self::RecordKilled,
            Self::RecordPaused,
        ];
        let of_one: [fn(usize) -> Self; 5] = [
            Self::RedisSplitBrain,
            Self::CutFromRedis,
            Self::CutFromRecord,
            Self::ProcessKilled,
            Self::ProcessPaused,
        ];
        let each = of_one.iter().flat_map(|of| (0..processes).map(of));
        single.into_iter().chain(each).collect()
    }

    pub(super) fn place(self) -> Place {
        match self {
            Self::RedisEmptied
            | Self::RedisRestarted
            | Self::RedisRolledBack
            | Self::RedisFlushed
            | Self::RedisPaused
            | Self::RedisLaggingReplica
            | Self::RedisSplitBrain(_)
            | Self::ScriptFlush
            | Self::ClientKill
            | Self::SentinelKilled
            | Self::SentinelPaused
            | Self::Eviction => Place::Redis,
            Self::RedisSlow
            | Self::RedisResets
            | Self::RedisHalfOpen
            | Self::RedisBlackHole
            | Self::CutFromRedis(_) => Place::RedisLink,
            Self::RecordKilled | Self::RecordPaused => Place::Record,
            Self::CutFromRecord(_) => Place::RecordLink,
            Self::ProcessKilled(_) | Self::ProcessPaused(_) => Place::Process,
        }
    }

    /// Whether a record of this kind can be struck so.
    pub(super) fn possible(self, record: RecordKind) -> bool {
        match self.place() {
            Place::Record | Place::RecordLink => record != RecordKind::Sqlite,
            Place::Redis | Place::RedisLink | Place::Process => true,
        }
    }

    /// Whether Redis forgets what it had acknowledged while connections to it stand. The protocol then promises the lease
    /// and the time to notice it, not more (guarantee G4). Where the connection is lost, nothing is believed any more.
    pub(super) fn forgets(self) -> bool {
        self == Self::RedisFlushed
    }

    /// Whether copies may be declared degraded because of it: Redis is not what it was.
    pub(super) fn may_degrade(self) -> bool {
        matches!(
            self,
            Self::RedisFlushed
                | Self::RedisRolledBack
                | Self::RedisRestarted
                | Self::RedisEmptied
                | Self::RedisLaggingReplica
                | Self::RedisSplitBrain(_)
                | Self::SentinelKilled
                | Self::SentinelPaused
                | Self::Eviction
        )
    }

    /// Whether the copies have to be begun anew because of it, before anybody reads one again.
    pub(super) fn has_to_degrade(self) -> bool {
        self.may_degrade() && self != Self::Eviction
    }

    /// Whether reads may be answered with copies that cannot be verified.
    pub(super) fn hides_record(self) -> bool {
        matches!(self.place(), Place::Record | Place::RecordLink)
    }

    /// Whether it lasts longer than a lease, or proves nothing.
    pub(super) fn outlasts_lease(self) -> bool {
        matches!(
            self,
            Self::ProcessPaused(_)
                | Self::CutFromRedis(_)
                | Self::RedisSplitBrain(_)
                | Self::RedisPaused
                | Self::RedisFlushed
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RedisEmptied => f.write_str("redis killed, back empty"),
            Self::RedisRestarted => f.write_str("redis killed, back with its dump"),
            Self::RedisRolledBack => f.write_str("redis killed, back with an old dump"),
            Self::RedisFlushed => f.write_str("redis flushed"),
            Self::RedisPaused => f.write_str("redis paused"),
            Self::RedisSlow => f.write_str("redis slow, 200 ms"),
            Self::RedisResets => f.write_str("redis connections reset"),
            Self::RedisHalfOpen => f.write_str("redis half-open"),
            Self::RedisBlackHole => f.write_str("redis black hole"),
            Self::RedisLaggingReplica => f.write_str("lagging replica promoted"),
            Self::RedisSplitBrain(process) => {
                write!(f, "split brain, process {process} at the old master")
            }
            Self::ScriptFlush => f.write_str("script flush"),
            Self::ClientKill => f.write_str("client kill"),
            Self::Eviction => f.write_str("eviction, allkeys-lru"),
            Self::CutFromRedis(process) => write!(f, "process {process} cut off from redis"),
            Self::CutFromRecord(process) => write!(f, "process {process} cut off from the record"),
            Self::RecordKilled => f.write_str("record killed"),
            Self::RecordPaused => f.write_str("record paused"),
            Self::SentinelKilled => f.write_str("sentinel: primary killed"),
            Self::SentinelPaused => f.write_str("sentinel: primary paused"),
            Self::ProcessKilled(process) => write!(f, "process {process} killed"),
            Self::ProcessPaused(process) => write!(f, "process {process} paused"),
        }
    }
}
