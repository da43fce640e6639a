//! The test command: everything that has to hold, in the order in which it fails fastest.
//! It must not know how a step does its work.

use crate::step::{Step, has, timed};
use crate::{install, tidy};
use std::path::Path;
use std::process::ExitCode;

/// Runs all steps; stops at the first that fails, with its exit code.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let quick = match arguments {
        [] => false,
        [only] if only == "--quick" => true,
        _ => return crate::usage(&format!("test: unknown arguments {arguments:?}")),
    };
    match all(root, quick) {
        Ok(()) => {
            println!("\nall steps passed");
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn all(root: &Path, quick: bool) -> Result<(), ExitCode> {
    timed("servers for the tests", install::servers)?;
    Step::new("cargo fmt --all --check").run(root)?;
    if !quick {
        Step::new("cargo clippy --workspace --all-targets -- -D warnings").run(root)?;
    }
    timed("cargo xtask tidy", || tidy::check(root))?;
    if !quick {
        let command = "cargo doc --no-deps --workspace";
        Step { command, environment: &[("RUSTDOCFLAGS", "-D warnings")] }.run(root)?;
    }
    tests().run(root)?;
    Step::new("cargo test --doc -p mainstay").run(root)?;
    if has("cargo-deny") {
        Step::new("cargo deny check").run(root)?;
    } else {
        println!("\n==> cargo deny check\n    left out: cargo-deny is not installed");
    }
    Ok(())
}

fn tests() -> Step {
    if has("cargo-nextest") {
        return Step::new("cargo nextest run --workspace");
    }
    println!("\ncargo-nextest is not installed: cargo test runs the tests, without limits of time");
    Step::new("cargo test --workspace --lib --bins --tests")
}
