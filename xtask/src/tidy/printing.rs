//! A library never prints: it returns, or it emits an event.

use super::{Finding, Source};

/// The crates that print nothing.
const SILENT: &[&str] =
    &["mainstay", "mainstay-server", "mainstay-servers", "mainstay-drill", "mainstay-testkit"];
const MACROS: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!"];

pub(super) fn findings(sources: &[Source]) -> Vec<Finding> {
    let silent = |source: &&Source| SILENT.contains(&source.crate_name()) && !source.is_test();
    sources.iter().filter(silent).flat_map(in_file).collect()
}

fn in_file(source: &Source) -> Vec<Finding> {
    let named = |line: &str| MACROS.iter().find(|name| calls(line, name)).copied();
    let hits = source.code().filter_map(|(number, line)| Some((number, named(line)?)));
    hits.map(|(number, name)| Finding::error(source, number, format!("{name} in a library")))
        .collect()
}

/// Whether the line calls the macro, and not one whose name ends alike.
fn calls(line: &str, name: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    line.match_indices(name)
        .any(|(at, _)| before(at).is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '"'))
}

#[cfg(test)]
mod tests {
    use super::super::source::fake;
    use super::*;

    #[test]
    fn printing_is_found_in_libraries_only() {
        let text = "//! x\n    eprintln!(\"x\");\n// println!(\"x\")\n#[cfg(test)]\nmod tests {\n    dbg!(1);\n}\n";
        let found = findings(&[
            fake("crates/mainstay/src/a.rs", text),
            fake("crates/mainstay-cli/src/a.rs", text),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "crates/mainstay/src/a.rs:2: eprintln! in a library");
    }
}
