//! A file that no module declares is never compiled, and a test in it never fails.

use super::source::declared_by;
use super::{Finding, Source};

pub(super) fn findings(sources: &[Source]) -> Vec<Finding> {
    let forgotten = sources.iter().filter(|source| {
        let Some((parents, name)) = declared_by(&source.path) else { return false };
        let declares =
            |parent: &Source| parents.contains(&parent.path) && declares(&parent.text, &name);
        !sources.iter().any(declares)
    });
    forgotten.map(|source| Finding::error(source, 1, "no module declares this file")).collect()
}

fn declares(text: &str, name: &str) -> bool {
    let declaration = format!("mod {name};");
    let mut code = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    code.any(|line| line == declaration || line.ends_with(&format!(" {declaration}")))
}

#[cfg(test)]
mod tests {
    use super::super::source::fake;
    use super::*;

    #[test]
    fn a_file_without_a_declaration_is_found() {
        let files = [
            fake("crates/a/src/lib.rs", "pub mod b;\n// mod c;\npub(crate) mod d;\n"),
            fake("crates/a/src/b.rs", "#[cfg(test)]\nmod tests;\n"),
            fake("crates/a/src/b/tests.rs", ""),
            fake("crates/a/src/c.rs", ""),
            fake("crates/a/src/d/mod.rs", ""),
            fake("crates/a/src/d/tests.rs", ""),
            fake("crates/a/tests/it/main.rs", "mod servers;\n"),
            fake("crates/a/tests/it/servers/mod.rs", "mod redis;\n"),
            fake("crates/a/tests/it/servers/redis.rs", ""),
            fake("crates/a/tests/it/lost.rs", ""),
        ];
        let found: Vec<String> = findings(&files).into_iter().map(|found| found.text).collect();
        let paths: Vec<&str> = found.iter().filter_map(|text| text.split(':').next()).collect();
        assert_eq!(
            paths,
            ["crates/a/src/c.rs", "crates/a/src/d/tests.rs", "crates/a/tests/it/lost.rs"]
        );
    }
}
