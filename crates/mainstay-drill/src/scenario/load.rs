//! The load of a drill, as data.
//! It must not know how it is made.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How keys are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// A few keys are asked for most of the time, as in life (exponent 0.99).
    #[default]
    Zipf,
    /// All alike.
    Uniform,
}

/// The load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Requests a second, begun at fixed times whether or not those before have been answered, and timed from when they
    /// were due (open loop). 0: each client sends its next one when it has an answer (closed loop). Default 200.
    pub rate: u32,
    /// Connections. Default 32.
    pub clients: u32,
    /// Keys. Default 1,000.
    pub keys: u32,
    /// How keys are chosen. Default `zipf`.
    pub spread: Spread,
    /// The share of reads. Default 0.8.
    pub reads: f64,
    /// The share of deletes. Default 0.02. What is left are writes.
    pub deletes: f64,
    /// Bytes of a value. Default 100.
    pub value: u32,
    /// What keys begin with. Default `drill:`.
    pub prefix: String,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            rate: 200,
            clients: 32,
            keys: 1000,
            spread: Spread::Zipf,
            reads: 0.8,
            deletes: 0.02,
            value: 100,
            prefix: "drill:".to_owned(),
        }
    }
}

impl Load {
    /// Whether requests begin at fixed times.
    pub fn is_open(&self) -> bool {
        self.rate > 0
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// The value and what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let problem = if self.rate > 100_000 {
            "rate: is at most 100000"
        } else if !(1..=1000).contains(&self.clients) {
            "clients: is between 1 and 1000"
        } else if self.keys < self.clients || self.keys > 1_000_000 {
            "keys: is at least `clients` and at most 1000000"
        } else if !share(self.reads) || !share(self.deletes) || self.reads + self.deletes > 1.0 {
            "reads and deletes: are shares, together at most 1"
        } else if !(16..=1 << 20).contains(&self.value) {
            "value: is between 16 and 1048576 bytes"
        } else if self.prefix.len() > 200 {
            "prefix: is at most 200 bytes"
        } else {
            return Ok(());
        };
        Err(format!("load.{problem}"))
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = match self.spread {
            Spread::Zipf => "zipf",
            Spread::Uniform => "uniform",
        };
        if self.is_open() {
            write!(f, "{} requests/s", self.rate)?;
        } else {
            write!(f, "closed loop")?;
        }
        write!(
            f,
            " from {} clients over {} keys ({spread}), {:.0} % reads, {} B values",
            self.clients,
            self.keys,
            self.reads * 100.0,
            self.value
        )
    }
}
