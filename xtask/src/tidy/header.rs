//! A module says first what it owns.

use super::{Finding, Source};

pub(super) fn findings(sources: &[Source]) -> Vec<Finding> {
    let modules = sources.iter().filter(|source| source.in_src().is_some() && !source.is_test());
    modules
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| {
            Finding::error(source, 1, "the first line has to be `//! ` and what the module owns")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::fake;
    use super::*;

    #[test]
    fn a_module_without_a_header_is_found() {
        let good = fake("crates/a/src/lib.rs", "//! Owns a.\n");
        let bad = fake("crates/a/src/b.rs", "use c;\n");
        let tests = fake("crates/a/src/b/tests.rs", "use super::*;\n");
        let found = findings(&[good, bad, tests]);
        assert_eq!(found.len(), 1);
        assert!(found[0].fatal && found[0].text.starts_with("crates/a/src/b.rs:1:"));
    }
}
