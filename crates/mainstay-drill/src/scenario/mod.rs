//! A scenario as data: what is broken and how, for how long, under which load, and what must hold.
//! It must not know how anything is broken or measured.

mod builtin;
mod fault;
mod load;
pub mod threshold;

pub use builtin::{builtin, named};
pub use fault::Fault;
pub use load::{Load, Spread};
pub use threshold::{Metric, Threshold};

use std::time::Duration;

use mainstay::config::text;
use serde::{Deserialize, Serialize};

/// The longest hold: a drill is bounded.
const HOLD_MAX: Duration = Duration::from_secs(3600);
/// The longest recovery that is watched.
const RECOVERY_MAX: Duration = Duration::from_secs(600);

/// One scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: small letters, digits and `-`.
    pub name: String,
    /// What happens, in a sentence.
    pub description: String,
    /// Which backends are broken: `redis` (every Redis), `db` (every database), `all`, or the name of one.
    pub target: String,
    /// How.
    pub fault: Fault,
    /// How long. Default 45 s.
    #[serde(default = "hold", with = "text::duration")]
    pub hold: Duration,
    /// How long the recovery is watched at most. Default 60 s.
    #[serde(default = "recovery", with = "text::duration")]
    pub recovery: Duration,
    /// The load.
    #[serde(default)]
    pub load: Load,
    /// Clients that contend for one lock all through the drill. Default 0: none.
    #[serde(default)]
    pub locks: u32,
    /// What must hold, as in `failed == 0` or `recovery < 30s`.
    pub thresholds: Vec<Threshold>,
}

fn hold() -> Duration {
    Duration::from_secs(45)
}

fn recovery() -> Duration {
    Duration::from_secs(60)
}

impl Scenario {
    /// Reads one from TOML.
    ///
    /// # Errors
    /// What is wrong with the text, or which value is out of range.
    pub fn parse(toml: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(toml).map_err(|error| error.to_string())?;
        scenario.validate()?;
        Ok(scenario)
    }

    /// The same as TOML.
    ///
    /// # Errors
    /// Never for a scenario that was parsed.
    pub fn to_toml(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// The value and what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || self.name.len() > 60 || !self.name.bytes().all(plain) {
            return Err("name: is 1 to 60 small letters, digits and `-`".to_owned());
        }
        if self.hold.is_zero() || self.hold > HOLD_MAX {
            return Err("hold: is above 0 and at most 1h".to_owned());
        }
        if self.recovery.is_zero() || self.recovery > RECOVERY_MAX {
            return Err("recovery: is above 0 and at most 10m".to_owned());
        }
        if self.locks > 64 {
            return Err("locks: is at most 64".to_owned());
        }
        if self.thresholds.is_empty() || self.thresholds.len() > 40 {
            return Err("thresholds: are 1 to 40; without one nothing can fail".to_owned());
        }
        self.fault.validate()?;
        self.load.validate()
    }
}

#[cfg(test)]
mod tests;
