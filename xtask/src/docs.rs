//! Pages that the program writes about itself: its command line, its configuration, its HTTP interface.
//! It must not know what stands in them; a test of mainstay-cli holds the committed pages to the code.

use std::path::Path;
use std::process::{Command, ExitCode};

/// A page below `docs/reference` and the subject that `mainstay docs` knows it by.
const PAGES: &[(&str, &str)] =
    &[("cli.md", "cli"), ("config.md", "config"), ("openapi.json", "openapi")];

/// Writes every page; the version control shows what has changed.
pub(crate) fn run(root: &Path) -> ExitCode {
    let folder = root.join("docs/reference");
    let written = std::fs::create_dir_all(&folder).map_err(|error| error.to_string());
    let written = written
        .and_then(|()| PAGES.iter().try_for_each(|(page, of)| write(root, &folder.join(page), of)));
    match written {
        Ok(()) => {
            println!("gen-docs: {} pages", PAGES.len());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("gen-docs: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn write(root: &Path, page: &Path, of: &str) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "mainstay-cli", "--", "docs", of]);
    let output = command.current_dir(root).output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("mainstay docs {of}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    std::fs::write(page, output.stdout).map_err(|error| format!("{}: {error}", page.display()))
}
