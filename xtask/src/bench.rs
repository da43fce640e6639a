//! Benchmarks.
//! There are none yet: the command says so, and fails.

use std::process::ExitCode;

/// Runs the benchmarks named.
pub(crate) fn run(_names: &[String]) -> ExitCode {
    crate::usage("bench: no benchmark is defined yet")
}
