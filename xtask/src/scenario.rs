//! The whole outage scenarios: the suite's tests with the long times, in release mode, one after the other.
//! It must not know what the scenario does.

use crate::step::Step;
use std::path::Path;
use std::process::ExitCode;

const STEP: Step = Step {
    command: "cargo test --release --package mainstay-cli --test it -- nobody_notices a_database_sees --nocapture --test-threads=1",
    environment: &[("MAINSTAY_WHOLE_SCENARIO", "1")],
};

/// Runs it; it prints what the clients saw, phase by phase.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    if !arguments.is_empty() {
        return crate::usage(&format!("scenario: unknown arguments {arguments:?}"));
    }
    STEP.run(root).map_or_else(|code| code, |()| ExitCode::SUCCESS)
}
