//! The book of the documentation, by mdBook, which is installed when it is missing.
//! It must not know what is in it: a test looks at pages and links.

use std::path::Path;
use std::process::ExitCode;

use crate::step::{Step, has};

/// Writes `target/book`.
pub(crate) fn run(root: &Path) -> ExitCode {
    let made = installed(root).and_then(|()| Step::new("mdbook build docs").run(root));
    match made {
        Ok(()) => {
            println!("\nbook: {}", root.join("target/book/index.html").display());
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn installed(root: &Path) -> Result<(), ExitCode> {
    if has("mdbook") {
        return Ok(());
    }
    Step::new("cargo install --locked mdbook").run(root)
}
