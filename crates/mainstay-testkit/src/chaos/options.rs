//! What a run is to do.
//! It must not know how.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use mainstay::config::Consistency;

use super::fault::Fault;

/// The engine that is the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MariaDb,
    /// One file that all processes open: nothing stands between them and it.
    Sqlite,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `mainstay` binary.
    pub binary: PathBuf,
    /// Of all choices.
    pub seed: u64,
    /// The record.
    pub record: RecordKind,
    /// What the route promises.
    pub consistency: Consistency,
    /// How long faults are made; recovery and the final reads come after it.
    pub time: Duration,
    /// `consistency.lease`.
    pub lease: Duration,
    /// Redis is watched by Sentinel, and reached without proxies: only the faults of Sentinel and of processes apply.
    pub sentinel: bool,
    /// Further lines of the processes' configuration.
    pub settings: String,
    /// How many clients there are, in turn over the processes.
    pub clients: u32,
    /// What a client waits between two calls on average.
    pub pause: Duration,
    /// Where the processes' logs are kept; `None`: nowhere.
    pub logs: Option<PathBuf>,
    /// What may be broken; empty: everything that the record allows.
    pub faults: Vec<Fault>,
}

impl Options {
    /// Three processes, 32 clients, all faults.
    pub fn new(binary: impl Into<PathBuf>, seed: u64) -> Self {
        Self {
            binary: binary.into(),
            seed,
            record: RecordKind::Postgres,
            consistency: Consistency::Strict,
            time: Duration::from_secs(60),
            lease: Duration::from_secs(2),
            sentinel: false,
            settings: String::new(),
            clients: 32,
            pause: Duration::from_millis(20),
            logs: None,
            faults: Vec::new(),
        }
    }

    /// How long after a fault at most a cache may still be believed: the lease, and what it takes to look at the record
    /// and at the cache.
    #[must_use]
    pub fn detection(&self) -> Duration {
        self.lease / 3 + Duration::from_secs(1)
    }
}

impl FromStr for RecordKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "postgres" => Ok(Self::Postgres),
            "mariadb" => Ok(Self::MariaDb),
            "sqlite" => Ok(Self::Sqlite),
            other => Err(format!("`{other}`: a record is postgres, mariadb or sqlite")),
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
            Self::Sqlite => "sqlite",
        })
    }
}
