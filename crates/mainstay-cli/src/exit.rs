//! How a command ends: the exit codes, and the failure that leads to each.
//! It must not know any command.

use std::{io, process::ExitCode};

use crate::config::Problems;

/// What the shell sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// The command failed.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The server stopped before everything was finished.
    Unclean,
    /// The configuration is invalid.
    Config,
    /// A drill could not be run to its end.
    NotRun,
    /// A drill missed a threshold.
    Missed,
    /// As a command of the user's ended.
    Of(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unclean => 3,
            Exit::Config => 4,
            Exit::NotRun => 98,
            Exit::Missed => 99,
            Exit::Of(code) => code,
        })
    }
}

/// Why a command failed, for stderr.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// One line each; empty when there is nothing to say.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// Exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), hint: None }
    }

    /// Exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message) }
    }

    /// Says what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self { exit: Exit::Config, ..Self::new(problems.to_string()) }
    }
}

/// Errors of writing to stdout. Whoever read it has gone: that is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Ok, message: String::new(), hint: None };
        }
        Self::new(format!("cannot write: {error}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(format!("not the JSON that was expected: {error}"))
    }
}

impl From<mainstay::Error> for Failure {
    fn from(error: mainstay::Error) -> Self {
        Self::new(error.to_string())
    }
}
