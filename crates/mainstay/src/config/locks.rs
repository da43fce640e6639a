//! Who grants locks, and for how long at most.
//! It must not know how a lock is granted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::error::Result;

/// Who grants locks. See docs/locks.md for what each promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LockModeConfig {
    /// A shared record if there is one, else Redis, else this host's file or this process's memory.
    #[default]
    Auto,
    /// One row of one database.
    Record,
    /// A majority of three or more shared backends.
    Quorum,
    /// The first named (Redis) while the second (a database) says so.
    Failover,
    /// One key of one Redis: best effort.
    Redis,
    /// This host's file or this process's memory.
    Local,
}

/// Locks. All processes that use the same locks must have the same settings here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LocksConfig {
    /// Who grants. Default `auto`.
    pub mode: LockModeConfig,
    /// The backends that grant: one for `record`, `redis` and `local`; an odd number of three or more for `quorum`; Redis
    /// and then a database for `failover`. Default: chosen among those that are configured.
    pub backends: Vec<String>,
    /// The longest lease that may be asked for. With `quorum` a member that may have forgotten sits out this long, with
    /// `failover` a new authority waits it. Default 1 min.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub ttl_max: Duration,
    /// How long `lock` waits for a lock that is held, unless the call says. Default 1 min.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub wait_max: Duration,
    /// `failover`: how long a process goes by what the database last said of who grants. Default 2 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub view: Duration,
}

impl Default for LocksConfig {
    fn default() -> Self {
        Self {
            mode: LockModeConfig::Auto,
            backends: Vec::new(),
            ttl_max: Duration::from_secs(60),
            wait_max: Duration::from_secs(60),
            view: Duration::from_secs(2),
        }
    }
}

impl LocksConfig {
    pub(super) fn validate(&self, path: &str, known: impl Fn(&str) -> bool) -> Result<()> {
        let day = Duration::from_secs(86_400);
        if self.ttl_max < Duration::from_secs(1) || self.ttl_max > day {
            return Err(invalid(&format!("{path}.ttl_max"), "is between 1s and 24h"));
        }
        if self.wait_max > day {
            return Err(invalid(&format!("{path}.wait_max"), "is at most 24h"));
        }
        if self.view < Duration::from_millis(300) || self.view > Duration::from_secs(30) {
            return Err(invalid(&format!("{path}.view"), "is between 300ms and 30s"));
        }
        self.validate_backends(&format!("{path}.backends"), known)
    }

    fn validate_backends(&self, path: &str, known: impl Fn(&str) -> bool) -> Result<()> {
        if let Some(name) = self.backends.iter().find(|name| !known(name)) {
            return Err(invalid(path, &format!("names `{name}`, which is not a backend")));
        }
        let mut names = self.backends.clone();
        names.sort_unstable();
        names.dedup();
        let count = names.len();
        if count != self.backends.len() {
            return Err(invalid(path, "names a backend twice"));
        }
        match self.mode {
            LockModeConfig::Auto if count > 0 => {
                Err(invalid(path, "needs a `mode` beside it that is not `auto`"))
            }
            LockModeConfig::Quorum if count < 3 || count.is_multiple_of(2) || count > 9 => {
                Err(invalid(path, "of a quorum are 3, 5, 7 or 9 independent backends"))
            }
            LockModeConfig::Failover if count != 2 => Err(invalid(
                path,
                "of `failover` are two: Redis, then the database that arbitrates",
            )),
            LockModeConfig::Record | LockModeConfig::Redis | LockModeConfig::Local if count > 1 => {
                Err(invalid(path, "of this mode is one, or none to have it chosen"))
            }
            _ => Ok(()),
        }
    }
}
