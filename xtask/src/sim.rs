//! The simulation of the whole library, in an optimized build.
//! It must not know what is simulated.

use crate::step::Step;
use std::path::Path;
use std::process::ExitCode;

const STEP: Step = Step::new("cargo run --profile sim --package mainstay-testkit --example sim --");

/// Runs histories; the arguments are the simulation's own.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    STEP.run_with(root, arguments).map_or_else(|code| code, |()| ExitCode::SUCCESS)
}
