//! How many threads serve.
//! It must not start any.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The threads that serve. Those that read and write files, and those of SQLite and of scripts, come beside them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RuntimeConfig {
    /// How many. Default: half of the processors, at least two. The others are for Redis, the database and the clients. With
    /// one, nobody looks at the clock while it is busy with a long request: calls that were answered meanwhile seem late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<NonZeroU16>,
}

/// One looks at the clock and at the sockets while another is busy.
const LEAST: usize = 2;

impl RuntimeConfig {
    /// How many serve on this machine.
    pub(crate) fn threads(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(|| of_processors(processors()), |given| usize::from(given.get()))
    }
}

fn of_processors(processors: usize) -> usize {
    (processors / 2).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_processors_serve_unless_a_number_is_given() {
        let defaults = [0, 1, 2, 4, 6, 64].map(of_processors);
        assert_eq!(defaults, [2, 2, 2, 2, 3, 32]);
        assert!(RuntimeConfig::default().threads() >= LEAST);
        assert_eq!(RuntimeConfig { threads: NonZeroU16::new(7) }.threads(), 7);
    }
}
