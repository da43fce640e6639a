//! What can be done to a backend.
//! It must not know which backend, nor how it is done.

use std::{fmt, time::Duration};

use mainstay::config::text;
use serde::{Deserialize, Serialize};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Connections are refused, and those that stand are cut.
    Refuse,
    /// Connected, and no answers: the process is stopped (SIGSTOP).
    Hang,
    /// Nothing arrives in either direction, and nothing says so.
    Partition,
    /// Every answer is late.
    Slow {
        /// By this much, in each direction.
        #[serde(default = "latency", with = "text::duration")]
        latency: Duration,
        /// And up to this much more.
        #[serde(default, with = "text::duration")]
        jitter: Duration,
    },
    /// Every connection is reset, and each new one.
    Reset,
    /// Away and back, again and again.
    Flap {
        /// Refused for so long.
        #[serde(default = "down", with = "text::duration")]
        down: Duration,
        /// Then well for so long.
        #[serde(default = "up", with = "text::duration")]
        up: Duration,
    },
    /// The password is another one (Redis).
    Auth,
    /// The process is killed (SIGKILL), and started again with what is on its disk.
    Crash,
    /// The process is killed, and started again without any data.
    RestartEmpty,
    /// The process is killed, and started again with a copy of its data from before (Redis).
    OldSnapshot,
}

fn latency() -> Duration {
    Duration::from_millis(300)
}

fn down() -> Duration {
    Duration::from_secs(2)
}

fn up() -> Duration {
    Duration::from_secs(3)
}

impl Fault {
    /// The word in files.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::Partition => "partition",
            Self::Slow { .. } => "slow",
            Self::Reset => "reset",
            Self::Flap { .. } => "flap",
            Self::Auth => "auth",
            Self::Crash => "crash",
            Self::RestartEmpty => "restart-empty",
            Self::OldSnapshot => "old-snapshot",
        }
    }

    /// The time down and up of a fault that comes and goes.
    pub fn flapping(&self) -> Option<(Duration, Duration)> {
        match self {
            Self::Flap { down, up } => Some((*down, *up)),
            Self::Refuse
            | Self::Hang
            | Self::Partition
            | Self::Slow { .. }
            | Self::Reset
            | Self::Auth
            | Self::Crash
            | Self::RestartEmpty
            | Self::OldSnapshot => None,
        }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        let minute = Duration::from_secs(60);
        let between = |time: Duration| !time.is_zero() && time <= minute;
        match self {
            Self::Slow { latency, jitter } if !between(*latency) || *jitter > minute => {
                Err("fault.latency: is above 0 and, as jitter, at most 1m".to_owned())
            }
            Self::Flap { down, up } if !between(*down) || !between(*up) => {
                Err("fault.down and fault.up: are above 0 and at most 1m".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// What a backend does under it: stands after the backend's name.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse => f.write_str("refuses connections"),
            Self::Hang => f.write_str("hangs: connected, no answers"),
            Self::Partition => f.write_str("is cut off: nothing arrives, nothing says so"),
            Self::Slow { latency, .. } => {
                write!(f, "is slow: {} later each way", text::format_duration(*latency))
            }
            Self::Reset => f.write_str("resets every connection"),
            Self::Flap { down, up } => {
                let (down, up) = (text::format_duration(*down), text::format_duration(*up));
                write!(f, "flaps: {down} away, {up} back")
            }
            Self::Auth => f.write_str("has another password"),
            Self::Crash => f.write_str("is killed"),
            Self::RestartEmpty => f.write_str("is killed, and will come back empty"),
            Self::OldSnapshot => f.write_str("is killed, and will come back with old data"),
        }
    }
}
