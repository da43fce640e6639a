//! The long form of the soak: the suite's own test, in release mode, as long as one likes.
//! It must not know what is broken, nor what is looked at.

use crate::step::{cargo, finish, seconds, timed};
use std::path::Path;
use std::process::ExitCode;

/// The test that reads the variable.
const TEST: &str =
    "test --release --package mainstay-cli --test it -- soak::long --exact --ignored --nocapture";

/// Runs it; it prints what the process holds after each round.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let time = match arguments {
        [] => Some(600),
        [flag, time] if flag == "--for" => seconds(time),
        _ => None,
    };
    let Some(time) = time else { return crate::usage("soak: it takes --for 90s, 10m or 1h") };
    let outcome = timed("the soak", || {
        let time = ("MAINSTAY_SOAK_SECONDS", time.to_string());
        finish(cargo().args(TEST.split(' ')).envs([time]), root)
    });
    outcome.map_or_else(|code| code, |()| ExitCode::SUCCESS)
}
