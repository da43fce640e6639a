//! Benchmarks: builds what is measured in release mode, then runs the bench crate.
//! It must not know what is measured.

use crate::{install, step::Step};
use std::path::Path;
use std::process::ExitCode;

const STEPS: &[Step] = &[
    Step::new("cargo build --release --package mainstay-cli"),
    Step::new(
        "cargo run --release --package mainstay-bench -- target/release/mainstay target/bench.json",
    ),
];

/// Runs the benchmarks; they print their table.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    if !arguments.is_empty() {
        return crate::usage(&format!("bench: unknown arguments {arguments:?}"));
    }
    if let Err(code) = install::for_bench() {
        return ExitCode::from(code);
    }
    let outcome = STEPS.iter().try_for_each(|step| step.run(root));
    outcome.map_or_else(|code| code, |()| ExitCode::SUCCESS)
}
