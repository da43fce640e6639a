//! The models of the cache protocol and of the locks, explored in release mode.
//! It must not know what is explored.

use crate::step::Step;
use std::path::Path;
use std::process::ExitCode;

/// Explores everything, or with `--weakenings` only what leaving a rule out leads to.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let step = match arguments {
        [] => Step::new("cargo run --release --package mainstay-testkit --example model"),
        [only] if only == "--weakenings" => {
            Step::new("cargo run --release --package mainstay-testkit --example model weakenings")
        }
        _ => return crate::usage(&format!("model: unknown arguments {arguments:?}")),
    };
    step.run(root).map_or_else(|code| code, |()| ExitCode::SUCCESS)
}
