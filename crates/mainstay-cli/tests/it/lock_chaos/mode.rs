//! Who grants, and what breaks in which mode.
//! It must not know how it is broken.

use std::{fmt, time::Duration};

use super::LEASE;

/// Who grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// PostgreSQL.
    Record,
    RecordMariaDb,
    Redis,
    Failover,
    Quorum,
    Local,
    /// No Mainstay at all: redis-py's own `Lock`.
    RedisPy,
}

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// SIGKILL, and a new Redis without data.
    RedisEmptied,
    /// A replica that is half a second late takes the place of its master.
    RedisPromoted,
    /// SIGKILL of a database, and a restart.
    DatabaseKilled,
    /// SIGKILL of one Mainstay, and a restart.
    ProcessKilled,
    /// SIGSTOP of one Mainstay for two leases.
    ProcessPaused,
    /// One Mainstay does not reach Redis for three leases: in silence, or refused and reset.
    CutOffFromRedis,
    /// One Mainstay does not reach any database for three leases, likewise.
    CutOffFromDatabase,
    /// One Mainstay begins an hour ahead, and then its wall clock is set: two hours back, two ahead, right.
    ClockJumps,
    /// All clocks of one Mainstay run 1 % fast, or slow; slow those of holders that stay as long as they may, where there
    /// is a database for their writes.
    ClockDrifts,
    /// The clock of a database runs 1 % fast, while holders stay as long as they may.
    DatabaseDrifts,
    /// SIGSTOP of a process that holds a lock, until another one has held it and has written.
    HolderStopped,
}

impl Mode {
    pub(super) const ALL: [Self; 7] = [
        Self::Record,
        Self::RecordMariaDb,
        Self::Redis,
        Self::Failover,
        Self::Quorum,
        Self::Local,
        Self::RedisPy,
    ];

    /// Every fault that it meets. The file of `Local` is granted from by the clock of the host, which all of the host share:
    /// it is not set here. In `Redis` nobody looks at the tokens of a holder that stays too long.
    pub(super) fn faults(self) -> &'static [Fault] {
        use Fault::{
            ClockDrifts, ClockJumps, CutOffFromDatabase, CutOffFromRedis, DatabaseDrifts,
            DatabaseKilled, HolderStopped, ProcessKilled, ProcessPaused, RedisEmptied,
            RedisPromoted,
        };
        match self {
            Self::Record | Self::RecordMariaDb => &[
                DatabaseKilled,
                CutOffFromDatabase,
                ClockJumps,
                ClockDrifts,
                DatabaseDrifts,
                HolderStopped,
                ProcessKilled,
                ProcessPaused,
            ],
            Self::Redis => &[
                RedisEmptied,
                RedisPromoted,
                CutOffFromRedis,
                ClockJumps,
                ClockDrifts,
                ProcessKilled,
                ProcessPaused,
            ],
            Self::Failover | Self::Quorum => &[
                RedisPromoted,
                DatabaseKilled,
                RedisEmptied,
                CutOffFromRedis,
                CutOffFromDatabase,
                ClockJumps,
                ClockDrifts,
                DatabaseDrifts,
                HolderStopped,
                ProcessKilled,
                ProcessPaused,
            ],
            Self::Local => &[ProcessKilled, ProcessPaused, ClockDrifts, HolderStopped],
            Self::RedisPy => &[RedisPromoted],
        }
    }

    /// `locks.mode`.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Record | Self::RecordMariaDb => "record",
            Self::Redis | Self::RedisPy => "redis",
            Self::Failover => "failover",
            Self::Quorum => "quorum",
            Self::Local => "local",
        }
    }

    /// `locks.ttl_max`. Long where nothing waits for it: then 1 % of it is more than the time that answers take.
    pub(super) fn longest_lease(self) -> Duration {
        match self {
            Self::Record | Self::RecordMariaDb => LEASE * 4,
            _ => LEASE,
        }
    }

    pub(super) fn has_redis(self) -> bool {
        matches!(self, Self::Redis | Self::Failover | Self::Quorum | Self::RedisPy)
    }

    pub(super) fn has_postgres(self) -> bool {
        matches!(self, Self::Record | Self::Failover | Self::Quorum)
    }

    pub(super) fn has_mariadb(self) -> bool {
        matches!(self, Self::RecordMariaDb | Self::Quorum)
    }

    pub(super) fn processes(self) -> usize {
        match self {
            Self::Local => 1,
            Self::RedisPy => 0,
            _ => 3,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RecordMariaDb => "record-mariadb",
            Self::RedisPy => "redis-py",
            _ => self.setting(),
        })
    }
}
