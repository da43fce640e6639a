//! The project's own commands: `cargo xtask test | tidy | bench | scenario | chaos | model | sim | gen-docs`.
//! Standard library only, so that it builds in a second.
#![expect(clippy::print_stdout, reason = "a command line speaks on standard output")]

mod bench;
mod chaos;
mod docs;
mod install;
mod model;
mod scenario;
mod sim;
mod step;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test [--quick]   the whole test command; --quick leaves out clippy and the documentation
cargo xtask tidy             the rules of the source tree
cargo xtask bench            the benchmarks, in release mode
cargo xtask scenario         the whole outage scenario on real servers, in release mode; prints what clients saw
cargo xtask chaos [--for 10m] [--runs N] [--seed N] [--record postgres|mariadb|sqlite] [--consistency strict|bounded] [--fault WORDS]
                             real processes under faults, in release mode; the history of each run is judged
cargo xtask model            the protocols of caches and locks in every state; --weakenings: only what each missing rule leads to
cargo xtask sim              the library in a simulated world; --seed N --runs M; --mutations: what each mechanism is for
cargo xtask gen-docs         generated pages";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) =
        arguments.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    match command {
        "test" => test::run(&root(), rest),
        "tidy" => tidy::run(&root()),
        "bench" => bench::run(&root(), rest),
        "scenario" => scenario::run(&root(), rest),
        "chaos" => chaos::run(&root(), rest),
        "model" => model::run(&root(), rest),
        "sim" => sim::run(&root(), rest),
        "gen-docs" => docs::run(&root()),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        unknown => usage(&format!("unknown command `{unknown}`")),
    }
}

/// What was wrong with the command line, and what would be right. Exit code 2.
fn usage(problem: &str) -> ExitCode {
    println!("{problem}\n\n{USAGE}");
    ExitCode::from(2)
}

/// The root of the workspace: the parent of this crate's folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
