//! Why a breaker changed state, and the words for it.
//! It must not know how it is decided.

use std::{fmt, time::Duration};

use crate::{error::ErrorKind, status::BreakerState};

/// Why a breaker is in its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing has happened yet.
    Start,
    /// So many failures in a row.
    Failures(u32),
    /// So many failures among so many calls of the window.
    FailureRate {
        /// Failures.
        failures: u64,
        /// Calls.
        calls: u64,
    },
    /// So many calls over the threshold, those in flight counted.
    Slow {
        /// Slow ones.
        slow: u64,
        /// Calls.
        calls: u64,
        /// The threshold.
        over: Duration,
    },
    /// A trial call failed, or was slow.
    TrialFailed,
    /// The trial calls came to no verdict in time.
    NoVerdict,
    /// Health probes found the backend down.
    HealthDown,
    /// The backend refused the credentials several times.
    Forbidden,
    /// The backend's data cannot be read.
    Corrupt,
    /// The open time is over: trial calls pass.
    Trial,
    /// The trial calls succeeded.
    TrialsPassed,
    /// Probes succeeded.
    ProbesPassed,
    /// An operator's command, with the operator's reason.
    Forced(String),
    /// An operator's command has expired or was taken back.
    ForceEnded,
}

impl Cause {
    /// One of fourteen words, for metrics and programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Cause::Start => "start",
            Cause::Failures(_) => "failures",
            Cause::FailureRate { .. } => "failure_rate",
            Cause::Slow { .. } => "slow",
            Cause::TrialFailed => "trial_failed",
            Cause::NoVerdict => "no_verdict",
            Cause::HealthDown => "health_down",
            Cause::Forbidden => "forbidden",
            Cause::Corrupt => "corrupt",
            Cause::Trial => "trial",
            Cause::TrialsPassed => "trials_passed",
            Cause::ProbesPassed => "probes_passed",
            Cause::Forced(_) => "forced",
            Cause::ForceEnded => "force_ended",
        }
    }

    /// Whether failures led to it: then the last one says more.
    pub fn is_of_failures(&self) -> bool {
        match self {
            Cause::Failures(_)
            | Cause::FailureRate { .. }
            | Cause::TrialFailed
            | Cause::HealthDown
            | Cause::Forbidden
            | Cause::Corrupt => true,
            Cause::Start
            | Cause::Slow { .. }
            | Cause::NoVerdict
            | Cause::Trial
            | Cause::TrialsPassed
            | Cause::ProbesPassed
            | Cause::Forced(_)
            | Cause::ForceEnded => false,
        }
    }

    /// What a refused call is told.
    pub fn refusal(&self) -> ErrorKind {
        match self {
            Cause::Forbidden => ErrorKind::Forbidden,
            Cause::Corrupt => ErrorKind::Corrupt,
            Cause::Start
            | Cause::Failures(_)
            | Cause::FailureRate { .. }
            | Cause::Slow { .. }
            | Cause::TrialFailed
            | Cause::NoVerdict
            | Cause::HealthDown
            | Cause::Trial
            | Cause::TrialsPassed
            | Cause::ProbesPassed
            | Cause::Forced(_)
            | Cause::ForceEnded => ErrorKind::BreakerOpen,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Start => f.write_str("start"),
            Cause::Failures(count) => write!(f, "{count} failures in a row"),
            Cause::FailureRate { failures, calls } => {
                write!(f, "{failures} of {calls} calls failed")
            }
            Cause::Slow { slow, calls, over } => {
                write!(f, "{slow} of {calls} calls took over {}ms", over.as_millis())
            }
            Cause::TrialFailed => f.write_str("a trial call failed"),
            Cause::NoVerdict => f.write_str("no verdict from trial calls"),
            Cause::HealthDown => f.write_str("health probes fail"),
            Cause::Forbidden => f.write_str("credentials refused"),
            Cause::Corrupt => f.write_str("data cannot be read"),
            Cause::Trial => f.write_str("trial calls pass"),
            Cause::TrialsPassed => f.write_str("trial calls succeeded"),
            Cause::ProbesPassed => f.write_str("probes succeeded"),
            Cause::Forced(reason) if reason.is_empty() => f.write_str("forced"),
            Cause::Forced(reason) => write!(f, "forced: {reason}"),
            Cause::ForceEnded => f.write_str("no longer forced"),
        }
    }
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state now.
    pub to: BreakerState,
    /// Why.
    pub cause: Cause,
    /// Whether the calls in flight are given up: what made it open says that they will not be answered either.
    pub cuts: bool,
}

/// Why a call may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `BreakerOpen`, `Forbidden` or `Corrupt`.
    pub kind: ErrorKind,
    /// Why the breaker is in its state.
    pub cause: Cause,
    /// When it is worth trying again, if that is known.
    pub retry_in: Option<Duration>,
}
