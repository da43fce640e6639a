//! Pages that are generated from declarations in the code.
//! Each page is written by one generator; there are none yet, and then nothing is to be done.

use std::path::Path;
use std::process::ExitCode;

/// A page below `docs/` and the function that writes its text.
type Page = (&'static str, fn() -> String);

const PAGES: &[Page] = &[];

/// Writes every page; the test command then shows what has changed.
pub(crate) fn run(root: &Path) -> ExitCode {
    for (name, generate) in PAGES {
        if let Err(error) = std::fs::write(root.join("docs").join(name), generate()) {
            println!("gen-docs: {name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    println!("gen-docs: {} pages", PAGES.len());
    ExitCode::SUCCESS
}
