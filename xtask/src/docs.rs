//! Pages that the program writes about itself: its command line, its configuration, its HTTP interface.
//! It must not know what stands in them; a test of mainstay-cli holds the committed pages to the code.

mod events;

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::step::cargo;

/// A page below `docs/reference` and the subject that `mainstay docs` knows it by.
const PAGES: &[(&str, &str)] = &[
    ("cli.md", "cli"),
    ("config.md", "config"),
    ("config.schema.json", "schema"),
    ("openapi.json", "openapi"),
    ("commands.md", "commands"),
    ("errors.md", "errors"),
    ("metrics.md", "metrics"),
    ("http.md", "http"),
];

/// Writes every page; the version control shows what has changed. `--binary FILE` prints them, else one that is built.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let binary = match arguments {
        [] => None,
        [flag, file] if flag == "--binary" => Some(root.join(file)),
        _ => return crate::usage(&format!("gen-docs: unknown arguments {arguments:?}")),
    };
    let folder = root.join("docs/reference");
    let written = std::fs::create_dir_all(&folder).map_err(|error| error.to_string());
    let written = written
        .and_then(|()| {
            PAGES
                .iter()
                .try_for_each(|(page, of)| write(root, binary.as_deref(), &folder.join(page), of))
        })
        .and_then(|()| write_events(root, &folder.join("events.md")));
    match written {
        Ok(()) => {
            println!("gen-docs: {} pages", PAGES.len() + 1);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("gen-docs: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn write(root: &Path, binary: Option<&Path>, page: &Path, of: &str) -> Result<(), String> {
    let mut command = binary.map_or_else(cargo, Command::new);
    if binary.is_none() {
        command.args(["run", "--quiet", "--package", "mainstay-cli", "--"]);
    }
    command.args(["docs", of]);
    let output = command.current_dir(root).output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("mainstay docs {of}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    std::fs::write(page, output.stdout).map_err(|error| format!("{}: {error}", page.display()))
}

/// The events are comments in the source: no program can print them.
fn write_events(root: &Path, page: &Path) -> Result<(), String> {
    std::fs::write(page, events::page(root)?)
        .map_err(|error| format!("{}: {error}", page.display()))
}
