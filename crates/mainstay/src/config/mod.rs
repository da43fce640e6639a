//! What a storage is made of: plain structs with defaults and checks, one file a topic.
//! It must not know where the values came from (file, environment, code), nor open anything.

mod backend;
mod consistency;
mod fixed;
mod guard;
mod health;
mod journal;
mod l1;
mod limits;
mod load;
mod locks;
mod observe;
mod route;
mod source;
mod template;
#[cfg(test)]
mod tests;
pub mod text;

pub use backend::{BackendConfig, Engine, MemoryConfig};
pub use consistency::{Consistency, ConsistencyConfig};
pub use guard::{BreakerConfig, HedgeConfig, RetryConfig};
pub use health::{HealthConfig, ReconnectConfig};
pub use journal::JournalConfig;
pub use l1::L1Config;
pub use limits::LimitsConfig;
pub use load::LoadConfig;
pub use locks::{LockModeConfig, LocksConfig};
pub use observe::ObserveConfig;
pub use route::{OnRecordDown, RouteConfig, Select};
use serde::{Deserialize, Serialize};
pub use source::{ChangesConfig, SourceConfig};
pub(crate) use template::Template;

use crate::error::{Error, ErrorKind, Result};

/// A whole storage. `Config::default()` is the embedded one: a SQLite record in `./mainstay-data`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The engines, by name. None: SQLite.
    pub backends: std::collections::BTreeMap<String, BackendConfig>,
    /// The memory backend, always there, always last.
    pub memory: MemoryConfig,
    /// What this process keeps of its own before caches and records.
    pub l1: L1Config,
    /// Key prefixes and what serves them; the longest match counts. None matches: the default route, which follows
    /// from the backends.
    #[serde(rename = "route")]
    pub routes: Vec<RouteConfig>,
    /// Sizes and deadlines.
    pub limits: LimitsConfig,
    /// How many loads go on at once.
    pub load: LoadConfig,
    /// How copies in a cache are kept true.
    pub consistency: ConsistencyConfig,
    /// Where writes wait while a record is down.
    pub journal: JournalConfig,
    /// Who grants locks.
    pub locks: LocksConfig,
    /// What is kept and judged for people.
    pub observe: ObserveConfig,
}

impl Config {
    /// The name of the memory backend.
    pub const MEMORY: &'static str = "memory";

    /// Checks every value and every name that refers to another.
    ///
    /// # Errors
    /// `InvalidArgument`; the message begins with the path of the value (`backends.db.timeout: ...`) and names the fix.
    pub fn validate(&self) -> Result<()> {
        self.validate_with(|_| false)
    }

    /// The same, with further backends under names that are known elsewhere (custom ones of a builder).
    pub(crate) fn validate_with(&self, known: impl Fn(&str) -> bool) -> Result<()> {
        for (name, backend) in &self.backends {
            let path = format!("backends.{name}");
            check_name(name).map_err(|problem| invalid(&path, problem))?;
            backend.validate(&path)?;
        }
        self.memory.validate("memory")?;
        self.l1.validate("l1")?;
        self.limits.validate("limits")?;
        self.load.validate("load")?;
        self.consistency.validate("consistency")?;
        self.journal.validate("journal")?;
        self.observe.validate("observe")?;
        let exists =
            |name: &str| name == Self::MEMORY || known(name) || self.backends.contains_key(name);
        self.locks.validate("locks", exists)?;
        for (index, route) in self.routes.iter().enumerate() {
            route.validate(&format!("route[{index}]"), |name| {
                name == Self::MEMORY || known(name) || self.backends.contains_key(name)
            })?;
            if self.routes[..index].iter().any(|other| other.prefix == route.prefix) {
                return Err(invalid(
                    &format!("route[{index}].prefix"),
                    "is the prefix of an earlier route; merge the two",
                ));
            }
        }
        Ok(())
    }
}

/// Names stand in metrics, paths of the HTTP API and environment variables.
pub(crate) fn check_name(name: &str) -> std::result::Result<(), &'static str> {
    if name == Config::MEMORY {
        return Err("is the name of the memory backend, which is always there; choose another");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
        return Err("a name is 1 to 40 letters, digits, `_` and `-`");
    }
    Ok(())
}

/// An error about the value at `path`.
pub(crate) fn invalid(path: &str, problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{path}: {problem}"))
}
