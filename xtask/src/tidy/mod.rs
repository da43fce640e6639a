//! The rules of the source tree, each a function from the sources to findings.
//! It must not know Rust's grammar: the rules read lines.

mod direction;
mod forgotten;
mod header;
mod length;
mod printing;
mod source;

use source::Source;
use std::path::Path;
use std::process::ExitCode;

/// What a rule has found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Whether it fails the command; otherwise it is a warning.
    fatal: bool,
    /// `path:line: what`.
    text: String,
}

impl Finding {
    fn error(source: &Source, line: usize, what: impl std::fmt::Display) -> Self {
        Self { fatal: true, text: format!("{}:{line}: {what}", source.path) }
    }

    fn warning(source: &Source, line: usize, what: impl std::fmt::Display) -> Self {
        Self { fatal: false, ..Self::error(source, line, what) }
    }
}

/// A name and a rule over all sources.
type Rule = (&'static str, fn(&[Source]) -> Vec<Finding>);

const RULES: &[Rule] = &[
    ("file length", length::findings),
    ("module direction", direction::findings),
    ("forgotten files", forgotten::findings),
    ("module header", header::findings),
    ("printing", printing::findings),
];

/// The command.
pub(crate) fn run(root: &Path) -> ExitCode {
    check(root).map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
}

/// Prints all findings; fails when one of them is an error.
pub(crate) fn check(root: &Path) -> Result<(), u8> {
    let sources = source::load(root).map_err(|error| {
        println!("tidy: cannot read the sources: {error}");
        1
    })?;
    let mut failed = false;
    for (name, rule) in RULES {
        let mut findings = rule(&sources);
        findings.sort();
        for Finding { fatal, text } in findings {
            println!("{} ({name}) {text}", if fatal { "error" } else { "warning" });
            failed |= fatal;
        }
    }
    println!("tidy: {} files, {} rules", sources.len(), RULES.len());
    if failed { Err(1) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_of_this_tree_are_found() {
        let sources = source::load(&crate::root()).unwrap();
        let paths: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
        assert!(
            paths.contains(&"xtask/src/tidy/mod.rs")
                && paths.contains(&"crates/mainstay/src/op.rs")
        );
        assert!(!paths.iter().any(|path| path.contains("/target/")));
    }
}
