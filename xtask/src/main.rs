//! The project's own commands: `cargo xtask test | tidy | bench | scenario | chaos | soak | model | sim | fuzz |
//! schemathesis | gen-docs | book | package | sbom`.
//! Standard library only, so that it builds in a second.
#![expect(clippy::print_stdout, reason = "a command line speaks on standard output")]

mod bench;
mod book;
mod chaos;
mod docs;
mod fuzz;
mod install;
mod model;
mod package;
mod sbom;
mod scenario;
mod schemathesis;
mod sim;
mod soak;
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
cargo xtask soak [--for 10m] load and every fault in turn, in release mode; nothing that the process holds may grow
cargo xtask model            the protocols of caches and locks in every state; --weakenings: only what each missing rule leads to
cargo xtask sim              the library in a simulated world; --seed N --runs M; --locks; --mutations: what each is for
cargo xtask fuzz [--for 60s] [TARGET]...
                             any bytes at the parsers, by cargo-fuzz: resp, http, config, journal, blobs, quantities
cargo xtask schemathesis     any request that the OpenAPI document allows, and some that it does not; needs python3 and pip
cargo xtask gen-docs [--binary FILE]  generated pages
cargo xtask book             the documentation as a book, in target/book
cargo xtask package [--binary FILE] [--out FOLDER] [--quick]
                             the Debian package, of a binary that is built for it or of this one
cargo xtask sbom             the bill of materials of the binary, CycloneDX";

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
        "soak" => soak::run(&root(), rest),
        "model" => model::run(&root(), rest),
        "sim" => sim::run(&root(), rest),
        "fuzz" => fuzz::run(&root(), rest),
        "schemathesis" => schemathesis::run(&root(), rest),
        "gen-docs" => docs::run(&root(), rest),
        "book" => book::run(&root()),
        "package" => package::run(&root(), rest),
        "sbom" => sbom::run(&root()),
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
